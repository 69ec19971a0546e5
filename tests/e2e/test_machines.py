"""Two machines without a shared folder: two launchers in two folders, each with its own caches.

They communicate over the loopback network, or over a virtual cable between two network namespaces of Linux, which need root.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers.faults.harness import free_port, outcome

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# The best epoch is not the last one, so that its weights are loaded again at the end: at this learning rate, the weights change
# and the accuracy does not, and of equal epochs the first one counts as best.
RECIPE = """\
name: apart
backbone: {name: test_resnet, weights: random, drop_rate: 0.1}
data: {kind: synthetic, train_images: 160, test_images: 30, classes: 4}
image_size: 32
augment: {hflip: true, mixup: 0.2}
finetune: {probe_first: true, batch_norm: frozen}
train: {epochs: 4, batch_size: 16, accumulate: 1, precision: fp32, channels_last: false, threads: 1, ema: 0.9, timeout: 60}
optim: {lr: 1.0e-6}
output: {root: runs, checkpoint_every: 3 steps}
"""


@dataclass(frozen=True)
class Network:
    """The network of the launchers: the address of the first one, and a command in front of each."""

    first: str = "127.0.0.1"
    behind: tuple[tuple[str, ...], ...] = ((), ())


@pytest.fixture
def cable() -> Iterator[Network]:
    """Create two network namespaces with a cable between them; on Debian, the host's name is a loopback address in both."""
    names = [f"zoo-{os.getpid()}-{number}" for number in range(2)]
    ends = [("veth0", "10.77.0.1/24"), ("veth0", "10.77.0.2/24")]
    commands = [["netns", "add", name] for name in names]
    commands += [["link", "add", "veth0", "netns", names[0], "type", "veth", "peer", "name", "veth0", "netns", names[1]]]
    for name, (interface, address) in zip(names, ends, strict=True):
        commands += [["-n", name, "addr", "add", address, "dev", interface]]
        commands += [["-n", name, "link", "set", each, "up"] for each in (interface, "lo")]
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("needs root and the command ip, to make network namespaces")
    try:
        for command in commands:
            done = subprocess.run(["ip", *command], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"no network namespaces here: ip {' '.join(command)}: {done.stderr.strip()}")
        yield Network("10.77.0.1", tuple(("ip", "netns", "exec", name) for name in names))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def start(folders: list[Path], *arguments: str, network: Network | None = None) -> list[subprocess.Popen[str]]:
    """Start a launcher in each folder, as on separate machines; only the first folder has the recipe."""
    port, network = free_port(), network or Network()
    launchers = []
    for rank, folder in enumerate(folders):
        command = [*network.behind[rank], str(Path(sys.executable).with_name("torchrun"))]
        command += ["--nnodes", str(len(folders)), "--node_rank", str(rank)]
        command += ["--nproc_per_node", "1", "--master_addr", network.first, "--master_port", str(port)]
        command += [str(ROOT / "scripts/train.py"), *arguments]
        environment = {**os.environ, "ZOO_CACHE": str(folder / "cache"), "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
        environment["PYTHONFAULTHANDLER"] = "1"
        with open(folder / "console.txt", "a") as handle:
            launchers.append(
                subprocess.Popen(
                    command, cwd=folder, env=environment, stdout=handle, stderr=handle, text=True, start_new_session=True
                )
            )
    return launchers


def ended(launchers: list[subprocess.Popen[str]], folders: list[Path]) -> list[int]:
    """Wait for the launchers; return their exit codes. If one hangs, print the stacks of its processes."""
    try:
        return [launcher.wait(timeout=120) for launcher in launchers]
    except subprocess.TimeoutExpired:
        for launcher in launchers:
            # Python's fault handler writes the stack of each thread on this signal.
            for pid in children(launcher.pid):
                os.kill(pid, signal.SIGABRT)
        time.sleep(2)
        for launcher in launchers:
            if launcher.poll() is None:
                os.killpg(launcher.pid, signal.SIGKILL)
        codes = [launcher.wait() for launcher in launchers]
        pytest.fail(f"a launcher did not end within 120 s; exit codes {codes}")
    finally:
        # Only the end of each console, which is the most useful part: pytest shows just a few pages.
        print(*[(folder / "console.txt").read_text()[-4000:] for folder in folders], sep="\n---\n")


def children(pid: int) -> list[int]:
    """Return the ids of the processes that a process started, oldest first."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def machines(root: Path, count: int) -> list[Path]:
    folders = [root / f"machine-{number}" for number in range(count)]
    for folder in folders:
        folder.mkdir(parents=True)
    (folders[0] / "apart.yaml").write_text(RECIPE)
    return folders


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "runs/apart/result.json").read_text())


def test_two_machines_train_are_killed_and_resumed_without_a_shared_folder(tmp_path: Path) -> None:
    whole = machines(tmp_path / "whole", 2)
    assert ended(start(whole, "apart.yaml"), whole) == [0, 0]
    found = result(whole[0])
    assert (found["status"], found["processes"]) == ("done", 2)
    assert found["selected_epoch"] < found["epochs"], "the selected weights are sent once more"
    assert (whole[0] / "runs/apart/model/model.safetensors").is_file()
    assert not (whole[1] / "runs").exists(), "only the first machine writes"

    killed = machines(tmp_path / "killed", 2)
    launchers = start(killed, "apart.yaml")
    checkpoints = killed[0] / "runs/apart/checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    # torchrun starts each process in its own session: killing the launcher's session would not end them.
    for pid in [pid for launcher in launchers for pid in [*children(launcher.pid), launcher.pid]]:
        os.kill(pid, signal.SIGKILL)
    ended(launchers, killed)
    assert not (killed[0] / "runs/apart/result.json").exists()
    assert ended(start(killed, "apart.yaml", "--resume", "auto"), killed) == [0, 0]
    assert not (killed[1] / "runs").exists()
    assert outcome(killed[0] / "runs/apart") == outcome(whole[0] / "runs/apart")

    # With a shared folder, the bits are the same.
    shared = machines(tmp_path / "shared", 1)
    assert ended(start([shared[0], shared[0]], "apart.yaml"), shared) == [0, 0]
    assert outcome(shared[0] / "runs/apart") == outcome(whole[0] / "runs/apart")
    # A finished run can be resumed, also on the machine that does not have its folder.
    assert ended(start(whole, "--resume", "runs/apart"), whole) == [0, 0]


def test_machines_find_each_other_over_a_cable(tmp_path: Path, cable: Network) -> None:
    folders, loopback = machines(tmp_path / "cable", 2), machines(tmp_path / "loopback", 2)
    assert ended(start(folders, "apart.yaml", network=cable), folders) == [0, 0]
    assert ended(start(loopback, "apart.yaml"), loopback) == [0, 0]
    assert outcome(folders[0] / "runs/apart") == outcome(loopback[0] / "runs/apart")


def test_a_machine_with_other_images_is_one_line(tmp_path: Path, image_folder: Any) -> None:
    folders = machines(tmp_path / "two", 2)
    photos = image_folder({"ant": 12, "bee": 12})
    for folder in folders:
        shutil.copytree(photos, folder / "photos")
    next((folders[1] / "photos").rglob("*.png")).unlink()
    codes = ended(start(folders, "apart.yaml", "data={kind: folder, root: photos}"), folders)
    assert 0 not in codes
    text = "".join((folder / "console.txt").read_text() for folder in folders)
    assert "error: data: process 1 has other images than process 0: " in text
    assert not list(folders[0].glob("runs/*"))

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.system.launch import Launch, _is_launcher, read


def test_a_process_knows_its_place_among_its_siblings() -> None:
    assert read({}) == Launch(0, 0, 1, 1)
    assert read({"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}).main is False
    with pytest.raises(ZooError, match="launch: asked for several processes, running 1"):
        read({"MASTER_ADDR": "127.0.0.1"})


@pytest.mark.parametrize(
    ("command", "launcher"),
    [
        ("python\0/usr/bin/accelerate\0launch", True),
        ("python\0-m\0torch.distributed.run\0x.py", True),
        ("python\0/x/site-packages/accelerate/commands/launch.py", True),
        ("python\0/venv/bin/accelerate-launch\0scripts/train.py", True),
        ("python\0-u\0-X\0dev\0-m\0torch.distributed.run\0x.py", True),
        ("bash\0run_accelerate.sh", False),
        ("bash\0torchrun_all.sh", False),
        ("python\0/home/accelerate-fan/start.py", False),
    ],
)
def test_only_a_launcher_takes_its_processes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, launcher: bool
) -> None:
    monkeypatch.setattr("zoo.system.launch.Path", lambda _: tmp_path / "cmdline")
    (tmp_path / "cmdline").write_text(command)
    assert _is_launcher(1) == launcher

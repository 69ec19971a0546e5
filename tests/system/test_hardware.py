"""The machine and its software, as `environment.json` records them."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata

import pytest

from zoo.system import hardware


def test_the_environment_says_when_how_and_on_what():
    found = hardware.environment(threads=2)
    assert list(found) == ["date", "command", "platform", "cpu", "cores", "versions", "threads"]
    assert found["threads"] == 2
    assert json.loads(json.dumps(found)) == found


def test_versions_are_those_of_the_installed_packages():
    found = hardware.versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == metadata.version("torch")
    assert hardware.metadata_version("no-such-package-at-all") == ""


def test_cores_are_those_that_this_process_may_use():
    assert hardware.cores() == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else hardware.cores() >= 1


@pytest.mark.parametrize(
    ("chosen", "found"),
    [(None, ["0", "1", "2"]), ("1, 0", ["1", "0"]), ("", []), ("GPU-5a,-1,2", ["GPU-5a"])],
)
def test_gpus_are_named_as_cuda_names_them(monkeypatch, tmp_path, chosen, found):
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(hardware, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert hardware.visible_gpus() == found


def test_the_processor_is_named_and_its_flags_are_listed(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2\n\nmodel name\t: other\n")
    assert (hardware.cpu_name(), hardware.cpu_flags()) == ("AMD EPYC", {"fpu", "avx2"})
    (tmp_path / "cpuinfo").unlink()
    assert (hardware.cpu_name(), hardware.cpu_flags()) == (platform.processor(), set())


def test_a_command_with_a_name_that_is_not_text_can_be_written(monkeypatch):
    monkeypatch.setattr("sys.argv", ["zoo", "train", "caf\udce9.yaml"])
    assert json.dumps(hardware.environment()["command"], ensure_ascii=False).encode() == rb'["zoo", "train", "caf\\udce9.yaml"]'

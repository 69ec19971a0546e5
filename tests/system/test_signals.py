"""SIGTERM and SIGINT in separate processes; signals during whole runs are in tests/faults/test_signals.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = "import os, signal, time\nfrom zoo.errors import Stopped\nfrom zoo.system import signals\nsignals.install()\n"


def process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_before_training_a_signal_stops_the_process_at_once(name):
    code = f"try:\n os.kill(os.getpid(), signal.{name}); time.sleep(9)\nexcept Stopped as error:\n print(error)"
    assert process(code).stdout == f"stopped by {name} before training began (nothing was trained: start it again)\n"


def test_cleaning_up_after_a_signal_is_not_interrupted_by_another():
    code = (
        "try:\n os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)\n"
        "except Stopped:\n os.kill(os.getpid(), signal.SIGTERM); print('cleaned up')"
    )
    assert process(code).stdout == "cleaned up\n"


def test_while_training_a_signal_is_noted_only():
    code = "signals.defer(); print(repr(signals.requested())); os.kill(os.getpid(), signal.SIGTERM); print(signals.requested())"
    assert process(code).stdout == "''\nSIGTERM\n"


def test_a_signal_just_before_training_is_not_lost():
    code = (
        "try:\n os.kill(os.getpid(), signal.SIGTERM)\n time.sleep(9)\nexcept Stopped:\n pass\n"
        "try:\n signals.defer()\nexcept Stopped as error:\n print(error)"
    )
    assert process(code).stdout.startswith("stopped by SIGTERM before training began")


def test_a_second_ctrl_c_ends_the_process_but_an_immediate_repeat_does_not():
    code = (
        "signals.defer()\nsignals.SAME_SECONDS = 0.3\n"
        "for wait in (0.0, 0.1, 0.5):\n time.sleep(wait); os.kill(os.getpid(), signal.SIGINT); time.sleep(0.05); print(wait, flush=True)\n"
        "time.sleep(9)"
    )
    done = process(code)
    assert done.stdout == "0.0\n0.1\n"
    assert done.returncode == 130


def test_a_process_that_cannot_react_ends_after_the_grace():
    code = "signals.GRACE_SECONDS = 0.2\nsignals._state.deferred = True\nos.kill(os.getpid(), signal.SIGTERM); time.sleep(9)"
    assert process(code).returncode == 75


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_work_that_can_be_started_again_ends_with_a_line(name):
    code = (
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try:\n with signals.stoppable():\n  os.kill(os.getpid(), signal." + name + "); time.sleep(9)\n"
        "except Stopped as error:\n print(error, error.exit_code)"
    )
    line = "stopped by a signal before anything was measured (the same command starts again) 75"
    assert process(code).stdout == f"{line}\n"

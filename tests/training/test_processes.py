"""Communication between the processes of a run; most tests start two processes on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.pairs import call_on_two

from zoo.system.launch import Launch
from zoo.training import processes

ALONE = Launch(0, 0, 1, 1)
pytestmark = pytest.mark.slow


def pair(function: str, **arguments: Any) -> dict[str, Any]:
    return call_on_two(f"helpers.process_calls:{function}", **arguments)


def test_only_the_first_process_reads() -> None:
    assert pair("hear_the_first") == {"error": "here: is full (free some)"}


def test_the_others_of_a_machine_find_what_its_first_process_made(tmp_path: Path) -> None:
    assert pair("take_turns", folder=str(tmp_path)) == {"errors": ["data: of 0", "data: of 1"]}


def test_tensors_of_all_kinds_arrive_bit_for_bit() -> None:
    error = "launch: process 1 has another digest than process 0 after step 3: 1 against 0"
    assert pair("share")["error"].startswith(error)


def test_other_images_are_named() -> None:
    found = pair("compare_data")["error"]
    assert found.startswith("data: process 1 has other images than process 0: ")
    assert found.endswith("(give all machines the same images)")
    assert "6" in found
    assert "5" in found


def test_a_silent_process_is_given_up_while_training() -> None:
    assert 1 < pair("wait_in_vain")["seconds"] < 5


@pytest.mark.parametrize("function", [processes.from_first, processes.in_turns])
def test_one_process_does_as_it_is_told(function: Any) -> None:
    assert function(ALONE, lambda: 3) == 3

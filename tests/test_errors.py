"""Errors have three parts, are printed in one line, have fixed exit codes, and are the same in another process."""

from __future__ import annotations

import pickle

import pytest

from zoo import errors
from zoo.errors import Mistakes, Stopped, ZooError

KINDS = [
    errors.ZooError,
    errors.DataError,
    errors.NonFiniteLoss,
    errors.StorageError,
    errors.LostProcess,
]


@pytest.mark.parametrize(("kind", "code"), list(zip([*KINDS, Mistakes, Stopped], [2, 3, 4, 5, 1, 2, 75], strict=True)))
def test_exit_codes(kind: type[ZooError], code: int):
    assert kind.exit_code == code


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_keeps_its_parts_in_another_process_and_at_another_place(kind: type[ZooError]):
    error = kind("data.root", "no such folder: x", "check the path")
    assert str(error) == "data.root: no such folder: x (check the path)"
    for other in (pickle.loads(pickle.dumps(error)), error.at("--data").at("data.root")):
        assert type(other) is kind
        assert (other.where, other.what, other.todo) == ("data.root", "no such folder: x", "check the path")
    assert str(error.at("--data")) == "--data: no such folder: x (check the path)"


def test_an_error_without_advice_has_no_parentheses():
    assert str(ZooError("a", "b")) == "a: b"


def test_an_error_is_printed_in_one_line_whatever_is_in_it():
    assert ZooError("a", "b\n  c\td").lines == ["a: b c d"]


def test_mistakes_are_a_line_each_and_stay_at_their_places():
    error = Mistakes(["r:1: a: wrong", "r:2: b:\nwrong"])
    for same in (error, error.at("--elsewhere"), pickle.loads(pickle.dumps(error))):
        assert isinstance(same, Mistakes)
        assert same.lines == ["r:1: a: wrong", "r:2: b: wrong"]


def test_no_handler_of_ordinary_errors_catches_a_stop():
    assert not issubclass(Stopped, Exception)
    assert str(Stopped("SIGTERM", "after step 3", "--resume")) == "stopped by SIGTERM after step 3 (--resume)"


def test_the_nearest_words_come_best_first():
    assert errors.nearest("resnet19", ["resnet18", "resnet50", "vit"], 2)[0] == "resnet18"
    assert errors.nearest("zzz", ["resnet18"]) == []

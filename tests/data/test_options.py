"""The data sets that a recipe may name."""

from __future__ import annotations

from typing import get_args

import pytest

from zoo.data.data_set import DataSet
from zoo.data.options import Data, Folder

KINDS = get_args(get_args(Data)[0])


def test_every_data_set_has_a_kind_of_its_own() -> None:
    assert all(issubclass(kind, DataSet) for kind in KINDS)
    names = [get_args(kind.model_fields["kind"].annotation)[0] for kind in KINDS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Folder])
def test_a_kind_whose_name_is_enough_has_nothing_to_mend(kind: type[DataSet]) -> None:
    assert list(kind().rules()) == []
    kind().check()

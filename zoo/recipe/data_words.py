"""Read a data set from words such as `kind=cifar10 root=data`: the options of a recipe's `data` section, checked the same way."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.data.data_set import DataSet
from zoo.data.options import Data
from zoo.errors import Mistakes
from zoo.recipe import messages, yaml
from zoo.section import Section


class _Words(Section):
    data: Data


def read_data(words: Sequence[str]) -> DataSet:
    """Return the data set described by a list of words.

    Args:
        words: `key=value` each, where the key may start with `data.` as in a recipe.

    Raises:
        ZooError: a word is not of the form `key=value`.
        Mistakes: one line for every mistake.
    """
    written = yaml.Source("--data")
    yaml.apply_overrides(written, [word if word.startswith("data.") else f"data.{word}" for word in words])
    data = messages.validate(_Words, written).data
    mistakes = [messages.mistake_at(written, ("data", key), text) for key, text in data.rules()]
    if mistakes:
        raise Mistakes(mistakes)
    return data

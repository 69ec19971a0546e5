"""Match the classes of labeled images with the classes of a model: by name, never by position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo.errors import ZooError
from zoo.system.console import plural

# Maximum number of names in a line.
SHOWN = 5


@dataclass(frozen=True)
class Matching:
    """The model's outputs for the classes of the data.

    Attributes:
        outputs: the model's output for each class of the data; None if the model does not know the class.
        notes: the differences, one line each.
    """

    outputs: tuple[int | None, ...]
    notes: tuple[str, ...]


def match_classes(data: Sequence[str], model: Sequence[str], aliases: Mapping[str, int], counts: Sequence[int]) -> Matching:
    """Find the model's output for each class of the data, by name or else by an alias.

    Args:
        data: the names of the data's classes.
        model: the names of the model's classes.
        aliases: other names of the model's classes, in lower case, with their outputs.
        counts: the number of images of each class of the data.

    Raises:
        ZooError: the data and the model have no class in common.
    """
    exact = _unique(model)
    others = dict(aliases) | _unique([_spelling(name) for name in model])
    outputs = [exact[name] if name in exact else _by_other_name(name, others) for name in data]
    if all(output is None for output in outputs):
        what = f"no class in common: the data has {listed(data)}; the model has {listed(model)}"
        raise ZooError("--data", what, "name the folders as the model names its classes")
    return Matching(tuple(outputs), tuple(_notes(data, model, outputs, counts)))


def _spelling(name: str) -> str:
    """Normalize the case and the spaces of a name: folders often have lower case, and underscores for spaces."""
    return " ".join(name.casefold().replace("_", " ").split())


def _unique(names: Sequence[str]) -> dict[str, int]:
    """Return the index of each name that occurs exactly once."""
    counts = Counter(names)
    return {name: place for place, name in enumerate(names) if counts[name] == 1}


def _by_other_name(name: str, others: Mapping[str, int]) -> int | None:
    """Return the output of a name in lower case, or with spaces for underscores; None for an unknown name."""
    return next((others[text] for text in (name.lower(), _spelling(name)) if text in others), None)


def _notes(data: Sequence[str], model: Sequence[str], outputs: Sequence[int | None], counts: Sequence[int]) -> list[str]:
    """Return a line each for classes in another order, with other names, unknown to the model, and without images."""
    notes = []
    known = [output for output in outputs if output is not None]
    if known != sorted(known):
        notes.append("the classes are in another order than the model's: matched by name")
    pairs = [(name, model[output]) for name, output in zip(data, outputs, strict=True) if output is not None]
    renamed = [f"{name} is {own}" for name, own in pairs if name != own]
    if renamed:
        notes.append(f"matched under another name: {listed(renamed)}")
    unknown = [name for name, output in zip(data, outputs, strict=True) if output is None]
    if unknown:
        images = sum(count for count, output in zip(counts, outputs, strict=True) if output is None)
        text = f"left out: {plural(images, 'image')} of {plural(len(unknown), 'class', 'classes')} that the model does not know"
        notes.append(f"{text}: {listed(unknown)}")
    with_images = {output for output, count in zip(outputs, counts, strict=True) if count}
    absent = [name for output, name in enumerate(model) if output not in with_images]
    if absent:
        # A list of nearly all classes of ImageNet would not help.
        names = f": {listed(absent)}" if 2 * len(absent) <= len(model) else ""
        notes.append(f"no images of {len(absent):,} of the model's {len(model):,} classes{names}")
    return notes


def listed(names: Sequence[str]) -> str:
    """Join the first names, and count the others. Names with commas, such as ImageNet's, are separated by semicolons."""
    gap = "; " if any("," in name for name in names[:SHOWN]) else ", "
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return gap.join(names[:SHOWN]) + more

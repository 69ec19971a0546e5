"""Check that timm loaded every tensor of a model from its weights, and read NumPy archives of JAX weights.

timm only logs the tensors that it could not load. Here every tensor of the model, except those of a new head, must come
from the weights, however timm loads them:

- with `load_state_dict`, whose results are recorded (`recorded`);
- by copying each tensor itself: the tensors are then compared with those of the file (`compare_tensors`);
- from a NumPy archive, with the architecture's own reader (`load_archive`).
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zoo.errors import ZooError, first_line
from zoo.models.weight_sources import WHERE, Found, Tensors

# Auxiliary classifiers on inner layers of a network, which are used only in training.
AUXILIARY = ("AuxLogits", "aux", "aux1", "aux2", "aux_head")


@dataclass(frozen=True)
class Loaded:
    """The tensors that did not match in a load, as `load_state_dict` reports them.

    Attributes:
        missing: tensors of the model that were not loaded.
        unexpected: tensors of the file that the model does not have.
    """

    missing: list[str]
    unexpected: list[str]


@contextlib.contextmanager
def recorded() -> Iterator[list[tuple[nn.Module, Loaded]]]:
    """Record the result of every `load_state_dict` within the block, and make it not strict.

    timm only logs missing tensors, and strict loading raises an error of many lines.
    """
    seen: list[tuple[nn.Module, Loaded]] = []
    original = nn.Module.load_state_dict

    def load_state_dict(self: nn.Module, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:  # noqa: ARG001
        result = original(self, state_dict, strict=False, assign=assign)
        seen.append((self, Loaded(result.missing_keys, result.unexpected_keys)))
        return result

    logger = logging.getLogger("timm")
    level = logger.level
    nn.Module.load_state_dict = load_state_dict  # type: ignore[method-assign]
    # timm's warnings are about tensors that `check_loaded` reports.
    logger.setLevel(logging.ERROR)
    try:
        yield seen
    finally:
        nn.Module.load_state_dict = original  # type: ignore[method-assign]
        logger.setLevel(level)


def compare_tensors(model: nn.Module, tensors: Tensors, left_out: Collection[str] = ()) -> Loaded:
    """Find the tensors of a model that equal none in a file, and the tensors of the file that are not in the model.

    A tensor is looked up by its name first, then by its shape and values, because timm renames some tensors.

    Args:
        model: the model after loading.
        tensors: tensors of the file.
        left_out: modules whose tensors in the file are ignored: the classifiers, if the head is new.
    """
    state = model.state_dict()
    rest = dict(tensors)
    missing = []
    for name, ours in state.items():
        candidates = [name] if name in rest else []
        candidates += [other for other, tensor in rest.items() if other not in state and tensor.shape == ours.shape]
        equal = next((other for other in candidates if torch.equal(rest[other].to(ours), ours)), None)
        if equal is None:
            missing.append(name)
        else:
            del rest[equal]
    return Loaded(missing, [name for name in rest if name not in missing and not within(name, left_out)])


def check_loaded(model: nn.Module, head: tuple[str, ...], loaded: Loaded, source: str, *, own_head: bool) -> str:
    """Check that every tensor was loaded.

    Args:
        model: the model after loading.
        head: names of the last layer's parameters.
        loaded: the missing and the unexpected tensors.
        source: where the weights came from, for errors.
        own_head: whether the head had to be loaded too.

    Returns:
        A summary for the console, with the number of tensors.

    Raises:
        ZooError: a tensor is missing, unexpected or not finite. Tensors of a new head may be missing.
    """
    # Some weights have neither a classifier nor the norm before it; some have an auxiliary classifier as well.
    beside = {key.rpartition(".")[0].rpartition(".")[0] for key in head} - {""}
    lacking = [] if own_head else [key for key in loaded.missing if key not in head and within(key, beside)]
    state = model.state_dict()
    body = [name for name in state if own_head or (name not in head and name not in lacking)]
    missing = [key for key in loaded.missing if key in body]
    unexpected = [key for key in loaded.unexpected if not within(key, AUXILIARY)]
    if missing or unexpected:
        what = f"{source} matches {len(body) - len(missing)} of {len(body)} tensors"
        if missing:
            what += f", {len(missing)} missing, first {missing[0]}"
        if unexpected:
            what += f", {len(unexpected)} unexpected, first {unexpected[0]}"
        raise ZooError(WHERE, what, "check backbone.name")
    broken = [name for name in body if not torch.isfinite(state[name]).all()]
    if broken:
        raise ZooError(WHERE, f"{source} holds values that are not finite, first in {broken[0]}", "use other weights")
    text = f"{len(body)} of {len(body)} tensors" + (", including its head" if own_head else ", new head")
    if lacking:
        text += f" with {', '.join(lacking)}"
    auxiliary = len(loaded.unexpected)
    tensors = "tensor" if auxiliary == 1 else "tensors"
    return text + (f", {auxiliary} {tensors} of an auxiliary head left out" if auxiliary else "")


@torch.no_grad()
def load_archive(model: Any, head: tuple[str, ...], found: Found) -> tuple[Loaded, bool]:
    """Load a NumPy archive of JAX weights with timm's reader for the architecture.

    The reader copies, joins and resizes arrays, so tensors cannot be compared with those of the file. Instead, every
    parameter is filled with NaN first: a parameter that is still NaN afterwards was not read.

    Returns:
        The missing tensors, and whether the head was loaded too.

    Raises:
        ZooError: timm has no reader for this architecture, or the reader fails on the file.
    """
    kind = type(model).__name__
    if not hasattr(model, "load_pretrained"):
        raise ZooError(WHERE, f"{found.source} is a JAX archive, which timm cannot read for {kind}", "convert it")
    parameters = dict(model.named_parameters())
    new = {name: parameters[name].clone() for name in head}
    for parameter in parameters.values():
        parameter.fill_(float("nan"))
    try:
        model.load_pretrained(str(found.archive))
    except Exception as error:  # whatever NumPy and timm's readers raise
        # timm does not close the archive. Clearing the frames that hold it closes it now instead of at some later time.
        traceback.clear_frames(error.__traceback__)
        reason = first_line(error)
        raise ZooError(WHERE, f"{found.source} does not fit {kind}: {reason}", "check backbone.name") from None
    unread = [name for name, parameter in parameters.items() if parameter.isnan().all()]
    own_head = not any(name in unread for name in head)
    for name in () if own_head else head:
        parameters[name].copy_(new[name])
    return Loaded([name for name in unread if own_head or name not in head], []), own_head


def within(key: str, modules: Collection[str]) -> bool:
    """Return whether a tensor belongs to one of the modules."""
    return any(key.startswith(f"{module}.") for module in modules)

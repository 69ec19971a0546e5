"""The stages of a run: where each stage begins, and the rules between stages and the length of the run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from zoo.models.finetune import Finetune, Stage
from zoo.optim.schedules import Schedule
from zoo.recipe.sections import Train
from zoo.section import AUTO

# Shares of the steps for `gradual`: head, last layers, the layers before them, everything. Of five epochs, they take one, one,
# one and two, as fastai trains ULMFiT's classifier (Howard and Ruder 2018, section 3.3).
GRADUAL_SHARES = (0.2, 0.2, 0.2, 0.4)
# Sums of shares that differ by less than this count as equal.
ROUNDING = 1e-9


def begins(stages: Sequence[Stage], epochs: int | None) -> list[float]:
    """Return where each stage begins, as a share of the run's steps.

    Args:
        stages: the stages of the recipe, checked by `stage_rules`.
        epochs: epochs of the run; None if its time is limited instead.
    """
    found = [0.0]
    for stage in stages[:-1]:
        found.append(found[-1] + share_of(stage, epochs))
    return found


def share_of(stage: Stage, epochs: int | None) -> float:
    """Return the share of the steps that a stage asks for; 0 if it sets no length."""
    if stage.epochs is not None and epochs:
        return stage.epochs / epochs
    return stage.share or 0.0


def least_epochs(finetune: Finetune) -> int:
    """Return the smallest number of epochs that the stages of a run fit into."""
    if isinstance(finetune.stages, str):
        return 1
    epochs = sum(stage.epochs or 0 for stage in finetune.stages)
    rest = 1 - sum(stage.share or 0.0 for stage in finetune.stages)
    if _length(finetune.stages[-1]) is not None:
        return max(1, epochs)
    return max(1, math.floor(epochs / max(rest, ROUNDING) + ROUNDING) + 1)


def stage_rules(finetune: Finetune, train: Train, schedule: Schedule) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Check that stages fit each other and the run; yield the key to blame and the error text for each broken rule."""
    stages = finetune.stages
    if stages == "none":
        return
    if finetune.freeze != "none":
        yield ("finetune", "freeze"), f"{finetune.freeze}, but finetune.stages says what is frozen (leave freeze out)"
    if isinstance(stages, str):
        return
    broken = False
    for number, stage in enumerate(stages):
        for key, text in _stage_rules(stage, train, last=number == len(stages) - 1):
            broken = True
            yield ("finetune", "stages", number, key), text
    if broken or (train.epochs == AUTO and train.max_minutes is None):
        # `auto` chooses as many epochs as the stages need, but shares must add up to less than 1.
        shares = sum(stage.share or 0.0 for stage in stages)
        if not broken and shares >= 1:
            yield ("finetune", "stages"), f"shares add up to {shares:g} (lower them to less than 1 in total)"
        return
    epochs = None if train.max_minutes is not None or train.epochs == AUTO else train.epochs
    yield from ((("finetune", "stages"), text) for text in _misfits(stages, epochs))
    shortest = min((stage.epochs for stage in stages if stage.epochs), default=math.inf)
    if schedule.warmup_epochs > shortest:
        text = f"{schedule.warmup_epochs:g} exceeds the stage length {shortest}, and each stage warms up (lower it)"
        yield ("schedule", "warmup_epochs"), text


def _length(stage: Stage) -> float | None:
    return stage.share if stage.epochs is None else stage.epochs


def _stage_rules(stage: Stage, train: Train, *, last: bool) -> Iterator[tuple[str, str]]:
    """Check a single stage; yield the key to blame and the error text for each broken rule."""
    if stage.epochs is not None and stage.share is not None:
        yield "share", "this stage has epochs too (write only one of them)"
    if _length(stage) is None and not last:
        yield "freeze", "no length given, which only the last stage may omit (add epochs or share)"
    if stage.epochs is not None and train.max_minutes is not None:
        yield "epochs", "cannot be combined with train.max_minutes (write share instead, e.g. 0.2)"


def _misfits(stages: Sequence[Stage], epochs: int | None) -> Iterator[str]:
    """Yield the error text if the stages do not add up to the run; `epochs` is None if the run's time is limited instead."""
    total, whole = sum(share_of(stage, epochs) for stage in stages), _length(stages[-1]) is not None
    if epochs is None:
        text, rest = f"shares add up to {total:g}", "1"
    else:
        text, rest = f"the stages take {total * epochs:g} epochs", f"the {epochs} of train.epochs"
    if whole and abs(total - 1) > ROUNDING:
        yield f"{text}, not {rest} (change one, or leave the last one open)"
    elif not whole and total > 1 - ROUNDING:
        yield f"{text}, which leaves nothing of {rest} for the last one (shorten them or train longer)"

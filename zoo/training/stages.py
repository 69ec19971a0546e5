"""Train in stages: which parameters learn at a step, and how fast, is a function of the step's place in the run.

A frozen parameter gets no gradient, so an optimizer leaves it and its moments as they are, without weight decay.
The optimizer has all parameters that train in any of the stages, so the contents of a checkpoint do not depend on the stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from zoo.errors import ZooError
from zoo.models.build import BuiltModel
from zoo.models.finetune import Frozen, Stage, fixed_norms, frozen_parameters, frozen_parts
from zoo.optim.schedules import Schedule
from zoo.recipe.recipe import Recipe
from zoo.recipe.stages import GRADUAL_SHARES, begins
from zoo.section import decided
from zoo.training.budget import StepPlan
from zoo.training.parameter_table import shown_count


@dataclass(frozen=True)
class Part:
    """One stage of a run.

    Attributes:
        freeze: what is frozen, as in the recipe.
        begins: share of the run's steps after which it begins.
        lr: peak learning rate.
        trained: the parameters that learn.
        fixed: BatchNorm layers that stay in evaluation mode.
    """

    freeze: Frozen
    begins: float
    lr: float
    trained: list[nn.Parameter]
    fixed: list[nn.Module]


def _say_nothing(_text: str) -> None:
    """Print nothing."""


@dataclass
class Stages:
    """The stages of a run.

    Attributes:
        parts: one for each stage.
        plan: the steps of the run.
        per_epoch: steps of an epoch.
        schedule: of the learning rate; it runs once in each stage, with its own warm-up and decay.
        epochs: of the run, None if its time is given.
        prepare: prepares the model again for the parameters that learn now, given torch's own optimizer; None on one process.
        say: called with a line of text when a stage begins.
        current: the stage that the model is set up for, None before the first step.
    """

    parts: list[Part]
    plan: StepPlan
    per_epoch: int
    schedule: Schedule
    epochs: int | None = None
    prepare: Callable[[Optimizer], tuple[nn.Module, Any]] | None = None
    say: Callable[[str], None] = field(default=_say_nothing)
    current: int | None = None

    def first_step(self, number: int) -> int:
        """Return the step at which a stage begins in the current plan; one past the last stage gives the end of the run."""
        return self.plan.steps if number == len(self.parts) else round(self.parts[number].begins * self.plan.steps)

    def at(self, step: int) -> int:
        """Return the stage of a step, counted from 0."""
        place = self.plan.place(step)
        return max(number for number in range(len(self.parts)) if self.first_step(number) <= place or number == 0)

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        number = self.at(step)
        first, end = self.first_step(number), self.first_step(number + 1)
        return self.parts[number].lr * self.schedule.lr_at(self.plan.place(step) - first, end - first, self.per_epoch)

    def enter(self, number: int) -> list[nn.Module]:
        """Let the parameters of a stage learn, and no others; return the modules that must be in evaluation mode."""
        part = self.parts[number]
        learning = {id(parameter) for parameter in part.trained}
        for parameter in {id(each): each for other in self.parts for each in other.trained}.values():
            parameter.requires_grad_(id(parameter) in learning)
            # A gradient that is left there would count in the next step.
            parameter.grad = None
        self.current = number
        self.say(f"stage {self.text(number)}")
        return part.fixed

    def share(self, number: int) -> float:
        """Return the share of the run's steps that a stage takes."""
        end = self.parts[number + 1].begins if number + 1 < len(self.parts) else 1.0
        return end - self.parts[number].begins

    def text(self, number: int) -> str:
        """Describe a stage: `1 of 3: freeze backbone, 12,810 parameters learn, 1 epoch, peak lr 0.001`."""
        part = self.parts[number]
        count = sum(parameter.numel() for parameter in part.trained)
        what = "all" if part.freeze == "none" else shown_count(count)
        length = f"{100 * self.share(number):.3g} % of the run"
        if self.epochs is not None:
            epochs = self.share(number) * self.epochs
            length = f"{epochs:.3g} epoch{'s' * (round(epochs, 3) != 1)}"
        return f"{number + 1} of {len(self.parts)}: freeze {part.freeze}, {what} parameters learn, {length}, peak lr {part.lr:g}"


def stages_of(recipe: Recipe, built: BuiltModel, plan: StepPlan, per_epoch: int) -> Stages | None:
    """Return the stages of a run, or None if it has none.

    Args:
        recipe: with its open options chosen.
        built: the model; parameters that are frozen throughout are marked already.
        plan: the steps of the run.
        per_epoch: steps of an epoch.

    Raises:
        ZooError: the run has too few steps for its stages.
    """
    finetune, model = recipe.finetune, built.model
    if finetune.stages == "none":
        return None
    frozen = frozen_parts(finetune, model, built.head)
    listed = finetune.stages
    if listed == "gradual":
        listed = [Stage(freeze=part, share=share) for part, share in zip(frozen, GRADUAL_SHARES, strict=True)]
    epochs = None if recipe.train.max_minutes is not None else decided(recipe.train.epochs)
    parts: list[Part] = []
    for stage, first in zip(listed, begins(listed, epochs), strict=True):
        names = frozen_parameters(stage.freeze, model, built.head)
        trained = [parameter for name, parameter in model.named_parameters() if name not in names]
        parts.append(Part(stage.freeze, first, stage.lr or recipe.optim.lr, trained, fixed_norms(finetune, model, names)))
    stages = Stages(parts, plan, per_epoch, recipe.schedule, epochs)
    if epochs is not None and any(stages.first_step(number) == stages.first_step(number + 1) for number in range(len(parts))):
        raise ZooError("finetune.stages", f"{plan.steps} steps are too few for {len(parts)} stages", "train longer")
    return stages

"""Stages must fit each other and the run, or one line reports where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.recipes import GOOD, load, mistakes

from zoo.recipe.stages import begins, least_epochs

HEAD_FIRST = "finetune.stages=[{freeze: backbone, epochs: 1, lr: 1.0e-3}, {freeze: 3, share: 0.2}, {freeze: none}]"


def test_the_last_stage_takes_the_rest(tmp_path: Path) -> None:
    finetune = load(tmp_path, GOOD, HEAD_FIRST, "train.epochs=10").finetune
    assert begins(finetune.stages, 10) == pytest.approx([0, 0.1, 0.3])  # type: ignore[arg-type]
    assert least_epochs(finetune) == 2
    exact = load(tmp_path, GOOD, "finetune.stages=[{freeze: backbone, epochs: 1}, {epochs: 4}]", "train.epochs=5").finetune
    assert least_epochs(exact) == 5
    assert least_epochs(load(tmp_path, GOOD).finetune) == 1


@pytest.mark.parametrize(
    ("stages", "more", "text"),
    [
        ("[{freeze: backbone, epochs: 5}, {}]", "", "finetune.stages: the stages take 5 epochs, which leaves nothing of the 5 of train.epochs"),
        ("[{freeze: backbone, epochs: 1}, {epochs: 2}]", "", "finetune.stages: the stages take 3 epochs, not the 5 of train.epochs (change one"),
        ("[{share: 0.5}, {share: 0.6}, {}]", "train.max_minutes=1", "finetune.stages: shares add up to 1.1, which leaves nothing of 1"),
        ("[{share: 0.5}, {share: 0.6}, {}]", "train.epochs=auto", "finetune.stages: shares add up to 1.1 (lower them"),
        ("[{freeze: backbone}, {}]", "", "finetune.stages.0.freeze: no length given, which only the last stage may omit"),
        ("[{epochs: 1, share: 0.1}, {}]", "", "finetune.stages.0.share: this stage has epochs too"),
        ("[{epochs: 1}, {}]", "train.max_minutes=1", "finetune.stages.0.epochs: cannot be combined with train.max_minutes (write share instead"),
        ("[{epohs: 1}, {}]", "", "finetune.stages.0.epohs: unknown key (did you mean 'finetune.stages.0.epochs'?)"),
        ("[{freeze: bakbone, epochs: 1}, {}]", "", "finetune.stages.0.freeze: unknown 'bakbone' (did you mean 'backbone'?"),
        ("[]", "", "finetune.stages: expected none, gradual or a list of stages"),
        ("grad", "", "finetune.stages: unknown 'grad' (known: none, gradual, a list of stages)"),
        ("gradual", "finetune.freeze=2", "finetune.freeze: 2, but finetune.stages says what is frozen (leave freeze out)"),
        ("[{epochs: 1}, {}]", "schedule={kind: cosine, warmup_epochs: 2}", "schedule.warmup_epochs: 2 exceeds the stage length 1"),
    ],
)  # fmt: skip
def test_stages_that_do_not_fit_are_refused_in_one_line(tmp_path: Path, stages: str, more: str, text: str) -> None:
    found = mistakes(tmp_path, GOOD, "train.epochs=5", f"finetune.stages={stages}", *([more] if more else []))
    assert len(found) == 1
    assert found[0].startswith(text)


def test_the_line_of_a_stage_is_named(tmp_path: Path) -> None:
    text = GOOD + "finetune:\n  stages:\n    - {freeze: backbone}\n    - {}\n"
    (found,) = mistakes(tmp_path, text)
    assert f":{text[: text.index('    - {freeze')].count(chr(10)) + 1}: finetune.stages.0.freeze" in found

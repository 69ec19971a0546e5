from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers.reports import ODD, RESULT, facts, run_folder, scored

from zoo.recipe.load import load_recipe
from zoo.report import wording
from zoo.report.analysis import Certain, Pair
from zoo.report.facts import read_facts
from zoo.results.result import Result


def test_a_name_keeps_all_that_html_can_hold() -> None:
    kept = {name: wording.fit_text(name) for name in ODD}
    assert {name for name, text in kept.items() if name != text} == {"\u202egpj.evil", "lone\ufffe\x85"}
    assert kept["lone\ufffe\x85"] == "lone\ufffd\ufffd"
    assert wording.fit_text("a\udc80b\x00") == "a\ufffdb\ufffd"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.975, "97.5 %"), (1.0, "100.0 %"), (0.9997, "99.97 %"), (0.0, "0.0 %"), (0.0001, "0.01 %"), (None, "–"), (math.nan, "–")],
)
def test_a_share_is_100_percent_only_where_it_is_all(value: float | None, text: str) -> None:
    assert wording.share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "50.0 %"), (0.99999, "> 99.9 %"), (1.0, "100.0 %"), (1e-9, "< 0.1 %"), (0.0, "0.0 %"), (math.nan, "not a number")],
)
def test_probabilities_near_the_ends_say_so(value: float, text: str) -> None:
    assert wording.probability(value) == text


def test_the_headline_of_a_finished_run_is_the_sentence_that_a_person_wants(tmp_path: Path) -> None:
    found = read_facts(run_folder(tmp_path / "run"))
    assert wording.headline(found) == "97.5 % of 359 test images right."
    expected = "95 % interval 95.3 to 98.7 %; epoch 1 of 5, chosen by val.accuracy; test scored once, after selection."
    assert wording.details(found) == expected


def test_a_run_without_a_test_set_says_so() -> None:
    result = Result.model_validate(RESULT | {"test": None, "selected_by": "last"})
    found = facts(("cat", "dog"), scored(2), result=result)
    assert wording.headline(found).endswith("% of 60 validation images right; there is no test set.")
    assert wording.details(found) == "epoch 1, the last one."
    assert wording.headline(facts((), result=result)) == "50.0 % of the validation images right; there is no test set."


def test_a_run_whose_result_is_damaged_still_has_its_headline() -> None:
    found = facts(("cat", "dog"), scored(2))
    right = int(found.scored["test"].hits.sum())
    assert wording.headline(found) == f"{100 * right / 60:.1f} % of 60 test images right."
    assert wording.details(found).startswith("95 % interval ")


def test_an_unfinished_run_says_how_far_it_came(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", done=False)
    found = read_facts(run)
    assert wording.headline(found) == "Not finished after epoch 2 of 5."
    assert wording.details(found) == "The best val.accuracy so far is 70.00 %, in epoch 2. It has no checkpoint to resume from."
    (run / "checkpoints/step-00000004").mkdir(parents=True)
    assert wording.details(read_facts(run)).endswith(f"of step 4, and `zoo train --resume {run}` continues from there.")
    assert wording.commands(read_facts(run)) == {"Resume it": f"zoo train --resume {run}"}
    going = facts((), going=True)
    assert wording.headline(going) == "Still training, before its first epoch ended."
    assert wording.commands(going) == {}


def test_certainty_is_told_in_sentences() -> None:
    row = Certain(0.9, 712, 0.712, 0.996)
    assert (
        wording.certain_sentence(row)
        == "The model is at least 90 % certain of 71.2 % of the images, and 99.6 % of them are right."
    )
    assert wording.certain_sentence(Certain(0.9, 3, 0.3, 1.0)).endswith("30.0 % of the images, and all of them are right.")
    assert wording.certain_sentence(Certain(0.9, 0, 0.0, None)) == "The model is at least 90 % certain of none of the images."
    assert wording.overconfidence_sentence(0.026) == "On average it is more certain than it is right, by 2.6 points."
    assert wording.overconfidence_sentence(-0.3) == "On average it is much less certain than it is right, by 30.0 points."
    assert wording.overconfidence_sentence(0.0001) == "On average it is as certain as it is right."
    assert wording.overconfidence_sentence(math.nan) == "Some probabilities are not numbers."


@pytest.mark.parametrize(
    ("count", "text"),
    [(12, "12 of 100 images of cat are taken for dog (12.0 %)."), (1, "1 of 100 images of cat is taken for dog (1.0 %).")],
)
def test_a_confused_pair_is_a_sentence(count: int, text: str) -> None:
    pair = Pair(0, 1, count, 100, scored(2).labels[:count])
    *words, share = wording.pair_sentence(pair, ["cat", "dog"])
    assert f"{''.join(words)} {share}" == text


def test_commands_can_be_copied() -> None:
    began = ["/venv/bin/zoo", "train", "a b", "data={kind: digits}"]
    found = wording.commands(
        facts((), run=Path("runs/my run"), result=Result.model_validate(RESULT), environment={"command": began, "threads": 2})
    )
    assert found["Predict with it"] == "zoo predict 'runs/my run' photo.jpg"
    assert found["It was started by"] == "zoo train 'a b' 'data={kind: digits}'"
    bits = "train.precision=fp32 train.channels_last=true train.accumulate=4 train.threads=2"
    assert found["Repeat it to the bit, on this machine"] == f"zoo train 'runs/my run/recipe.yaml' {bits}"
    module = facts((), result=Result.model_validate(RESULT), environment={"command": ["/x/zoo/__main__.py", "train"]})
    assert wording.commands(module)["It was started by"] == "zoo train"


def test_views_and_a_temperature_are_said() -> None:
    temperature = {"value": 1.37, "images": 100, "loss": (0.5, 0.4), "ece": (0.1, 0.02)}
    found = facts(("cat", "dog"), result=Result.model_validate(RESULT | {"tta": "hflip", "temperature": temperature}))
    assert wording.details(found).endswith(
        "probabilities averaged over each image and its mirror; temperature 1.37, fitted on validation images."
    )


def test_a_run_is_not_said_to_repeat_to_the_bit_where_it_cannot() -> None:
    title, result = "Repeat it to the bit, on this machine", Result.model_validate(RESULT)
    assert title in wording.commands(facts((), result=result))
    assert title not in wording.commands(facts((), result=result.model_copy(update={"processes": 2})))
    for key in ("changes", "resumed_with"):
        assert title not in wording.commands(facts((), result=result, environment={key: [1]}))
    on_gpu = result.model_copy(update={"device_type": "cuda"})
    for deterministic in (True, False):
        chosen = load_recipe(Path("quickstart"), [f"train.deterministic={str(deterministic).lower()}"])
        assert (title in wording.commands(facts((), result=on_gpu, recipe=chosen))) == deterministic
    limited = load_recipe(Path("quickstart"), ["train.max_minutes=1"])
    assert title not in wording.commands(facts((), result=result, recipe=limited))

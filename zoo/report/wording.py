"""Numbers as text, and the sentences of the page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from zoo.data.views import ABOUT
from zoo.metrics import interval, merit
from zoo.report.analysis import Certain, Pair
from zoo.report.facts import Facts
from zoo.report.scored import Scored
from zoo.results.result import Result
from zoo.section import AUTO
from zoo.system.console import plural
from zoo.system.table import percent

# Characters that a file name may have but HTML must not: control characters, lone surrogates and noncharacters. Also overrides
# of the text direction, which make a name read as another one. Joiners and direction marks are legitimate and are kept.
LAST_OF_PLANES = "".join(chr((plane << 16) | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
UNFIT = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e\ud800-\udfff\ufdd0-\ufdef{LAST_OF_PLANES}]")
# Digits of a percentage are increased up to (not including) this number, if fewer would round it to 0 or 100.
MOST_DIGITS = 4
# A gap between mean probability and accuracy above this is called "much" too certain or uncertain.
MUCH = 0.1


def fit_text(value: object) -> str:
    """Return a text for HTML; unfit characters are replaced by U+FFFD, the replacement character."""
    return UNFIT.sub("\N{REPLACEMENT CHARACTER}", str(value))


def share(value: float | None, digits: int = 1) -> str:
    """Return a share in percent, with more digits if it would wrongly round to 0 % or 100 %; a dash for None or NaN."""
    if value is None or value != value:
        return "–"
    for more in range(digits, MOST_DIGITS):
        text = percent(value, more)
        if value in (0, 1) or float(text.split()[0]) not in (0, 100):
            return text
    return percent(value, digits)


def probability(value: float) -> str:
    """Return a probability in percent; values near 0 and 1 become `< 0.1 %` and `> 99.9 %`."""
    if value != value:
        return "not a number"
    if 0 < value < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= value < 1:
        return "> 99.9 %"
    return percent(value, 1)


def headline(facts: Facts) -> str:
    """Return the most important sentence: the accuracy, or the state of an unfinished run."""
    result, scored = facts.result, facts.judged
    if result and result.test:
        return f"{share(result.test.accuracy)} of {result.test.n:,} test images right."
    if result and scored:
        return f"{share(float(scored.hits.mean()))} of {len(scored):,} validation images right; there is no test set."
    if result:
        found = f"{share(result.val['accuracy'])} of the validation images right; " if result.val else ""
        return found + "there is no test set."
    if scored:
        # The result file exists but is damaged.
        return f"{share(float(scored.hits.mean()))} of {len(scored):,} {split_name(scored)} images right."
    return f"{_state(facts)} after {_epochs(facts)}." if facts.history else f"{_state(facts)}, before its first epoch ended."


def _state(facts: Facts) -> str:
    return "Still training" if facts.going else "Not finished"


def _epochs(facts: Facts) -> str:
    done = facts.history[-1]["epoch"]
    planned = _planned_epochs(facts)
    return f"epoch {done} of {planned}" if planned else plural(done, "epoch")


def _planned_epochs(facts: Facts) -> int | None:
    """Return the planned epochs of a run; None if its time was limited instead, or the epochs are unknown."""
    train = facts.recipe.train if facts.recipe else None
    return train.epochs if train and train.epochs != AUTO and train.max_minutes is None else None


def details(facts: Facts) -> str:
    """Return the details of the headline: the interval, the selected epoch, and when the test set was evaluated."""
    result = facts.result
    if result is None:
        return _unfinished(facts)
    parts = []
    if result.test:
        low, high = result.test.ci95
        parts.append(f"95 % interval {percent(low, 1).removesuffix(' %')} to {percent(high, 1)}")
    planned = _planned_epochs(facts)
    of = f" of {planned}" if planned else ""
    how = "the last one" if result.selected_by == "last" else f"chosen by {result.selected_by}"
    parts.append(f"{result.selected}{of}, {how}")
    if result.test and result.test_scored:
        parts.append(f"test scored {result.test_scored}")
    if result.tta != "none":
        parts.append(f"probabilities averaged over {ABOUT[result.tta]}")
    if result.temperature:
        parts.append(f"temperature {result.temperature.value:g}, fitted on validation images")
    return "; ".join(parts) + "."


def _unfinished(facts: Facts) -> str:
    """Return the details of a run without a result, and how to continue it."""
    if scored := facts.judged:
        low, high = interval(float(scored.hits.mean()), len(scored))
        return f"95 % interval {percent(low, 1).removesuffix(' %')} to {percent(high, 1)}."
    parts = []
    key = facts.recipe.eval.select_by if facts.recipe else "val.accuracy"
    rows = [row for row in facts.history if isinstance(row.get(key), float)]
    if rows:
        best = max(rows, key=lambda row: merit(key, row[key]))
        value = share(best[key], 2) if key.endswith("accuracy") else f"{best[key]:.4g}"
        parts.append(f"The best {key} so far is {value}, in epoch {best['epoch']}.")
    if facts.going:
        parts.append("This page shows the run so far; the finished run writes its own.")
    elif facts.checkpoints:
        parts.append(f"Its newest checkpoint is of step {facts.checkpoints[-1]:,}, and `{_resume(facts)}` continues from there.")
    else:
        parts.append("It has no checkpoint to resume from.")
    return " ".join(parts)


def certain_sentence(row: Certain) -> str:
    """Return the sentence about coverage and accuracy at a threshold."""
    sure = percent(row.threshold)
    if row.accuracy is None:
        return f"The model is at least {sure} certain of none of the images."
    right = f"{share(row.accuracy)} of them are right" if row.accuracy < 1 else "all of them are right"
    return f"The model is at least {sure} certain of {share(row.coverage)} of the images, and {right}."


def overconfidence_sentence(gap: float) -> str:
    """Return the sentence that says whether the model is too certain on average."""
    if gap != gap:
        return "Some probabilities are not numbers."
    points = f"{100 * abs(gap):.1f} points"
    if points == "0.0 points":
        return "On average it is as certain as it is right."
    much = "much " if abs(gap) > MUCH else ""
    return f"On average it is {much}{'more' if gap > 0 else 'less'} certain than it is right, by {points}."


def pair_sentence(pair: Pair, classes: Sequence[str]) -> tuple[str, str, str, str, str]:
    """Return how often a class is taken for another: the parts of a sentence around the two class names.

    The template puts a space before the last part.
    """
    count = f"{pair.count:,} of {plural(pair.total, 'image')} of "
    taken = " are taken for " if pair.count > 1 else " is taken for "
    return count, classes[pair.label], taken, classes[pair.predicted], f"({share(pair.count / pair.total)})."


def split_name(scored: Scored) -> str:
    """Return the name of a split in sentences."""
    return {"val": "validation"}.get(scored.split, scored.split)


def commands(facts: Facts) -> dict[str, str]:
    """Return useful next commands, by their description."""
    run = str(facts.run)
    if facts.result is None:
        return {} if facts.going else {"Resume it": _resume(facts)}
    found = {
        "Predict with it": shlex.join(["zoo", "predict", run, "photo.jpg"]),
        "Score other images": shlex.join(["zoo", "eval", run, "--data", "more-photos"]),
        "Take it elsewhere": shlex.join(["zoo", "export", run, "--format", "onnx"]),
        "Repeat it": shlex.join(["zoo", "train", str(Path(run) / "recipe.yaml")]),
    }
    if _repeats(facts, facts.result):
        found["Repeat it to the bit, on this machine"] = _to_the_bit(facts, facts.result)
    if began := facts.environment.get("command"):
        found["It was started by"] = _as_typed(began)
    return found


def _repeats(facts: Facts, result: Result) -> bool:
    """Return whether a run can be repeated to the bit by a single command."""
    train = facts.recipe.train if facts.recipe is not None else None
    if train is not None and train.max_minutes is not None:
        return False  # the time decides the number of steps
    exact = result.device_type in ("", "cpu") or (train is not None and train.deterministic)
    # Several processes add in another order. A run that was resumed with other options or threads has had both.
    changed = any(facts.environment.get(key) for key in ("changes", "resumed_with"))
    return exact and result.processes == 1 and not changed


def _resume(facts: Facts) -> str:
    return shlex.join(["zoo", "train", "--resume", str(facts.run)])


def _to_the_bit(facts: Facts, result: Result) -> str:
    """Return the command that repeats a run, with the values that it chose for `auto` options."""
    chosen = {
        "train.precision": result.precision,
        "train.channels_last": str(result.channels_last).lower(),
        "train.accumulate": str(result.accumulate),
    }
    if isinstance(threads := facts.environment.get("threads"), int):
        chosen["train.threads"] = str(threads)
    words = ["zoo", "train", str(Path(facts.run) / "recipe.yaml"), *(f"{key}={value}" for key, value in chosen.items())]
    return shlex.join(words)


def _as_typed(words: object) -> str:
    """Return the command that started a run, with the program's name instead of its path."""
    if not isinstance(words, list) or not words:
        return str(words)
    program, *rest = map(str, words)
    name = Path(program).name
    # `python -m zoo` gives the path of a file.
    return shlex.join(["zoo" if name == "__main__.py" else name, *rest])

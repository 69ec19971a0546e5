from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.finished_runs import finished_run, right_answers

from zoo.errors import ZooError
from zoo.ranking.runs import check_same_test, find_runs, read_run

RIGHT = right_answers(0, 30)


def test_runs_are_found_three_levels_below_and_once(tmp_path: Path) -> None:
    for name in ("b", "sweep/a", "one/two/three", "one/two/three-deep/four", ".hidden"):
        finished_run(tmp_path / name, RIGHT)
    (tmp_path / "b" / "model").mkdir()
    (tmp_path / "one" / "circle").symlink_to(tmp_path)
    (tmp_path / "one" / "link").symlink_to(tmp_path / "b")
    found = find_runs([tmp_path, tmp_path / "b", tmp_path / "one" / ".." / "b"])
    assert [run.path.relative_to(tmp_path).as_posix() for run in found.runs] == ["b", "one/two/three", "sweep/a"]
    assert found.notes == []


def test_what_cannot_be_ranked_is_a_note_and_the_rest_goes_on(tmp_path: Path) -> None:
    finished_run(tmp_path / "good", RIGHT)
    (finished_run(tmp_path / "unfinished", RIGHT) / "result.json").unlink()
    (finished_run(tmp_path / "damaged", RIGHT) / "result.json").write_text("{")
    (finished_run(tmp_path / "half", RIGHT) / "result.json").write_text('{"status": "done"}')
    (finished_run(tmp_path / "no-recipe", RIGHT) / "recipe.yaml").unlink()
    (finished_run(tmp_path / "odd-recipe", RIGHT) / "recipe.yaml").write_text("a: [")
    found = find_runs([tmp_path])
    assert [run.path.name for run in found.runs] == ["good"]
    assert len(found.notes) == 5
    texts = ["cannot be read", "name: field required", "recipe.yaml: cannot be read: No such file", "not valid YAML"]
    for note, text in zip(found.notes, [*texts, "the run is not finished"], strict=True):
        assert note.startswith("left out: ")
        assert text in note


def test_nothing_to_rank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no such folder"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(ZooError, match="holds no run"):
        find_runs([tmp_path])
    (finished_run(tmp_path / "a", RIGHT) / "result.json").unlink()
    with pytest.raises(ZooError, match=r"none of 1 runs can be ranked \(.*the run is not finished\)"):
        find_runs([tmp_path])
    with pytest.raises(ZooError, match="is not a run"):
        read_run(tmp_path)


def test_options_have_their_dotted_names(tmp_path: Path) -> None:
    recipe = read_run(finished_run(tmp_path / "run", RIGHT, lr=3e-4)).recipe
    assert (recipe["optim.lr"], recipe["backbone.weights.kind"], recipe["image_size"]) == (0.0003, "auto", 32)


def test_the_machine_is_named(tmp_path: Path) -> None:
    gpu = finished_run(tmp_path / "gpu", RIGHT, device="NVIDIA H100", device_type="cuda", processes=2)
    assert read_run(gpu).machine == "NVIDIA H100 in AMD EPYC, 2 cores, 2 processes"
    old = finished_run(tmp_path / "old", RIGHT, device="cpu")
    assert read_run(old).machine == "AMD EPYC, 2 cores"
    (old / "environment.json").unlink()
    assert read_run(old).machine == "cpu"


def test_two_test_sets_are_refused_by_name(tmp_path: Path) -> None:
    paths = [finished_run(tmp_path / "a", RIGHT), finished_run(tmp_path / "b", right_answers(0, 31))]
    with pytest.raises(ZooError, match=f"^{paths[1]}: has other test images than {paths[0]}: 30 and 31 images"):
        check_same_test([read_run(path) for path in paths])


def test_runs_of_earlier_versions_are_compared_by_their_labels(tmp_path: Path) -> None:
    old = finished_run(tmp_path / "a", RIGHT)
    (old / "predictions.csv").unlink()
    runs = [read_run(old), read_run(finished_run(tmp_path / "b", RIGHT))]
    assert len(check_same_test(runs)) == 2
    other = finished_run(tmp_path / "c", RIGHT, labels=[0] * 30)
    with pytest.raises(ZooError, match="other test images"):
        check_same_test([*runs, read_run(other)])


def test_a_run_without_a_test_set_has_no_answers(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "a", RIGHT)
    values = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(values | {"test": None}))
    assert read_run(run).answers is None
    assert check_same_test([read_run(run)])[0].answers is None

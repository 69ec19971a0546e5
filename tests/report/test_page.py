from __future__ import annotations

import csv
from pathlib import Path
from urllib.parse import urlparse

import pytest
from helpers.reports import ODD, RESULT, all_of, facts, images, run_folder, scored, text_of, tree

from zoo.errors import StorageError
from zoo.report import page as page_module
from zoo.report.facts import read_facts
from zoo.report.gallery import Images
from zoo.report.page import MOST_BYTES, Limits, duration, page, write_page
from zoo.results.result import Result

CHART = "data:image/svg+xml;base64,AAAA"


@pytest.fixture(autouse=True)
def _no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the charts, which have tests of their own and take most of the time."""
    for name in ("curves", "confusion", "calibration"):
        monkeypatch.setattr(page_module.figures, name, lambda *_: CHART)


def test_names_of_any_kind_are_shown_as_text() -> None:
    found = scored(len(ODD), 200, names=ODD)
    root = tree(page(facts(ODD, found), images(found, ODD)))
    assert all_of(root, "script") == []
    shown = text_of(root)
    for name in ODD:
        assert page_module.wording.fit_text(name) in shown
    # Each name is in a `bdi` element, which isolates the direction of its text.
    isolated = {"".join(element.itertext()) for element in all_of(root, "bdi")}
    assert {page_module.wording.fit_text(name) for name in ODD} <= isolated


def test_a_page_asks_nobody_for_anything() -> None:
    found = scored(3)
    root = tree(page(facts(("a", "b", "c"), found), images(found, ("a", "b", "c"))))
    links = [
        value for element in root.iter() for key, value in element.items() if key in ("src", "href", "action", "srcset", "data")
    ]
    assert len(links) > 40
    assert {urlparse(link).scheme for link in links} == {"data", ""}
    assert all(link.startswith(("data:", "#")) for link in links)
    (policy,) = [meta.get("content") for meta in all_of(root, "meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    # Every link within the page has a target.
    places = {element.get("id") for element in root.iter()}
    assert {link[1:] for link in links if link.startswith("#")} <= places


def test_every_image_says_what_is_on_it() -> None:
    found = scored(3)
    root = tree(page(facts(("a", "b", "c"), found), images(found, ("a", "b", "c"))))
    pictures = all_of(root, "img")
    assert len(pictures) > 30
    assert all(len(picture.get("alt", "")) > 4 for picture in pictures)


def test_the_first_images_are_the_worst_mistakes_as_the_table_has_them(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    found = scored(2, 300)
    with open(run / "predictions.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("split", "file", "label", "predicted", "prob", "correct", "label_prob"))
        names = ("cat", "dog")
        for row in zip(found.files, found.labels, found.predicted, found.prob, found.label_prob, strict=True):
            writer.writerow(
                ("test", row[0], names[row[1]], names[row[2]], repr(float(row[3])), int(row[1] == row[2]), repr(float(row[4])))
            )
    with open(run / "predictions.csv", newline="") as file:
        wrong = [row for row in csv.DictReader(file) if row["correct"] == "0"]
    expected = [row["file"] for row in sorted(wrong, key=lambda row: float(row["label_prob"]))][:20]
    root = tree(page(read_facts(run), images(found, names), Limits(worst=20)))
    thumbnails = [picture.get("title") for picture in all_of(root, "img") if picture.get("title")]
    assert thumbnails[:20] == expected
    assert "97.5 % of 359 test images right." in text_of(root)


@pytest.mark.parametrize("classes", [2, 100, 1000])
def test_any_number_of_classes_fits(classes: int) -> None:
    names = [f"class {number}" for number in range(classes)]
    found = scored(classes, 2 * classes)
    text = page(facts(names, found), images(found, names, side=48))
    assert len(text.encode()) <= MOST_BYTES
    assert text.count('<tr><th scope="row"><bdi>class ') == len(set(found.labels))


def test_a_page_that_would_be_too_large_shows_less(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["<" * 99 + str(number) for number in range(20)]
    found = scored(20, 200, names=names)
    whole = len(page(facts(names, found), images(found, names)).encode())
    monkeypatch.setattr(page_module, "MOST_BYTES", whole // 2)
    less = page(facts(names, found), images(found, names))
    assert len(less.encode()) <= whole // 2
    assert "Worst mistakes" in text_of(tree(less))


@pytest.mark.parametrize("sound", [True, False])
def test_a_run_without_predictions_shows_what_there_is(tmp_path: Path, sound: bool) -> None:
    run = run_folder(tmp_path / "run", done=False)
    if not sound:
        (run / "recipe.yaml").unlink()
    shown = text_of(tree(page(read_facts(run), Images(missing="The images are gone."))))
    assert "Not finished after" in shown
    assert "The images are gone." in shown
    assert "Worst mistakes" not in shown
    assert ("epochs 5 default auto" in shown) is sound


def test_a_run_without_a_mistake_says_so() -> None:
    found = scored(2)
    perfect = page_module.Scored("test", found.files, found.labels, found.labels, found.prob, found.prob)
    shown = text_of(tree(page(facts(("a", "b"), perfect), Images())))
    assert "None of 60 test images is wrong." in shown
    nothing = page_module.Scored("val", found.files, found.labels, 1 - found.labels, found.prob, 1 - found.prob)
    shown = text_of(tree(page(facts(("a", "b"), nothing), Images())))
    assert "No image is right." in shown
    assert "validation images that are wrong" in shown


def test_the_license_of_timms_weights_is_there(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("{name: test_resnet, weights: random}", "{name: resnet18.fb_swsl_ig1b_ft_in1k}"))
    shown = text_of(tree(page(read_facts(run), Images())))
    assert "license of the weights cc-by-nc-4.0 (no commercial use)" in shown
    assert "zoo predict" in shown
    assert "training 2 min" in shown


def test_the_same_run_gives_the_same_page_whole(tmp_path: Path) -> None:
    found = scored(3)
    some = facts(("a", "b", "c"), found, result=Result.model_validate(RESULT))
    write_page(some, images(found, ("a", "b", "c")), tmp_path / "a.html")
    write_page(some, images(found, ("a", "b", "c")), tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]
    with pytest.raises(StorageError, match="cannot be written"):
        write_page(some, Images(), tmp_path / "none" / "a.html")


@pytest.mark.parametrize(("seconds", "text"), [(12.4, "12 s"), (150, "2 min"), (5400, "1 h 30 min"), (7300, "2 h 2 min")])
def test_times_have_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.ranking.leaderboard import Leaderboard, build
from zoo.ranking.page import html, sentence
from zoo.ranking.picture import draw


class Tags(HTMLParser):
    """A parser that collects every tag with its attributes, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


@pytest.fixture
def board(folder: Path) -> Leaderboard:
    return build([folder])


def test_the_page_needs_nothing_else(board: Leaderboard) -> None:
    page = html(board)
    tags = parsed(page)
    assert not {"script", "iframe"} & {tag for tag, _ in tags.tags}
    addresses = [value for _, attributes in tags.tags for key, value in attributes.items() if key in ("src", "href")]
    assert [address for address in addresses if not (address or "").startswith("data:")] == []
    assert not re.search(r"url\(|@import", page)
    assert all(attributes.get("alt") for tag, attributes in tags.tags if tag == "img")
    assert len(page) < 300_000


def test_every_row_is_there_and_names_are_text(board: Leaderboard) -> None:
    tags = parsed(html(board, title="A & <b>"))
    assert sum(tag == "tr" for tag, _ in tags.tags) == 5
    assert "worst|<script>.in1k" in tags.text
    assert "A & <b>" in tags.text
    # The best row and the one that cannot be told apart from it.
    assert sum(attributes.get("class") == "alike" for tag, attributes in tags.tags if tag == "tr") == 2


def test_a_score_that_is_no_number_is_a_row_without_a_picture(folder: Path) -> None:
    path = folder / "good.-0" / "result.json"
    values = json.loads(path.read_text())
    values["test"]["ece"] = math.nan
    path.write_text(json.dumps(values))
    board = build([path.parent], by="test.ece")
    assert "img" not in {tag for tag, _ in parsed(html(board)).tags}
    with pytest.raises(ZooError, match=r"no row has a test\.ece that is a number"):
        draw(board, folder / "a.svg")


def test_runs_with_a_report_are_links(board: Leaderboard, folder: Path) -> None:
    tags = parsed(html(board, links={folder / "good.-0": 'good.-0/report.html?a="b"'}))
    assert [attributes["href"] for tag, attributes in tags.tags if tag == "a"] == ['good.-0/report.html?a="b"']


def test_the_sentence_says_what_a_person_wants_to_know(board: Leaderboard, folder: Path) -> None:
    assert sentence(board) == "good.tv_in1k has the best test.accuracy of 4 rows; 1 cannot be told apart from it."
    assert sentence(build([folder], baseline="worse.in1k")).endswith("; all are compared with worse.in1k.")
    assert sentence(build([folder / "worse-0"])) == "worse.in1k has the best test.accuracy of 1 row."

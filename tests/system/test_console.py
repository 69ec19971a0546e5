"""Lines for the user: their output stream, and the form of counts."""

import pytest

from zoo.system.console import Console, plural


def test_lines_go_to_the_output_and_warnings_to_the_errors(capsys):
    console = Console()
    console.fact("data", "160 images")
    console.line("a row")
    console.line()
    console.warn("look here")
    output = capsys.readouterr()
    assert output.out == "data       160 images\na row\n\n"
    assert output.err == "warning: look here\n"


def test_a_quiet_console_prints_nothing(capsys):
    console = Console(quiet=True)
    console.fact("data", "x")
    console.line("x")
    console.warn("x")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("count", "nouns", "text"),
    [
        (1, ("epoch",), "1 epoch"),
        (2, ("epoch",), "2 epochs"),
        (0, ("image",), "0 images"),
        (50_000, ("image",), "50,000 images"),
        (1, ("process", "processes"), "1 process"),
        (2, ("process", "processes"), "2 processes"),
    ],
)
def test_a_count_agrees_with_its_noun(count, nouns, text):
    assert plural(count, *nouns) == text

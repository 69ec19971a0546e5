from __future__ import annotations

from pathlib import Path

import pytest
from helpers.pictures import texts

from zoo.errors import ZooError
from zoo.results.lr_curve import draw_range

RATES = [10 ** (-6 + step / 10) for step in range(50)]


@pytest.mark.parametrize("last", [1.0, 1e6])
def test_the_marks_are_named_however_far_the_loss_diverges(tmp_path: Path, last: float) -> None:
    path = tmp_path / "lr.svg"
    losses = [*(2.3 - step / 50 for step in range(49)), last]
    draw_range(RATES, losses, losses, (1e-4, 3e-4, 6.5e-4), path, "net: loss over the learning rate")
    shown = texts(path)
    assert {"suggested: 0.0003, from 0.0001 to 0.00065", "training loss", "1e-5", "1e-2"} <= set(shown)
    # The axis covers the low losses; the diverging loss is beyond its end.
    assert max(float(text) for text in shown if text.replace(".", "").isdigit()) < 4
    first = path.read_bytes()
    draw_range(RATES, losses, losses, (1e-4, 3e-4, 6.5e-4), path, "net: loss over the learning rate")
    assert path.read_bytes() == first


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"^--plot: .* cannot be written: "):
        draw_range(RATES, RATES, RATES, (1e-4, 3e-4, 6.5e-4), tmp_path / "none" / "lr.svg", "net")

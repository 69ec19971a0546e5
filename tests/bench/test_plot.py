from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from helpers.stand_in import FIGURES

from zoo.bench import plot
from zoo.models import catalog


def test_names_in_the_picture_do_not_meet(tmp_path: Path) -> None:
    many = []
    for number in range(24):
        speed = 1000 / (1 + number % 7) / (1 + number / 5)
        row = {
            "model": f"a_model_with_a_long_name_{number}",
            "param_count": 1.1**number,
            "precision": "fp32",
            "channels_last": True,
        }
        for mode in ("train", "infer"):
            row |= {f"{mode}_{key}": value for key, value in FIGURES.items()}
            row |= {f"{mode}_samples_per_sec{end}": speed * share for end, share in (("", 1), ("_p10", 0.9), ("_p90", 1.2))}
        many.append(row)
    plot.draw_throughput(many, tmp_path / "throughput.svg", "a CPU & <more>")
    texts = [text for text in ElementTree.parse(tmp_path / "throughput.svg").getroot().iter() if text.tag.endswith("text")]
    assert {f"a_model_with_a_long_name_{number}" for number in range(24)} <= {text.text for text in texts}
    once = (tmp_path / "throughput.svg").read_bytes()
    plot.draw_throughput(many, tmp_path / "throughput.svg", "a CPU & <more>")
    assert (tmp_path / "throughput.svg").read_bytes() == once


def test_known_accuracies_get_a_panel(tmp_path: Path) -> None:
    entries = catalog.architectures()
    names = ["resnet18", "resnet34.a1_in1k", "test_vit", "resnet18.tv_in1k", "no_such_model"]
    assert plot.top1({"model": "resnet18"}) == entries["resnet18"][0].top1
    assert plot.top1({"model": "resnet18.tv_in1k"}) == next(e.top1 for e in entries["resnet18"] if e.tag == "tv_in1k")
    assert plot.top1({"model": "no_such_model"}) is None
    row = {f"train_{key}": value for key, value in FIGURES.items()} | {"precision": "fp32", "channels_last": True}
    for count, panel in ((4, True), (1, False)):
        found = [row | {"model": name, "param_count": 11.0} for name in names[:count]]
        plot.draw_throughput(found, tmp_path / "throughput.svg", "a CPU")
        assert (
            "against top-1; named: no other model here is both more accurate and faster"
            in (tmp_path / "throughput.svg").read_text()
        ) == panel

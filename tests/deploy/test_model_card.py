from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from zoo.deploy.model_card import model_card
from zoo.deploy.subject import Subject
from zoo.results import result as results
from zoo.results.folder import RunFolder
from zoo.results.result import VERSION, Result, TrainingFigures, write_result


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    scores = results.TestScores(
        accuracy=0.8283, loss=0.5, top5=0.99, macro_f1=0.82, ece=0.02, n=1000, ci95=(0.80, 0.85), per_class={}
    )
    figures = TrainingFigures(loss=0.1, accuracy=0.9, images_per_second=1, data_share=0, seconds=1, peak_memory_mb=1)
    result = Result(
        version=VERSION,
        status="done",
        name="animals",
        backbone="resnet18.tv_in1k",
        weights="auto",
        weights_source="",
        num_classes=4,
        classes=("a",) * 4,
        params=1,
        image_size=32,
        epochs=1,
        steps=1,
        selected_by="last",
        selected_epoch=1,
        val={},
        test=scores,
        train=figures,
        precision="fp32",
        channels_last=False,
        compile=False,
        batch_size=8,
        processes=1,
        seed=0,
        versions={},
        device="cpu",
    )
    write_result(RunFolder(tmp_path), result)
    return RunFolder(tmp_path)


def test_the_hub_reads_it(subject: Subject, run: RunFolder) -> None:
    card = ModelCard(model_card(replace(subject, name="animals", run=run), "me/animals"))
    assert card.data.library_name == "timm"
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.base_model == "timm/resnet18.tv_in1k"
    assert [(one.metric_type, one.metric_value) for one in card.data.eval_results or []] == [("accuracy", 0.8283), ("f1", 0.82)]
    assert 'timm.create_model("hf-hub:me/animals", pretrained=True)' in card.text
    assert "82.83 % of 1,000 test images, 95 % interval 80.00 % to 85.00 %" in card.text
    assert "cat, dog, übel, d" in card.text
    assert "resnet18.tv_in1k, fine-tuned with zoo" in card.text


@pytest.mark.parametrize(
    ("weights", "license", "base", "text"),
    [
        ("auto", "apache-2.0", "timm/resnet18.a1_in1k", "The pretrained weights of resnet18.a1_in1k are under apache-2.0."),
        ("file", None, None, "The license of the weights that training began with is unknown."),
        ("random", None, None, "Training began with random weights, which have no license."),
    ],
)
def test_only_timm_s_own_weights_bring_their_license(
    subject: Subject, run: RunFolder, weights: str, license: str | None, base: str | None, text: str
) -> None:
    found = results.read_result(run)
    assert found is not None
    write_result(run, found.model_copy(update={"backbone": "resnet18.a1_in1k", "weights": weights}))
    card = ModelCard(model_card(replace(subject, run=run)))
    assert (card.data.license, card.data.base_model) == (license, base)
    assert text in card.text


def test_a_model_of_no_run_has_no_scores(subject: Subject) -> None:
    card = ModelCard(model_card(subject))
    assert card.data.eval_results is None
    assert "## Scores" not in card.text


def test_zoo_trained_what_is_of_a_run_alone(subject: Subject) -> None:
    assert "tuned with" not in model_card(subject)
    assert "trained with zoo" not in model_card(subject)


def test_views_and_a_temperature_are_said(subject: Subject, run: RunFolder) -> None:
    found = results.read_result(run)
    assert found is not None
    temperature = results.Temperature(value=1.37, images=100, loss=(0.5, 0.4), ece=(0.1, 0.02))
    write_result(run, found.model_copy(update={"tta": "hflip", "temperature": temperature}))
    text = model_card(replace(subject, name="animals", run=run), "me/animals")
    assert "These figures average each image and its mirror; a single view may score lower." in text
    assert "divided by a temperature of 1.37" in text

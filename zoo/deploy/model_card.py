"""Write the card of a model, README.md, in the format of the Hugging Face hub: metadata, scores, usage and classes."""

from __future__ import annotations

from typing import Any

from zoo import __version__
from zoo.data.views import ABOUT
from zoo.deploy.subject import Subject
from zoo.models import catalog
from zoo.results.result import Result
from zoo.system.table import percent

# Maximum number of classes to list in the text; config.json has all.
MOST_NAMES = 1000
TASK = "image-classification"
USAGE = """\
```python
import timm, torch
from PIL import Image
model = timm.create_model("{name}", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_data_config(model=model))
probabilities = model(transform(Image.open("photo.jpg").convert("RGB"))[None]).softmax(1)
print(model.pretrained_cfg["label_names"][probabilities.argmax()])
```
"""


def model_card(subject: Subject, repository: str = "", note: str = "") -> str:
    """Return a model's card.

    Args:
        subject: the model.
        repository: `OWNER/NAME` on the hub; '' if the model is not pushed.
        note: a sentence on the weights in this folder; may be empty.
    """
    return f"---\n{_metadata(subject).to_yaml()}\n---\n\n{_text(subject, repository, note)}"


def _metadata(subject: Subject) -> Any:
    """Return the hub's metadata."""
    from huggingface_hub import ModelCardData

    entry, result = catalog.named(subject.backbone), subject.result
    began = result is None or result.weights in catalog.TIMM_WEIGHTS
    scores = _scores(result) if result and result.test else None
    return ModelCardData(
        library_name="timm",
        pipeline_tag=TASK,
        tags=[TASK, "timm", "zoo-trainer"],
        license=_license(subject.license),
        license_name=subject.license if _license(subject.license) == "other" else None,
        base_model=entry.hub if entry and entry.hub and began else None,
        model_name=subject.name if scores else None,
        eval_results=scores,
    )


def _license(license: str) -> str | None:
    """Return the hub's name of a license, or None if no license is known."""
    return None if license in catalog.UNNAMED else license


def _scores(result: Result) -> list[Any]:
    """Return the scores on the test set in the hub's format."""
    from huggingface_hub import EvalResult

    assert result.test is not None
    found = {"accuracy": result.test.accuracy, "f1": result.test.macro_f1}
    data = f"test set of {result.name}, {result.test.n} images"
    shared: dict[str, Any] = {"task_type": TASK, "dataset_type": "imagefolder", "dataset_name": data, "dataset_split": "test"}
    names = {"accuracy": "Accuracy", "f1": "Macro F1"}
    return [EvalResult(**shared, metric_type=key, metric_value=value, metric_name=names[key]) for key, value in found.items()]


def _text(subject: Subject, repository: str, note: str) -> str:
    result, config = subject.result, subject.config
    parts = [f"# {subject.name}", f"{subject.backbone}, {_origin(result)} zoo {__version__}. {note}".strip()]
    if result and result.test:
        low, high = result.test.ci95
        ends = f"{percent(low, 2)} to {percent(high, 2)}"
        scores = f"{percent(result.test.accuracy, 2)} of {result.test.n:,} test images, 95 % interval {ends}"
        views = f" These figures average {ABOUT[result.tta]}; a single view may score lower." if result.tta != "none" else ""
        parts += ["## Scores", f"{scores}; macro F1 {result.test.macro_f1:.4f}.{views}"]
    if result and result.temperature:
        parts.append(f"The last layer is divided by a temperature of {result.temperature.value:g}, fitted on validation images.")
    parts += ["## Use it", USAGE.format(name=f"hf-hub:{repository}" if repository else "local-dir:THIS_FOLDER").strip()]
    crop = f"crop {config.get('crop_pct', 1.0):g} ({config.get('crop_mode') or 'center'})"
    pixels = f"{subject.size} px, {config['interpolation']}, {crop}"
    parts += ["## Images", f"{pixels}, mean {list(config['mean'])}, std {list(config['std'])}."]
    more = f" and {len(subject.classes) - MOST_NAMES:,} more" if len(subject.classes) > MOST_NAMES else ""
    parts += [f"## {len(subject.classes):,} classes", ", ".join(subject.classes[:MOST_NAMES]) + more]
    parts += ["## License", _license_text(subject)]
    return "\n\n".join(parts) + "\n"


def _origin(result: Result | None) -> str:
    """Return what zoo did with the weights; a model without a run was not trained by zoo."""
    if result is None:
        return "written for timm with"
    return "trained with" if result.weights == "random" else "fine-tuned with"


def _license_text(subject: Subject) -> str:
    if subject.result and subject.result.weights == "random":
        return "Training began with random weights, which have no license."
    if subject.license in catalog.UNNAMED:
        return "The license of the weights that training began with is unknown."
    return f"The pretrained weights of {subject.backbone} are under {subject.license}."

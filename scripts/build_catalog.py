"""Write `zoo/models/catalog.csv` (every backbone of the installed timm and its costs) and `zoo/models/timm_names.json`.

Run it again after an upgrade of timm:

    python scripts/build_catalog.py --top1 results-imagenet.csv

`results-imagenet.csv` is timm's own table (in `results/` of its repository, with columns model, img_size, top1) and the only
source of the catalog's top-1 accuracies. Nothing is downloaded and no weights are allocated: models are built on torch's meta
device, which computes shapes only. Each cost is written to `build/costs.jsonl` at once, so that an interrupted run resumes
where it stopped (`--fresh` starts again). `--check FILE.csv` compares with published costs (timm's `benchmark-infer-*.csv`).
"""

import argparse
import csv
import json
import re
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import timm
import timm.optim
import torch
from timm.layers import set_fused_attn
from timm.models import get_deprecated_models, get_pretrained_cfg, model_entrypoint

from zoo.models.catalog import Entry
from zoo.models.flops import count_costs

ROOT = Path(__file__).parent.parent
COSTS = ROOT / "build" / "costs.jsonl"
# Words in tags that name training data. An `ft` before a word is ignored: the order of the words gives the order of training.
DATA = re.compile(
    r"(?:in1k|in12k|inw?21k|in22k|laion2b|laion400m|laiona|openai|webli|dfn2b|dfn5b|dfndr2b|datacomp1b|datacompxl|metaclip2?"
    r"|merged2b|m30m|m38m|lvd142m|lvd1689m|sat493m|sa1b|cc12m|yfcc15m|yfcc100m|ig1b|jft|swag|seer|bamboo)(?=_|$)"
)


class Variant(NamedTuple):
    """An architecture with an image size and a number of classes. Costs depend on these, not on the weights."""

    architecture: str
    image_size: tuple[int, int, int]
    classes: int


def configs() -> Iterator[tuple[str, str, Any]]:
    """Yield (architecture, tag, timm's configuration) of each row; the first tag of an architecture is timm's default."""
    tagged: dict[str, list[str]] = {}
    for name in timm.list_pretrained():
        architecture, _, tag = name.partition(".")
        tagged.setdefault(architecture, []).append(tag)
    for architecture in timm.list_models():
        tags = tagged.get(architecture, [])
        first = getattr(get_pretrained_cfg(architecture), "tag", None)
        for tag in sorted(tags, key=lambda tag: tag != first) or [""]:
            yield architecture, tag, get_pretrained_cfg(f"{architecture}.{tag}" if tag else architecture)


def variant(architecture: str, config: Any) -> Variant:
    """Return the variant of a row."""
    return (
        Variant(architecture, tuple(config.input_size), config.num_classes)
        if config
        else Variant(architecture, (3, 224, 224), 1000)
    )


def measure(name: str, wanted: Variant) -> dict[str, Any]:
    """Count parameters, GMACs and activations (in millions) for one image; if that fails, the dict has an `error`."""
    # Compute attention as plain matrix products, because their operations and activations can be counted.
    set_fused_attn(False)
    # Warnings of models while they are built are of no use here.
    warnings.simplefilter("ignore")
    try:
        with torch.device("meta"):
            # No parameter requires gradients, because the counter's hooks fail on the meta device otherwise.
            model = timm.create_model(name, num_classes=wanted.classes).eval().requires_grad_(False)
            image = torch.empty(1, *wanted.image_size)
        found: dict[str, Any] = {"params": sum(parameter.numel() for parameter in model.parameters())}
    except Exception as error:  # a model's own code can raise anything
        return {"error": reason("not built", error)}
    try:
        gmacs, macts = count_costs(model, image)
    except Exception as error:
        return found | {"error": reason("not run", error)}
    return found | {"gmacs": gmacs, "macts": macts}


def reason(what: str, error: Exception) -> str:
    """Return a failure as one line."""
    return f"{what}: {type(error).__name__}: {' '.join(str(error).split())}"[:200]


def remembered() -> dict[Variant, dict[str, Any]]:
    """Return the costs from an earlier run with this version of timm; failed variants are tried again."""
    known: dict[Variant, dict[str, Any]] = {}
    for line in COSTS.read_text(encoding="utf-8").splitlines() if COSTS.exists() else []:
        row = json.loads(line)
        if row.pop("timm") == timm.__version__ and "error" not in row:
            architecture, size, classes = row.pop("variant")
            known[Variant(architecture, tuple(size), classes)] = row
    return known


def costs(*, fresh: bool = False, processes: int = 1) -> dict[Variant, dict[str, Any]]:
    """Return the costs of every variant: those from earlier runs, and the others measured now."""
    COSTS.parent.mkdir(exist_ok=True)
    if fresh:
        COSTS.unlink(missing_ok=True)
    known = remembered()
    missing: dict[Variant, str] = {}
    for architecture, tag, config in configs():
        missing.setdefault(variant(architecture, config), f"{architecture}.{tag}" if tag else architecture)
    missing = {key: name for key, name in missing.items() if key not in known}
    with open(COSTS, "a", encoding="utf-8") as handle:
        for number, (key, cost) in enumerate(measured(missing, processes), 1):
            known[key] = cost
            handle.write(json.dumps({"timm": timm.__version__, "variant": key, **cost}) + "\n")
            handle.flush()
            print(f"{number}/{len(missing)} {missing[key]} {cost.get('error', '')}", flush=True)
    return known


def measured(missing: dict[Variant, str], processes: int) -> Iterator[tuple[Variant, dict[str, Any]]]:
    """Yield each variant with its costs, as they become known."""
    if processes == 1:
        for key, name in missing.items():
            yield key, measure(name, key)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(measure, name, key): key for key, name in missing.items()}
        for done in as_completed(running):
            yield running[done], done.result()


def accuracies(path: Path) -> dict[str, dict[int, float]]:
    """Return the top-1 accuracy in percent by model name and image size."""
    found: dict[str, dict[int, float]] = {}
    with open(path, newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            found.setdefault(row["model"], {})[int(row["img_size"])] = float(row["top1"])
    return found


def facts(architecture: str, tag: str, config: Any, cost: dict[str, Any], scores: dict[int, float]) -> dict[str, Any]:
    """Return a row of the catalog."""
    row = {
        "name": f"{architecture}.{tag}" if tag else architecture,
        "architecture": architecture,
        "tag": tag,
        "family": model_entrypoint(architecture).__module__.rpartition(".")[2],
        "params": cost.get("params"),
        "gmacs": f"{cost['gmacs']:.4g}" if "gmacs" in cost else None,
        "macts": f"{cost['macts']:.4g}" if "macts" in cost else None,
        "pretraining_data": " ".join(dict.fromkeys(DATA.findall(tag))),
        "timm": timm.__version__,
        "error": cost.get("error"),
    }
    if config is None:
        return row
    size = max(config.input_size[1:])
    # The image size of the top-1: the size of the costs if published, else timm's test size, else the first published one.
    at = next((at for at in (size, (config.test_input_size or [0])[-1], *scores) if at in scores), None)
    return row | {
        "image_size": size,
        "input_size": numbers(config.input_size),
        "fixed_size": int(config.fixed_input_size),
        "classes": config.num_classes,
        "mean": numbers(config.mean),
        "std": numbers(config.std),
        "interpolation": config.interpolation,
        "crop_pct": config.crop_pct,
        # Without pretrained weights there is no license.
        "license": config.license if tag else None,
        "top1": f"{scores[at]:g}" if at else None,
        "top1_size": at,
        "hub": hub(config) if tag else None,
        "hub_file": config.hf_hub_filename if tag else None,
    }


def numbers(values: Any) -> str:
    """Return numbers as one text, separated by spaces."""
    return " ".join(f"{value:.6g}" for value in values)


def hub(config: Any) -> str | None:
    """Return the Hugging Face repository of the weights."""
    repository = config.hf_hub_id
    return f"{repository}{config.architecture}.{config.tag}" if repository and repository.endswith("/") else repository


def names() -> dict[str, Any]:
    """Return the names of optimizers and deprecated models, which recipes and the command line check."""
    return {
        "timm": timm.__version__,
        "optimizers": sorted(timm.optim.list_optimizers()),
        "deprecated": dict(sorted(get_deprecated_models().items())),
    }


def compare(path: Path, known: dict[Variant, dict[str, Any]]) -> None:
    """Print differences from a table of published costs: model, infer_img_size, param_count, infer_gmacs, infer_macts."""
    ours: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for key, cost in known.items():
        if "gmacs" in cost:
            ours.setdefault((key.architecture, key.image_size[-1]), []).append(cost)
    with open(path, newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if (row["model"].partition(".")[0], int(row["infer_img_size"])) in ours]
    far: dict[str, list[str]] = {"param_count": [], "infer_gmacs": [], "infer_macts": []}
    for row in rows:
        published = {column: float(row[column]) for column in far}
        # Tags differ in the size of their heads; the number of parameters shows which one was published.
        heads = ours[row["model"].partition(".")[0], int(row["infer_img_size"])]
        cost = min(heads, key=lambda cost: abs(cost["params"] / 1e6 - published["param_count"]))
        values = {"param_count": cost["params"] / 1e6, "infer_gmacs": cost["gmacs"], "infer_macts": cost["macts"]}
        for column, value in values.items():
            share = 0.0 if column == "param_count" else 0.02
            # Published values are rounded to 0.01.
            if abs(value - published[column]) > max(share * published[column], 0.0051):
                far[column].append(f"{row['model']} {row['infer_img_size']} px: {value:.4g}, published {published[column]:.4g}")
    for column, lines in far.items():
        print(f"{column}: {len(rows) - len(lines)} of {len(rows)} agree", *lines, sep="\n  ")


def write(top1: Path, known: dict[Variant, dict[str, Any]]) -> None:
    """Write `catalog.csv` and `timm_names.json`."""
    scores = accuracies(top1)
    with open(ROOT / "zoo" / "models" / "catalog.csv", "w", newline="", encoding="utf-8") as handle:
        table = csv.DictWriter(handle, Entry._fields, lineterminator="\n")
        table.writeheader()
        for architecture, tag, config in configs():
            cost = known[variant(architecture, config)]
            table.writerow(facts(architecture, tag, config, cost, scores.get(f"{architecture}.{tag}", {})))
    (ROOT / "zoo" / "models" / "timm_names.json").write_text(json.dumps(names(), indent=0) + "\n", encoding="utf-8")


def main() -> None:
    """Measure variants without known costs, then write the files or compare with published costs."""
    parser = argparse.ArgumentParser(description="Write zoo/models/catalog.csv and zoo/models/timm_names.json.")
    parser.add_argument("--top1", type=Path, help="timm's results-imagenet.csv; without it only the costs are measured")
    parser.add_argument("--check", type=Path, help="a table of published costs to compare with")
    parser.add_argument("--processes", type=int, default=1, help="number of processes that measure")
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    options = parser.parse_args()
    known = costs(fresh=options.fresh, processes=options.processes)
    failed = [(key, cost["error"]) for key, cost in known.items() if "error" in cost]
    print(f"timm {timm.__version__}: {len(known)} variants, {len(failed)} failed", file=sys.stderr)
    if options.top1:
        write(options.top1, known)
    if options.check:
        compare(options.check, known)


if __name__ == "__main__":
    main()

"""Write `zoo/timm_names.json`: the names that the installed timm knows, so that a recipe is checked without importing it.

Run again after timm was upgraded: `python scripts/build_catalog.py`.
"""

import json
from collections import defaultdict
from pathlib import Path

import timm
import timm.optim
from timm.models import get_deprecated_models

TARGET = Path(__file__).parent.parent / "zoo" / "timm_names.json"


def main() -> None:
    """Collect and write the names."""
    tags = defaultdict(list)
    for name in timm.list_models():
        tags[name] = []
    for name in timm.list_pretrained():
        architecture, _, tag = name.partition(".")
        if tag:
            tags[architecture].append(tag)
    names = {
        "timm": timm.__version__,
        "optimizers": sorted(timm.optim.list_optimizers()),
        "deprecated": dict(sorted(get_deprecated_models().items())),
        "models": dict(sorted(tags.items())),
    }
    TARGET.write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

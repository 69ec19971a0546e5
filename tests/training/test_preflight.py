from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.training.preflight import check_environment


def test_launches_that_would_not_work_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_recipe(Path("quickstart"), ["train.precision=fp32"])
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(ZooError, match=r"launch: --mixed_precision bf16, but train.precision is fp32"):
        check_environment(loaded)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    # As Accelerate writes them where nothing was asked for.
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    check_environment(loaded)
    for name, value in (("USE_FSDP", "true"), ("USE_DEEPSPEED", "true"), ("DYNAMO_BACKEND", "INDUCTOR")):
        with (
            monkeypatch.context() as patch,
            pytest.raises(ZooError, match=rf"launch: ACCELERATE_{name}={value} is not supported"),
        ):
            patch.setenv(f"ACCELERATE_{name}", value)
            check_environment(loaded)
    with pytest.raises(ZooError, match=r"output.track: comet_ml is not installed \(pip install comet_ml\)"):
        check_environment(load_recipe(Path("quickstart"), ["output.track=[comet_ml]"]))

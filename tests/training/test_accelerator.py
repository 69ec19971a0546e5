"""Accelerate, set up as zoo uses it."""

from __future__ import annotations

import warnings

from zoo.training.accelerator import make_accelerator, silence_harmless_warnings


def test_micro_batches_are_left_to_the_loop(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    accelerator = make_accelerator("fp32")
    assert accelerator.device.type == "cpu"
    assert accelerator.mixed_precision == "no"
    assert accelerator.gradient_accumulation_steps == 1
    assert accelerator.ddp_handler is not None
    assert accelerator.ddp_handler.broadcast_buffers is False


def test_only_warnings_that_nobody_can_act_on_are_silenced():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        silence_harmless_warnings()
        warnings.warn("Grad strides do not match bucket view strides. This may indicate", stacklevel=1)
        warnings.warn("the disk is nearly full", stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["the disk is nearly full"]

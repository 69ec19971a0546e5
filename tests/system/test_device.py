"""The device: precision, memory formats, peak memory."""

import mmap

import pytest
import torch

from zoo.system import device, hardware
from zoo.training import autotune

CPU = torch.device("cpu")


def test_memory_formats_are_the_ones_that_torch_knows():
    images = torch.zeros(2, 3, 4, 4)
    assert images.to(memory_format=device.memory_format(True)).stride(1) == 1
    assert images.to(memory_format=device.memory_format(False)).stride(1) == 16


@pytest.mark.skipif(not hasattr(torch.cpu, "get_capabilities"), reason="this torch cannot tell")
def test_torch_and_linux_agree_on_native_bf16():
    """Linux's list of instructions is used with an older torch. Both sources must give the same answer."""
    named = {name for name, value in torch.cpu.get_capabilities().items() if value} & device.BF16_INSTRUCTIONS
    if flags := hardware.cpu_flags():
        assert bool(named) == bool(flags & device.BF16_INSTRUCTIONS)
    assert device.native_bf16(CPU) == bool(named)


@pytest.mark.parametrize(
    ("text", "native"),
    [
        ("flags\t\t: fpu sse2 avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu sse2 avx2\nflags\t\t: fpu sse2 avx2\n", False),
        ("model name\t: unknown\n", True),
    ],
)
def test_an_older_torch_without_capabilities_is_answered_by_linux(monkeypatch, tmp_path, text, native):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(text)
    assert device.native_bf16(CPU) is native


def test_other_devices_than_cpus_and_nvidias_have_no_bf16():
    assert not device.native_bf16(torch.device("mps"))


def test_the_device_name_of_a_cpu_is_the_processors():
    assert device.device_name(CPU) == hardware.cpu_name()


def test_peak_memory_sees_a_large_block_and_forgets_it():
    device.reset_peak_memory(CPU)
    before = device.peak_memory_mb(CPU)
    with mmap.mmap(-1, 50_000_000) as block:  # not from the heap, which may still hold as much freed memory
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
    assert device.peak_memory_mb(CPU) >= before + 40
    device.reset_peak_memory(CPU)
    device.synchronize(CPU)
    assert device.peak_memory_mb(CPU) < before + 40


def test_a_cpu_has_nothing_to_say_of_gpus():
    assert (device.free_memory(CPU), device.gpu_facts(CPU), device.apple_gpu()) == (0, {}, False)


def test_a_gpu_has_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert device.indexed("cuda") == torch.device("cuda", 3)
    assert device.indexed(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert device.indexed(None) == device.indexed("cpu") == CPU


def test_kernels_are_deterministic_only_where_that_is_asked_for():
    device.set_kernels(CPU, deterministic=True)
    try:
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        device.set_kernels(CPU)
    assert not torch.are_deterministic_algorithms_enabled()


def test_pixels_are_multiplied_exactly_whatever_a_model_may(monkeypatch):
    set_to = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", set_to.append)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    with device.exact_products(CPU):
        assert set_to == []
    with device.exact_products(torch.device("cuda")):
        assert set_to == ["highest"]
    assert set_to == ["highest", "high"]


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_that_emulates_bf16_does_not_have_it(monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert device.native_bf16(torch.device("cuda")) == native
    choices = autotune.candidates(torch.device("cuda"), "auto", False)
    # fp16 is never a candidate if bf16 is native: noise would decide between two numeric regimes.
    assert choices == [("bf16", False), ("fp32", False)] if native else [("fp16", False), ("fp32", False)]


def test_a_seed_gives_the_numbers_of_torch_s_own() -> None:
    seed = 2**63 - 1
    torch.manual_seed(seed)
    wanted = torch.rand(3)
    device.seed_device(torch.device("cpu"), seed)
    assert torch.equal(torch.rand(3), wanted)

"""The device that torch computes on: its name, memory, dtypes and memory formats."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from zoo.system.hardware import cpu_flags, cpu_name

# The precisions of a recipe, and the dtype that each one computes in.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Names of bfloat16 instructions: torch's for x86 (first two) and ARM, then Linux's for ARM.
# For x86, /proc/cpuinfo has the same names as torch.
BF16_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16", "bf16", "sve_bf16", "svebf16"})
# Writing this to /proc/self/clear_refs resets the peak of resident memory to the current use (proc(5)).
RESET_PEAK = "5"


def device_name(device: torch.device) -> str:
    """Return the GPU's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def indexed(device: torch.device | str | None) -> torch.device:
    """Return a device, with its index if it is a GPU, since some of torch's functions need it; None is the CPU."""
    found = torch.device(device or "cpu")
    return torch.device("cuda", torch.cuda.current_device()) if found.type == "cuda" and found.index is None else found


def apple_gpu() -> bool:
    """Return whether this machine has an Apple GPU that torch can use."""
    device = torch.accelerator.current_accelerator(check_available=True)
    return device is not None and device.type == "mps"


def seed_device(device: torch.device, seed: int) -> None:
    """Seed torch's default generators, which dropout uses, on the CPU and on one device.

    `torch.manual_seed` seeds all devices of all kinds, and takes ten times as long.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[indexed(device).index].manual_seed(seed)


def memory_format(channels_last: bool) -> torch.memory_format:
    """Return torch's memory format for images [B, C, S, S]: channels side by side per pixel, or a plane per channel."""
    return torch.channels_last if channels_last else torch.contiguous_format


def native_bf16(device: torch.device) -> bool:
    """Return whether a device has instructions for bfloat16; a CPU without them converts each value one by one.

    Return True if nothing is known about a CPU: callers that measure will find out.
    """
    if device.type == "cuda":
        # By default, GPUs that emulate bfloat16 count too, such as V100 and T4.
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    # Older versions of torch have no public function for this; then use the list of Linux.
    ask = getattr(torch.cpu, "get_capabilities", None)
    names = {name for name, value in ask().items() if value} if ask is not None else cpu_flags()
    return not names or bool(BF16_INSTRUCTIONS & names)


def set_kernels(device: torch.device, *, deterministic: bool = False) -> None:
    """Choose how a GPU computes in this process from now on: as fast as possible, or with the same bits each time.

    Args:
        device: the device of this process.
        deterministic: use no kernel that adds up in varying order, and do not search for the fastest kernels, since another
            process may find others (PyTorch's notes on reproducibility). Set it before the first matrix product.
    """
    torch.use_deterministic_algorithms(deterministic)
    if device.type == "cuda":
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # The only backward pass of this attention adds up in varying order.
        torch.backends.cuda.enable_mem_efficient_sdp(not deterministic)
        torch.backends.cudnn.benchmark = not deterministic
        # Models multiply float32 in TF32; resampling of pixels uses `exact_products`.
        torch.set_float32_matmul_precision("high")


@contextlib.contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """Multiply float32 matrices in float32 within the block, even if `set_kernels` allows TF32."""
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its queued work; return at once on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gpu_facts(device: torch.device) -> dict[str, str]:
    """Return a GPU's properties and settings that, besides torch, decide the bits of its results; empty for a CPU."""
    if device.type != "cuda":
        return {}
    from torch.cuda import nccl

    with_nccl = torch.distributed.is_available() and torch.distributed.is_nccl_available()
    driver = getattr(torch._C, "_cuda_getDriverVersion", str)
    return {
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "gpus": str(torch.cuda.device_count()),
        "cuda": str(torch.version.cuda or torch.version.hip),
        "driver": str(driver()),
        "cudnn": str(torch.backends.cudnn.version()),
        "nccl": ".".join(map(str, nccl.version())) if with_nccl else "",
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "cudnn_benchmark": str(torch.backends.cudnn.benchmark),
        "float32_products": torch.get_float32_matmul_precision(),
    }


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU's memory, or 0 for a CPU."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak memory to the current use, if the system supports it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text(RESET_PEAK, encoding="ascii")


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory in MB (10**6 bytes).

    On a GPU this is the memory allocated by torch, on a CPU the resident memory of this process including libraries.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    # Bytes on macOS, KiB elsewhere (getrusage(2)).
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6

"""What a device can do: bf16, operations per second, memory in use."""

import resource
import sys
import time

import torch


def has_bf16(device: torch.device) -> bool:
    """Return whether a device has instructions for bf16.

    Others emulate it: a core with AVX2 alone then multiplies matrices 300 times as slowly as in fp32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())


SIZE = {"cpu": 1024, "cuda": 8192}
"""Rows of the square matrices that are multiplied: enough to keep the device busy for a moment."""


def measure_peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return the floating-point operations per second of a matrix product: the best of three."""
    size = SIZE[device.type]
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(4):  # the first one warms up
        start = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak memory so far: of the process on a CPU, of torch's tensors on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

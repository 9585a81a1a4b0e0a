"""What the device could do at most, so that the log can say how much of it training uses."""

import resource
import sys
import time

import torch

SIZE = {"cpu": 1024, "cuda": 8192}
"""Rows of the matrices multiplied: enough to keep the device busy, and done in a blink."""


def measure_peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return floating point operations per second of a square matrix product: the best of three."""
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
    """Return the most memory in use so far: of the process on a CPU, of torch's tensors on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

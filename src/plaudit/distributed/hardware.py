"""What the device that this process computes on can do."""

import torch


def has_bf16(device: torch.device) -> bool:
    """Say whether a device has instructions for bf16.

    Others emulate it: a core with AVX2 alone then multiplies matrices 300 times as slowly as in fp32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())

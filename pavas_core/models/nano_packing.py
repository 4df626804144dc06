"""How pavas-nano's weights are kept: large ones as whole numbers of 8 bits with a scale for every row, half the size
of half precision and as good to the ear."""

from __future__ import annotations

import torch
from torch import Tensor

SCALE = ".scale"
"""Ends the name of the scales of a packed tensor."""
SMALL = 8192
"""Tensors of fewer numbers, the codec's among them, and all vectors stay in half precision."""
_WHOLE = 127


def packed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` as they are written: float16, or int8 and, under the name with SCALE, float16 scales (rows,)."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if value.ndim < 2 or value.numel() < SMALL:
            found[name] = value.to(torch.float16).contiguous()
            continue
        rows = value.float().flatten(1)
        scale = (rows.abs().amax(dim=1) / _WHOLE).clamp(min=1e-7).to(torch.float16)
        whole = (rows / scale.float()[:, None]).round().clamp(-_WHOLE, _WHOLE).to(torch.int8)
        found[name], found[name + SCALE] = whole.view_as(value).contiguous(), scale
    return found


def unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Float32 tensors from what :func:`packed` wrote. Raises KeyError where scales are missing."""
    found = {}
    for name, value in tensors.items():
        if value.dtype == torch.int8:
            scale = tensors[name + SCALE].float().view(-1, *[1] * (value.ndim - 1))
            found[name] = value.float() * scale
        elif not name.endswith(SCALE) or name.removesuffix(SCALE) not in tensors:
            found[name] = value.float()
    return found

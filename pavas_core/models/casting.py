"""Layers that keep their weights in a smaller type than they compute in.

What ``comfy.ops.manual_cast`` is in ComfyUI: the layer classes for weights stored in eight bits.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RMSNorm = nn.RMSNorm
SMALLEST_STORED = 1 << 14
"""Tensors below this many numbers save nothing worth their rounding."""


class Linear(nn.Linear):
    """Casts weight and bias to the input's type at every call."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


class Conv1d(nn.Conv1d):
    """Casts weight and bias to the input's type at every call."""

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return self._conv_forward(x, self.weight.to(x.dtype), bias)


def store_in_eight_bits(module: nn.Module) -> None:
    """Round the large weights of linear layers and convolutions to float8 (e4m3), in place."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv1d)) and layer.weight.numel() >= SMALLEST_STORED:
            layer.weight = nn.Parameter(layer.weight.to(torch.float8_e4m3fn), requires_grad=False)

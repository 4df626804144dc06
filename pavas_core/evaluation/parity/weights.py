"""Weights of the golden numbers: normal draws by a rule, so that no released file is needed to check a network."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

STATISTICS = {"latent_mean": (0.0, 0.1), "latent_std": (1.0, 0.1)}
"""Mean and deviation of tensors whose values must stay sane."""


def seeded_tensor(name: str, shape: Sequence[int], seed: int) -> Tensor:
    """The fp32 value of tensor ``name``: matrices of unit gain, scales around 1, biases around 0."""
    import torch

    key = (zlib.crc32(name.encode()) ^ seed) & 0x7FFFFFFF
    drawn = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(key))
    if name in STATISTICS:
        mean, deviation = STATISTICS[name]
        return mean + deviation * drawn
    if drawn.ndim >= 2:
        drawn *= (drawn.numel() / drawn.shape[0]) ** -0.5
        return drawn
    return 1 + 0.1 * drawn if name.endswith("weight") else 0.1 * drawn


def fill(module: nn.Module, *, seed: int = 1, prefix: str = "", keep: tuple[str, ...] = ()) -> None:
    """Overwrite a module's floating tensors in place; names ending in one of ``keep`` stay as they are."""
    import torch

    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point() and not (keep and name.endswith(keep)):
                value.copy_(seeded_tensor(prefix + name, value.shape, seed))

"""Euler integration of the flow with classifier-free guidance (paper section 3.1; MMAudio's sampler)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pavas_core.models.network import NO_RESIDUALS, Conditions, FlowTransformer, Residuals
from pavas_core.runtime import Runtime


@dataclass(frozen=True)
class Branch:
    """What one guidance branch sees: its conditions and, with a Phy-Adapter, the adapter's residuals."""

    conditions: Conditions
    residuals: Residuals = NO_RESIDUALS


def seeded_noise(seed: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise drawn in fp32 on the CPU, so that a seed means the same on every device."""
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)


def guided_velocity(
    network: FlowTransformer, given: Branch, null: Branch | None, cfg_strength: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """Velocity field s * v(given) + (1 - s) * v(null); the given branch alone without a null branch."""

    def velocity(latent: Tensor, t: Tensor) -> Tensor:
        x = network.audio_input_proj(latent)  # the same in both branches
        with_condition = network.flow(x, t, given.conditions, given.residuals)
        if null is None:
            return with_condition
        without = network.flow(x, t, null.conditions, null.residuals)
        return cfg_strength * with_condition + (1 - cfg_strength) * without

    return velocity


def integrate(
    velocity: Callable[[Tensor, Tensor], Tensor],
    latent: Tensor,
    steps: int,
    *,
    start: float = 0.0,
    end: float = 1.0,
    runtime: Runtime | None = None,
) -> Tensor:
    """Euler steps of equal length from flow time ``start`` (0 = noise) to ``end`` (1 = data).

    ``latent`` is (B, L, C). The host is asked for interruption before every step.
    """
    runtime = runtime or Runtime()
    times = torch.linspace(start, end, steps + 1, dtype=torch.float32)
    for index in range(steps):
        runtime.step("sampling", index, steps)
        t = times[index].to(latent.device).expand(latent.shape[0])
        latent = latent + (times[index + 1] - times[index]).item() * velocity(latent, t)
    runtime.step("sampling", steps, steps)
    return latent

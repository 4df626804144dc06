"""Euler integration of the flow with classifier-free guidance (paper section 3.1; MMAudio's sampler)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pavas_core.models.network import NO_RESIDUALS, Conditions, FlowTransformer, Residuals, join_conditions
from pavas_core.runtime import Runtime


@dataclass(frozen=True)
class Branch:
    """One evaluation of the network in a step: what it is given, and its factor in the sum that is the velocity.

    Classifier-free guidance of strength s is two branches, the given one with factor s and the null one with 1 - s.
    """

    conditions: Conditions
    residuals: Residuals = NO_RESIDUALS
    factor: float = 1.0


def seeded_noise(seed: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise drawn in fp32 on the CPU, so that a seed means the same on every device."""
    return torch.randn(*shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)


def calls_apart(device: torch.device | str) -> bool:
    """Whether branches are evaluated one by one: a CPU gains nothing from joining them."""
    return torch.device(device).type == "cpu"


def guided_flow(network: FlowTransformer, latent: Tensor, t: Tensor, branches: Sequence[Branch]) -> Tensor:
    """Sum of the branches' velocities (B, L, C), float32; every branch's conditions are of B clips.

    One joined call where the device gains from it, one call a branch on the CPU, where it would not.
    """
    x = network.audio_input_proj(latent)  # the same in every branch
    if calls_apart(latent.device) or len(branches) == 1:
        flows = [network.flow(x, t, branch.conditions, branch.residuals) for branch in branches]
    else:
        count = len(branches)
        conditions = join_conditions([branch.conditions for branch in branches])
        residuals = _joined([branch.residuals for branch in branches], *x.shape[:2])
        joined = network.flow(x.repeat(count, 1, 1), t.repeat(count), conditions, residuals)
        flows = list(joined.chunk(count))
    total = torch.zeros_like(latent, dtype=torch.float32)
    for branch, flow in zip(branches, flows, strict=True):
        total = total + branch.factor * flow.float()
    return total


def _joined(residuals: Sequence[Residuals], clips: int, length: int) -> Residuals:
    """Residuals of several branches as one batch; those of one clip or one token stand for all."""

    def join(values: Sequence[Tensor]) -> Tensor:
        return torch.cat([value.expand(clips, length, -1) for value in values])

    blocks = tuple(join(values) for values in zip(*(one.blocks for one in residuals), strict=True))
    conditions = [one.condition for one in residuals if one.condition is not None]
    return Residuals(blocks, join(conditions) if conditions else None)


def integrate(
    velocity: Callable[[Tensor, Tensor], Tensor],
    latent: Tensor,
    steps: int,
    *,
    start: float = 0.0,
    end: float = 1.0,
    held: Callable[[Tensor, float], Tensor] | None = None,
    runtime: Runtime | None = None,
) -> Tensor:
    """Euler steps of equal length from flow time ``start`` (0 = noise) to ``end`` (1 = data).

    ``latent`` is (B, L, C). ``held`` corrects the latent that a step has led to, given its flow time. The host is asked
    for interruption before every step.
    """
    runtime = runtime or Runtime()
    times = torch.linspace(start, end, steps + 1, dtype=torch.float32)
    for index in range(steps):
        runtime.step("sampling", index, steps)
        t = times[index].to(latent.device).expand(latent.shape[0])
        latent = latent + (times[index + 1] - times[index]).item() * velocity(latent, t)
        if held is not None:
            latent = held(latent, times[index + 1].item())
    runtime.step("sampling", steps, steps)
    return latent

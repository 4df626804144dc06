"""Parts of a sound made anew while the rest stays as it is.

A flow can be held where the sound is known: after every step its latent is put back onto the straight way from the
noise to what is known (replacement as in RePaint, Lugmayr et al. 2022, here for flow matching), so that the new part is
made to fit its surroundings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pavas_core.errors import PavasError

Span = tuple[float, float]


@dataclass(frozen=True)
class Kept:
    """A sound of which only parts are made anew."""

    latent: Tensor
    """Unnormalised, float32 (1 or takes, L, C)."""
    redo_s: tuple[Span, ...]
    """Begin and end of each part that is made anew, seconds."""


def checked_span(start_s: float, end_s: float, duration_s: float) -> Span:
    """A part of a sound, cut to its length. Raises PavasError where nothing is left of it."""
    if not 0 <= start_s < min(end_s, duration_s):
        raise PavasError(
            f"From {start_s:g} s to {end_s:g} s is no part of a sound of {duration_s:g} s: "
            f"give a start below the end, both between 0 and {duration_s:g}."
        )
    return float(start_s), float(min(end_s, duration_s))


def redone(redo_s: Sequence[Span], length: int, rate_hz: float) -> Tensor:
    """bool (L,): latent tokens any part of which lies in one of the parts."""
    first = torch.arange(length, dtype=torch.float64) / rate_hz
    out = torch.zeros(length, dtype=torch.bool)
    for start_s, end_s in redo_s:
        out |= (first + 1 / rate_hz > start_s + 1e-6) & (first < end_s - 1e-6)
    return out


def check_kept(kept: Kept, takes: int, length: int, channels: int, duration_s: float, rate_hz: float) -> None:
    """Raise PavasError for a sound that is not of this model, this length or as many takes."""
    have, tokens, wide = kept.latent.shape
    if not kept.redo_s:
        raise PavasError("No part of the latent is marked to be made anew: put Regenerate Part before the sampler.")
    if wide != channels:
        raise PavasError(
            f"The latent has {wide} channels and this model's has {channels}: give one that this model made."
        )
    if tokens != length:
        raise PavasError(
            f"The latent lasts {tokens / rate_hz:.2f} s and the new sound {duration_s:.2f} s: "
            "give one that was made for the same clip."
        )
    if have not in (1, takes):
        raise PavasError(f"The latent has {have} takes and {takes} are asked for: set takes to {have}, or give one.")


def holding(known: Tensor, noise: Tensor, new: Tensor) -> Callable[[Tensor, float], Tensor]:
    """What puts a latent (B, L, C) at flow time t back onto the way to ``known`` wherever ``new`` (L,) is false.

    ``known`` is normalised, (1 or B, L, C); ``noise`` (B, L, C) is what the flow set out from.
    """

    def held(latent: Tensor, t: float) -> Tensor:
        return torch.where(new[:, None], latent, (1.0 - t) * noise + t * known)

    return held

"""Latents to sounds of exactly the clip's length, and what is wrong with them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pavas_core.audio import Audio, linear_gain
from pavas_core.errors import PavasError
from pavas_core.evaluation.loudness import measure

if TYPE_CHECKING:
    from torch import Tensor

    from pavas_core.models.sound_model import SoundModel
    from pavas_core.runtime import Runtime

log = logging.getLogger("pavas")


def vocode(
    model: SoundModel, latent: Tensor, duration_s: float, *, output_gain_db: float = 0.0, runtime: Runtime
) -> list[Audio]:
    """One mono sound a take, cut to ``duration_s`` to the sample; nothing is normalised.

    ``latent`` is unnormalised (takes, L, C). Logs peak and loudness, and a sentence on silence, offset and clipping.
    Raises PavasError where a network gave no numbers at all.
    """
    import torch

    if not torch.isfinite(latent).all():
        raise PavasError(f"{model.name} made a latent that is no number: use precision fp32, or a lower cfg_strength.")
    waves = model.decode(latent, runtime=runtime)
    if not torch.isfinite(waves).all():
        raise PavasError(f"{model.name} made a sound that is no number: use precision fp32 for this model.")
    samples = round(duration_s * model.sample_rate)
    gain = linear_gain(output_gain_db)
    takes = [
        Audio((gain * wave[None, :samples]).float().numpy(), model.sample_rate)
        for wave in torch.nn.functional.pad(waves, (0, max(0, samples - waves.shape[1])))
    ]
    for number, take in enumerate(takes, start=1):
        report = measure(take)
        log.info("Take %d of %s: %s.", number, model.name, report)
        for fault in report.faults:
            log.warning("Take %d of %s %s", number, model.name, fault)
    return takes

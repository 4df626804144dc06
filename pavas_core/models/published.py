"""Published sound networks (the MMAudio family) with their encoders and codec, from the user's files."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pavas_core.errors import WeightsError
from pavas_core.models import load
from pavas_core.models.decoding import decode_latent
from pavas_core.models.seeing import look
from pavas_core.models.sound_model import Features, SoundModel
from pavas_core.weights.companions import Companions, choose, contents_of
from pavas_core.weights.contents import ROLES
from pavas_core.weights.folders import Found

if TYPE_CHECKING:
    from pavas_core.models.clip_encoder import ClipEncoder
    from pavas_core.models.load import Backbone
    from pavas_core.models.synchformer import SyncEncoder
    from pavas_core.physics.types import TrackSet
    from pavas_core.runtime import Runtime
    from pavas_core.video.clip import Clip

TRAINED_WINDOW_S = 8.0
REMEMBERED_TEXTS = 32


class PublishedModel(SoundModel):
    """One published network.

    Network and codec are read when the model is made, encoders when they are first needed, so that sound from text
    alone never reads Synchformer; all stay in main memory. Network and encoders compute in ``dtype``; VAE and vocoder,
    whose rounding is audible, always in fp32.
    """

    window_s = TRAINED_WINDOW_S

    def __init__(self, path: Path, backbone: Backbone, companions: Companions, dtype: torch.dtype, runtime: Runtime):
        self.name = path.stem
        self.network, self.adapter = backbone.network, backbone.adapter
        self.contents, self.companions, self.dtype = backbone.contents, companions, dtype
        self._vae = load.load_vae(companions.vae, dtype=torch.float32, runtime=runtime)
        self._vocoder = load.load_vocoder(companions.vocoder, dtype=torch.float32, runtime=runtime)
        self.sample_rate = self._vocoder.config.sample_rate
        self.latent_rate_hz = self.sample_rate / math.prod(self._vocoder.config.rates) / 2
        self.encoder = f"{contents_of(companions.clip)} and Synchformer"
        self._clip: ClipEncoder | None = None
        self._sync: SyncEncoder | None = None
        self._texts: OrderedDict[str, Tensor] = OrderedDict()

    @property
    def summary(self) -> str:
        """What was loaded, for the user: one line a part."""
        has_physics = "yes" if self.adapter is not None else "none; mass and speed do not change the sound"
        lines = [
            f"network: {self.name} ({self.contents.variant}), {str(self.dtype).removeprefix('torch.')}",
            f"Phy-Adapter: {has_physics}",
            *str(self.companions).split(", "),
            f"sound: {self.sample_rate} Hz, trained on {self.window_s:g} s",
        ]
        return "\n".join(lines)

    def encode_video(self, clip: Clip, tracks: TrackSet | None, *, runtime: Runtime) -> Features:
        """Semantic and sync tokens of a clip, and with ``tracks`` the features of every object (paper eq. 4)."""
        if self._sync is None:
            self._sync = load.load_synchformer(self.companions.synchformer, dtype=self.dtype, runtime=runtime)
        semantic = self._clip_encoder(runtime)
        return look(clip, tracks, semantic, self._sync, encoder=self.encoder, dtype=self.dtype, runtime=runtime)

    def encode_text(self, text: str, *, runtime: Runtime) -> Tensor:
        """CLIP's token features float32 (77, C) on the CPU; those of the last few texts are remembered."""
        if text not in self._texts:
            encoder = self._clip_encoder(runtime)
            runtime.step("encoding text", 0, 1)
            with torch.inference_mode(), runtime.resident(encoder):
                tokens = encoder.tokenize([text]).to(runtime.device)
                self._texts[text] = encoder.encode_tokens(tokens)[0].float().cpu()
            runtime.step("encoding text", 1, 1)
        self._texts.move_to_end(text)
        if len(self._texts) > REMEMBERED_TEXTS:
            self._texts.popitem(last=False)
        return self._texts[text]

    def _clip_encoder(self, runtime: Runtime) -> ClipEncoder:
        if self._clip is None:
            self._clip = load.load_clip(self.companions.clip, dtype=self.dtype, runtime=runtime)
        return self._clip

    def decode(self, latent: Tensor, *, runtime: Runtime) -> Tensor:
        """Waveforms float32 (B, samples) on the CPU from unnormalised latents (B, L, C)."""
        return decode_latent(self._vae, self._vocoder, latent, runtime)


def load_published(
    path: Path,
    *,
    adapter: Path | None = None,
    precision: str = "auto",
    files: Sequence[Found],
    folders: Sequence[Path],
    named: Mapping[str, Path] | None = None,
    runtime: Runtime,
) -> PublishedModel:
    """A network from ``path`` with an adapter and its companions: those ``named`` by role, else those that fit.

    Nothing large is read before every file was found and told to fit. Raises WeightsError in one sentence.
    """
    contents = contents_of(path)
    if contents.role != "network":
        raise WeightsError(f"{path.name} is {contents}, and {ROLES['network']} is needed here: choose another file.")
    companions = choose(path, contents, files, folders, named)
    dtype = runtime.dtype(precision)
    eight_bits = precision == "fp8"
    backbone = load.load_backbone(path, adapter=adapter, dtype=dtype, eight_bits=eight_bits, runtime=runtime)
    return PublishedModel(path, backbone, companions, dtype, runtime)

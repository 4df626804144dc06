"""What every sound network offers the sampler and the nodes, whether published or in the box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from pavas_core.models.network import FlowTransformer
    from pavas_core.models.phy_adapter import PhyAdapter
    from pavas_core.physics.types import Scene, TrackSet
    from pavas_core.runtime import Runtime
    from pavas_core.video.clip import Clip


@dataclass(frozen=True)
class ObjectFeatures:
    """Visual features of one object on the frames of :attr:`Features.frame_times_s`."""

    object_id: str
    features: Tensor
    """float (T, feature_dim): mask-weighted sum of patch tokens (paper eq. 4)."""
    present: Tensor
    """bool (T,): the object's mask is not empty in this frame."""


@dataclass(frozen=True)
class Features:
    """What a network sees of one clip, on the CPU; computed once and reused by every take, seed and edit."""

    encoder: str
    """Name of the encoders that made it; a network refuses features of others."""
    duration_s: float
    """Length of the sound to make."""
    clip: Tensor | None
    """float (Nc, clip_dim) semantic tokens, or None for text-to-audio."""
    sync: Tensor | None
    """float (8 n, sync_dim) frame-aligned tokens, or None for text-to-audio."""
    frame_times_s: Tensor
    """float (T,) seconds of the semantic frames (and of the objects' features)."""
    objects: tuple[ObjectFeatures, ...] = ()
    cuts_s: tuple[float, ...] = ()
    """Seconds of scene cuts, which windows respect."""
    sync_hop_s: float = 0.32
    """Seconds between two groups of 8 sync tokens."""
    sync_span_s: float = 0.64
    """Seconds that a group of 8 sync tokens covers from its begin."""


@dataclass(frozen=True)
class Told:
    """What an adapter is told of the impacts of one scene besides when and how hard."""

    facts: Tensor
    """(1, K, columns)."""
    unnamed: Tensor
    """The same as if nobody had said what things are made of."""
    stuff: tuple[frozenset[str], frozenset[str]]
    """Materials in ``facts``: of things, and of surfaces."""


class SoundModel(Protocol):
    """A network with its encoders and codec. Parts are resident on ``runtime.device`` only while they work.

    What only some networks have, others inherit as having none.
    """

    name: str
    encoder: str
    """Name of the encoders whose features it takes; networks of one family share theirs."""
    sample_rate: int
    latent_rate_hz: float
    """Latent tokens a second."""
    window_s: float
    """Length the network was trained on; longer sounds are made by overlapping windows."""
    network: FlowTransformer
    adapter: PhyAdapter | None
    dtype: dtype
    """The type the network computes in."""
    physics_cfg: float | None = None
    """How many times the step from no physics to the physics given is taken, where nobody says."""
    usual_cfg_strength: float | None = None
    """The guidance it is meant for, if it is meant for one."""

    def encode_video(self, clip: Clip, tracks: TrackSet | None, *, runtime: Runtime) -> Features:
        """Look at a clip once. With ``tracks``, features are pooled per object as well."""
        ...

    def encode_text(self, text: str, *, runtime: Runtime) -> Tensor:
        """Text tokens float (Nt, text_dim) on the CPU; the empty string gives the null text."""
        ...

    def tempered(self, noise: Tensor) -> Tensor:
        """What sampling begins with, from noise (B, L, C)."""
        return noise

    def told_of_impacts(self, scene: Scene) -> Told | None:
        """What the adapter is told of a scene's impacts, if it hears such facts."""
        return None

    def ringing_of(self, scene: Scene, length: int) -> Tensor | None:
        """What is expected to ring in a scene over ``length`` latent tokens, if the model makes sure of it."""
        return None

    def rings_on(self, latent: Tensor, ringing: Tensor) -> Tensor:
        """Unnormalised latents (B, L, C) in which what :meth:`ringing_of` says is heard."""
        return latent

    def agrees(self, prompt: str, stuff: tuple[frozenset[str], frozenset[str]]) -> bool:
        """Whether materials told, of things and of surfaces, may stand beside a prompt."""
        return True

    def decode(self, latent: Tensor, *, runtime: Runtime) -> Tensor:
        """Waveforms float (B, samples) on the CPU from unnormalised latents (B, L, C)."""
        ...

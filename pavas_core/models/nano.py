"""pavas-nano-1: a complete PAVAS network that ships with its weights and needs neither download nor GPU."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pavas_core.errors import WeightsError
from pavas_core.models import nano_config
from pavas_core.models.nano_codec import NanoCodec
from pavas_core.models.nano_facts import facts_dim, told_of
from pavas_core.models.nano_packing import unpacked
from pavas_core.models.nano_ringing import at_least, ringing
from pavas_core.models.nano_text import named_materials, prompt_tokens
from pavas_core.models.nano_visual import SHRUNK, Sight, look, see
from pavas_core.models.network import FlowTransformer, NetworkConfig
from pavas_core.models.phy_adapter import AdapterConfig, PhyAdapter
from pavas_core.models.sound_model import Features, ObjectFeatures, SoundModel, Told
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from pavas_core.physics.types import Scene, TrackSet
    from pavas_core.video.clip import Clip, Frame

log = logging.getLogger("pavas")

NAME = nano_config.NAME
WEIGHTS = Path(__file__).parent / "weights" / f"{NAME}.safetensors"
STEPS = 4
CFG_STRENGTH = 1.0
"""Guidance by prompt and clip exaggerates levels; this network is judged without."""
PHYSICS_CFG = 1.0
"""Physics as it was learned, whatever the guidance by prompt and clip: loudness follows it at the true slope."""


CHANCE = 0.25
"""Of the noise this share is kept: levels and spectra scatter less from seed to seed, and as near the truth."""
LOUDNESS_CHANCE = 0.1
LOUDNESS_LIFT = 0.14
"""In the latent channels that carry loudness less of it is kept, and so much is added to the first: a scene shall be as
loud with every seed, and as loud as its mean, not its median (all chosen on the same scenes)."""
LOUDNESS_CHANNELS = 3


class NanoModel(SoundModel):
    """The network in the box; computes in fp32."""

    name = encoder = NAME
    window_s = nano_config.WINDOW_S
    physics_cfg = PHYSICS_CFG
    usual_cfg_strength = CFG_STRENGTH
    dtype = torch.float32

    def __init__(self, network: FlowTransformer, adapter: PhyAdapter, codec: NanoCodec, facts: dict[str, Any]) -> None:
        self.network, self.adapter, self.codec = network.eval(), adapter.eval(), codec.eval()
        self.facts = facts
        """What the file of weights says of itself: configurations, training runs, scores."""
        self.sample_rate = codec.config.sample_rate
        self.latent_rate_hz = codec.config.rate_hz

    def tempered(self, noise: Tensor) -> Tensor:
        """The noise with less chance, least in the channels that carry loudness."""
        return tempered(noise, self.codec)

    def encode_video(self, clip: Clip, tracks: TrackSet | None, *, runtime: Runtime) -> Features:
        """Tracked motion, coarse pictures and the look of every object. Without ``tracks`` they are found first."""
        from pavas_core.video.cuts import find_cuts

        if tracks is None:
            from pavas_core.estimation.tracking.motion import detect_motion, track_motion

            tracks = track_motion(clip, detect_motion(clip, runtime=runtime), runtime=runtime)
        frames = _small_pictures(clip, runtime)
        pictures = look([frame.image for frame in frames], [frame.time_s for frame in frames], tracks)
        sight = see(tracks, pictures, clip.duration_s)
        return features_of(sight, tracks, clip.duration_s, find_cuts(clip, runtime=runtime))

    def encode_text(self, text: str, *, runtime: Runtime) -> Tensor:
        """Rows of the prompt, float (8, columns) on the CPU; words not understood are named in the log."""
        tokens, unknown = prompt_tokens(text)
        if unknown:
            log.warning("The prompt's words %s say nothing to %s and are not used.", ", ".join(unknown), self.name)
        return tokens

    def told_of_impacts(self, scene: Scene) -> Told:
        """What met in every impact."""
        return told_of(scene)

    def ringing_of(self, scene: Scene, length: int) -> Tensor | None:
        """Mel magnitudes (1, L, bands * frames) of all that is known to ring."""
        return ringing(scene, length, self.codec.config)

    def rings_on(self, latent: Tensor, ringing: Tensor) -> Tensor:
        """No band of ``latent`` is softer than what is expected to ring."""
        return at_least(latent, ringing, self.codec)

    def agrees(self, prompt: str, stuff: tuple[frozenset[str], frozenset[str]]) -> bool:
        """Whether a prompt names no other materials, of things and of surfaces, than a scene has: what it says counts
        more. A scene may have more than a prompt names (a wall beside the floor), and a prompt more than is known."""
        named = named_materials(prompt_tokens(prompt)[0])
        return all(said <= known or known <= said for said, known in zip(named, stuff, strict=True))

    def decode(self, latent: Tensor, *, runtime: Runtime) -> Tensor:
        """Waveforms float (B, samples) on the CPU from unnormalised latents (B, L, C)."""
        with torch.inference_mode(), runtime.resident(self.codec):
            return self.codec.decode(latent.to(runtime.device), runtime=runtime).cpu()


def tempered(noise: Tensor, codec: NanoCodec) -> Tensor:
    """Noise (..., C) with less chance, least in the channels that carry loudness; the first is raised."""
    scale, lift = noise.new_full(noise.shape[-1:], CHANCE), noise.new_zeros(noise.shape[-1])
    scale[:LOUDNESS_CHANNELS] = LOUDNESS_CHANCE
    lift[0] = LOUDNESS_LIFT * codec.basis[0].sum().sign()
    return noise * scale + lift


def features_of(sight: Sight, tracks: TrackSet, duration_s: float, cuts_s: tuple[float, ...] = ()) -> Features:
    """What was seen of a clip, as the sampler takes it."""
    objects = tuple(
        ObjectFeatures(track.object_id, torch.from_numpy(look), torch.from_numpy(present))
        for track, look, present in zip(tracks.tracks, sight.objects, sight.present, strict=True)
    )
    hop_s = 8 * duration_s / len(sight.sync)
    return Features(
        NAME,
        duration_s,
        torch.from_numpy(sight.clip),
        torch.from_numpy(sight.sync),
        torch.from_numpy(sight.frame_times_s),
        objects,
        cuts_s,
        sync_hop_s=hop_s,
        sync_span_s=hop_s,
    )


def prompt_of(scene: Scene, surface: str = "unknown") -> str:
    """The prompt that says what the scene's bodies and the ``surface`` are made of, in words the network knows."""
    from pavas_core.synthesis.materials import split_words
    from pavas_core.synthesis.shapes import knows_shape

    things = []
    for body in scene.bodies:
        names = split_words(" ".join([*body.object.aliases[::-1], body.object.name]))
        shape = next(filter(knows_shape, names), "")
        material = "" if body.object.material == "unknown" else body.object.material
        things.append(f"{material} {shape}".strip())
    ground = "" if surface == "unknown" else f" on {surface} floor"
    return " and ".join(filter(None, things)) + ground


def _small_pictures(clip: Clip, runtime: Runtime) -> list[Frame]:
    """All pictures at the few pixels that are looked at."""
    from pavas_core.video.clip import iter_frames

    found: list[Frame] = []
    for frame in iter_frames(clip, long_side=max(SHRUNK)):
        runtime.step("looking", len(found), clip.frame_count)
        found.append(frame)
    return found


def load_nano(runtime: Runtime, path: Path = WEIGHTS) -> NanoModel:
    """The network with its weights. Raises WeightsError where the file is missing or not this network's."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise WeightsError(f"{path.name} is not in {path.parent}: install the pack again, it ships with this file.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = unpacked({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        facts = {name: value if name == "name" else json.loads(value) for name, value in metadata.items()}
        build = {} if runtime.operations is None else {"operations": runtime.operations}
        network = FlowTransformer(NetworkConfig(**facts["network"]), **build)
        adapter = PhyAdapter(AdapterConfig(**facts["adapter"]), **build)
        _check_told(adapter.config)
        codec = NanoCodec()
        for prefix, module in (("network", network), ("adapter", adapter), ("codec", codec)):
            _fill(module, prefix, tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{path.name} is damaged or of another version ({error}): install the pack again, or give a file that "
            "`train nano` has written with this version."
        ) from error
    return NanoModel(network, adapter, codec, facts)


def _check_told(config: AdapterConfig) -> None:
    """Raise ValueError for an adapter that is told of impacts otherwise than :func:`told_of` tells."""
    if config.impact_facts not in (0, facts_dim()):
        raise ValueError(f"it is told {config.impact_facts} facts of an impact, not {facts_dim()}")


def _fill(module: nn.Module, prefix: str, tensors: dict[str, Tensor]) -> None:
    own = {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
    module.load_state_dict(own)

"""Sound latents from features, prompt and physics: any network, any length."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pavas_core.errors import PavasError
from pavas_core.models.network import NO_RESIDUALS, Conditions, join_conditions
from pavas_core.models.phy_adapter import scaled_residuals
from pavas_core.models.sound_model import Features
from pavas_core.runtime import Runtime
from pavas_core.sampling.flow import Branch, calls_apart, guided_flow, integrate, seeded_noise
from pavas_core.sampling.physics import Physics, null_condition, residuals_of
from pavas_core.sampling.redo import Kept, check_kept, holding, redone
from pavas_core.sampling.windows import Slot, Window, latent_length, plan_windows, slots_of

if TYPE_CHECKING:
    from pavas_core.models.sound_model import SoundModel

CLIP_RATE_HZ = 8.0
SYNC_RATE_HZ, SYNC_FRAMES, SYNC_STRIDE, SYNC_TOKENS = 25.0, 16, 8, 8
NEGATIVE_PROMPT = "speech, voice, music"
"""What users of such networks most often ask to suppress."""


def clip_tokens(duration_s: float) -> int:
    """Semantic tokens of a clip: one a frame at 8 fps."""
    return max(1, int(duration_s * CLIP_RATE_HZ))


def sync_tokens(duration_s: float) -> int:
    """Sync tokens of a clip: 8 for every group of 16 frames at 25 fps, a group every 8 frames."""
    groups = int((duration_s * SYNC_RATE_HZ - SYNC_FRAMES) // SYNC_STRIDE + 1)
    return SYNC_TOKENS * max(1, groups)


def features_of_text(model: SoundModel, duration_s: float) -> Features:
    """Features of no clip at all, for sound from a prompt alone."""
    times = torch.arange(clip_tokens(duration_s), dtype=torch.float64) / CLIP_RATE_HZ
    return Features(model.name, duration_s, None, None, times)


def generate(
    model: SoundModel,
    features: Features,
    physics: Physics | None = None,
    *,
    prompt: str = "",
    negative_prompt: str = "",
    seed: int = 0,
    steps: int = 25,
    cfg_strength: float = 4.5,
    physics_strength: float = 1.0,
    physics_cfg: float | None = None,
    takes: int = 1,
    kept: Kept | None = None,
    runtime: Runtime,
) -> Tensor:
    """Unnormalised latents float32 (takes, L, C) on the CPU.

    Take k has the noise of ``seed + k``, drawn on the CPU, which a model may temper (``NanoModel.tempered``). Sounds
    longer than the network was trained on are made in overlapping windows whose velocities are averaged at every step,
    so that neighbours agree on what they share. Below 1, ``cfg_strength`` is not used and the negative prompt neither.
    ``physics_strength`` scales what physics changes (0: as if unknown). With ``physics_cfg``, prompt and clip are
    guided by ``cfg_strength`` without physics, and the step from no physics to the physics given is taken
    ``physics_cfg`` times; where None is given, as often as the model says of itself, if it does. With ``kept``, all but
    its marked parts are returned as they are. Raises PavasError for features, physics or a kept sound of another model
    and for impossible numbers.
    """
    _check(model, features, physics, steps, takes)
    physics_cfg = model.physics_cfg if physics_cfg is None else physics_cfg
    network, device = model.network, runtime.device
    windows = plan_windows(features.duration_s, model.window_s, cuts_s=features.cuts_s, grid_s=features.sync_hop_s)
    length = latent_length(features.duration_s, model.latent_rate_hz)
    if kept is not None:
        check_kept(kept, takes, length, network.config.latent_dim, features.duration_s, model.latent_rate_hz)
    slots = slots_of(windows, model.latent_rate_hz, length)
    given_text = _text(model, prompt, runtime)
    negative_text = _text(model, negative_prompt, runtime) if cfg_strength >= 1 else None
    modules = (network,) if model.adapter is None else (network, model.adapter)
    if physics is not None and not model.agrees(prompt, physics.stuff):
        physics = physics.without_names()
    drawn = [seeded_noise(seed + take, (1, length, network.config.latent_dim)) for take in range(takes)]
    noise = model.tempered(torch.cat(drawn))
    with torch.inference_mode(), runtime.resident(*modules):
        branches = [
            _branches(
                model, features, window, slot, physics, given_text, negative_text,
                cfg_strength, physics_strength, physics_cfg, takes, device,
            )
            for window, slot in zip(windows, slots, strict=True)
        ]  # fmt: skip

        def velocity(latent: Tensor, t: Tensor) -> Tensor:
            total = torch.zeros_like(latent)
            for slot, parts in zip(slots, branches, strict=True):
                runtime.check_cancelled()
                flow = guided_flow(network, latent[:, slot.first : slot.last].to(model.dtype), t, parts)
                total[:, slot.first : slot.last] += slot.weight.to(device)[:, None] * flow
            return total

        noise = noise.to(device)

        def finished(latent: Tensor) -> Tensor:
            latent = network.unnormalize(latent).float().cpu()
            if physics is None or physics.ringing is None:
                return latent
            return torch.lerp(latent, model.rings_on(latent, physics.ringing), min(max(physics_strength, 0.0), 1.0))

        if kept is None:
            return finished(integrate(velocity, noise, steps, runtime=runtime))
        new = redone(kept.redo_s, length, model.latent_rate_hz)
        known = network.normalize(kept.latent.to(device, torch.float32))
        held = holding(known, noise, new.to(device))
        latent = finished(integrate(velocity, noise, steps, held=held, runtime=runtime))
        return torch.where(new[:, None], latent, kept.latent.float().cpu())


def _check(model: SoundModel, features: Features, physics: Physics | None, steps: int, takes: int) -> None:
    if features.clip is not None and features.encoder != model.encoder:
        raise PavasError(
            f"These features were made for {features.encoder} and {model.name} needs those of {model.encoder}: "
            "run Encode Video with this model."
        )
    if physics is not None and physics.model != model.name:
        raise PavasError(
            f"This physics was encoded for {physics.model}, not for {model.name}: encode it again with this model."
        )
    if steps < 1 or takes < 1:
        raise PavasError(f"{steps} steps and {takes} takes make no sound: give 1 or more of each.")
    if not features.duration_s > 0:
        raise PavasError(f"A sound of {features.duration_s} s cannot be made: give a longer duration.")


def _text(model: SoundModel, text: str, runtime: Runtime) -> Tensor | None:
    """Tokens of a prompt, or None for the network's own null text."""
    return model.encode_text(text, runtime=runtime) if text.strip() else None


def _branches(
    model: SoundModel,
    features: Features,
    window: Window,
    slot: Slot,
    physics: Physics | None,
    given_text: Tensor | None,
    negative_text: Tensor | None,
    cfg_strength: float,
    physics_strength: float,
    physics_cfg: float | None,
    takes: int,
    device: str,
) -> tuple[Branch, ...]:
    """The network's evaluations in one window: everything that no step changes."""
    network, dtype, length = model.network, model.dtype, slot.last - slot.first
    like = torch.zeros(1, device=device, dtype=dtype)

    clip, sync = _within(features, window)
    window_s = window.end_s - window.start_s
    counts = (
        clip_tokens(window_s) if clip is None else len(clip),
        sync_tokens(window_s) if sync is None else len(sync),
    )

    def tokens(text: Tensor | None) -> Tensor:
        return network.empty_text(1, like) if text is None else text[None].to(device, dtype)

    def null_conditions(text: Tensor | None) -> Conditions:
        if calls_apart(device):
            return join_conditions([network.prepare_null(*counts, tokens(text), length)] * takes)
        # Joined with the given branch, which has all rows.
        empty_clip, empty_sync = network.empty_clip(1, counts[0], like), network.empty_sync(1, counts[1], like)
        return join_conditions([network.prepare(empty_clip, empty_sync, tokens(text), length)] * takes)

    if clip is None or sync is None:
        given = null_conditions(given_text)
    else:
        seen = network.prepare(clip[None].to(device, dtype), sync[None].to(device, dtype), tokens(given_text), length)
        given = join_conditions([seen] * takes)
    with_physics = without_physics = NO_RESIDUALS
    if model.adapter is not None:
        condition = null_condition(model.adapter, device) if physics is None else physics.null
        without_physics = residuals_of(model.adapter, condition, 0, 1, dtype, device)
        with_physics = without_physics
        if physics is not None:
            full = residuals_of(model.adapter, physics.given, slot.first, slot.last, dtype, device)
            with_physics = scaled_residuals(full, without_physics, physics_strength)
    if cfg_strength < 1:
        return (Branch(given, with_physics, 1.0),)
    null = Branch(null_conditions(negative_text), without_physics, 1 - cfg_strength)
    if physics is None or physics_cfg is None:
        branches = [Branch(given, with_physics, cfg_strength), null]
    else:
        without = Branch(given, without_physics, cfg_strength - physics_cfg)
        branches = [Branch(given, with_physics, physics_cfg), without, null]
    return tuple(branch for branch in branches if branch.factor)


def _within(features: Features, window: Window) -> tuple[Tensor | None, Tensor | None]:
    """Semantic and sync tokens of a window; the whole of them where the window is the whole clip."""
    if features.clip is None or features.sync is None:
        return None, None
    if window.start_s <= 0 and window.end_s >= features.duration_s:
        return features.clip, features.sync
    times = features.frame_times_s
    inside = (times >= window.start_s - 1e-6) & (times < window.end_s)
    clip = features.clip[: len(times)][inside[: len(features.clip)]]
    groups = features.sync.unflatten(0, (-1, SYNC_TOKENS))
    first = min(round(window.start_s / features.sync_hop_s), len(groups) - 1)
    # The last group of a window ends where the window does.
    last = max(first + 1, math.floor((window.end_s - features.sync_span_s) / features.sync_hop_s + 1e-6) + 1)
    return clip if len(clip) else features.clip[-1:], groups[first:last].flatten(0, 1)

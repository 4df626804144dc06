"""Clips on which sound networks are judged: held-out simulated scenes with their sounds and what a network is told."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pavas_core.audio import Audio
from pavas_core.models.nano_config import WINDOW_S
from pavas_core.models.sound_model import Features, SoundModel
from pavas_core.physics.types import Impact, Scene
from pavas_core.runtime import Runtime
from pavas_core.simulation.scenes import make_stage
from pavas_core.simulation.simulate import SimulatedClip, simulate
from pavas_core.simulation.stage import Stage
from pavas_core.training.examples import ROOM_TONE_DB, SAMPLE_RATE, true_sound
from pavas_core.training.faults import with_faults

FIRST_SEED = 20_000
"""Clips of the proof: never trained on, nor is anything chosen by them."""
WIDTH, HEIGHT = 128, 72
QUIET_ROOM_DB = ROOM_TONE_DB + 14.0
"""Level of a 30 ms stretch below which room tone and nothing else is heard."""


@dataclass(frozen=True)
class ProofClip:
    """One held-out scene as it happened and as it is seen."""

    seed: int
    sim: SimulatedClip
    features: Features
    surface: str
    prompt: str


def proof_sim(seed: int, kind: str | None = None) -> SimulatedClip:
    """The scene of a seed."""
    return simulate(
        seed, kind=kind, width=WIDTH, height=HEIGHT, frame_rate=25.0, duration_s=WINDOW_S, mask_long_side=WIDTH
    )


def proof_stage(seed: int, kind: str) -> Stage:
    """What stands on the stage of :func:`proof_sim`, before anything is played."""
    return make_stage(np.random.default_rng([seed, 2]), kind, WIDTH / HEIGHT, WINDOW_S)


def proof_clip(seed: int, kind: str | None = None) -> ProofClip:
    """The clip of a seed, tracked with the faults of a tracker."""
    return clip_of(proof_sim(seed, kind))


def clip_of(sim: SimulatedClip, duration_s: float = WINDOW_S) -> ProofClip:
    """A scene as it is seen, tracked with the faults of a tracker."""
    from pavas_core.models.nano import features_of
    from pavas_core.models.nano_visual import look, see

    tracks = sim.scene.tracks
    assert tracks is not None
    measured = with_faults(tracks, np.random.default_rng([sim.seed, 12]))
    sight = see(measured, look(sim.frames(), list(tracks.times_s), measured), duration_s)
    surface = sim.played.stage.floor_material
    return ProofClip(sim.seed, sim, features_of(sight, measured, duration_s), surface, prompt_of(sim.scene, surface))


def prompt_of(scene: Scene, surface: str) -> str:
    """What one would write of a scene: its things by their material, and the floor."""
    things = " and ".join(f"{body.object.material} {body.object.name.split()[-1]}" for body in scene.bodies)
    return f"{things} on {surface} floor"


def truth(scene: Scene, surface: str, seed: int) -> Audio:
    """The modal engine's sound of a scene; other seeds are other strike positions and noises."""
    return Audio(true_sound(scene, surface, seed)[None], SAMPLE_RATE)


def made(
    model: SoundModel,
    clip: ProofClip,
    scene: Scene | None,
    runtime: Runtime,
    *,
    prompt: str | None = None,
    seed: int = 0,
    takes: int = 1,
    features: Features | None = None,
) -> list[Audio]:
    """The network's sound of a clip under the physics of ``scene``, or with no physics."""
    from pavas_core.models.nano import CFG_STRENGTH, STEPS
    from pavas_core.sampling.generate import generate
    from pavas_core.sampling.physics import encode_physics
    from pavas_core.sampling.vocode import vocode

    seen = features or clip.features
    physics = None if scene is None else encode_physics(model, seen, scene, runtime=runtime)
    latent = generate(
        model,
        seen,
        physics,
        prompt=clip.prompt if prompt is None else prompt,
        seed=seed or clip.seed,
        steps=STEPS,
        cfg_strength=CFG_STRENGTH,
        takes=takes,
        runtime=runtime,
    )
    return vocode(model, latent, seen.duration_s, runtime=runtime)


def through_codec(model: SoundModel, audio: Audio, runtime: Runtime) -> Audio:
    """A sound through the network's codec and back."""
    import torch

    wave = torch.from_numpy(np.ascontiguousarray(audio.waveform))
    with torch.inference_mode():
        latent = model.codec.encode(wave)  # type: ignore[attr-defined]
    back = model.decode(latent, runtime=runtime)[:, : wave.shape[1]]
    return Audio(back.numpy(), audio.sample_rate)


def without(scene: Scene, impact: Impact) -> Scene:
    """``scene`` less one impact."""
    return replace(scene, impacts=tuple(one for one in scene.impacts if one is not impact))


def with_another(scene: Scene, like: Impact, time_s: float) -> Scene:
    """``scene`` with an impact like another at a time of its own."""
    impacts = (*scene.impacts, replace(like, id=f"{like.id}-added", time_s=time_s))
    return replace(scene, impacts=tuple(sorted(impacts, key=lambda one: one.time_s)))


def made_of(scene: Scene, material: str) -> Scene:
    """``scene`` with every body of one material."""
    bodies = tuple(replace(body, object=replace(body.object, material=material)) for body in scene.bodies)
    return replace(scene, bodies=bodies)

"""The measurements of the proof, one clip at a time; each returns plain numbers, so that processes can share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pavas_core.audio import Audio
from pavas_core.evaluation import heard
from pavas_core.evaluation.apcc import strengths_at
from pavas_core.evaluation.onsets import match_times, pick_onsets
from pavas_core.evaluation.proof_clips import (
    QUIET_ROOM_DB,
    ProofClip,
    clip_of,
    made,
    made_of,
    prompt_of,
    proof_clip,
    proof_sim,
    proof_stage,
    through_codec,
    truth,
    with_another,
    without,
)
from pavas_core.evaluation.statistics import spearman
from pavas_core.models.sound_model import SoundModel
from pavas_core.physics.types import Impact, Scene
from pavas_core.runtime import Runtime
from pavas_core.simulation.simulate import counterfactual

TOLERANCE_S = 0.05
MASS_FACTORS = (0.25, 1.0, 4.0)
SPEED_FACTORS = (0.5, 1.0, 2.0)
SWEPT: dict[str, str | None] = {"bounce": None, "strike": None, "collision": "collide", "landing": "drop"}
"""Contact types that are swept, and the kind of scene for a rare one; nothing is caught in simulated scenes."""
LANDED_ON = ("grass", "fabric", "soil")
"""Ground on which things land that would bounce elsewhere."""
LEADING = 0.6
"""Impacts are swept that lose this share of all energy lost within a quarter of a second."""
MATERIALS = ("steel", "ceramic", "iron", "plastic")
"""From long to short ringing: in the truth each rings at least a third longer than the next. Wood damps four times as
much as ceramic and rings nearly as long, since its modes lie lower. Softer ones are hardly heard over the floor."""
RUNG = "drop"
RUNG_S = 0.3, 1.0
"""Decays are judged where an impact has so much time before the next, and within so much."""
BEFORE_NEXT_S = 0.03
"""They are judged until so long before the next impact: a codec's window begins before what it holds."""
MIN_DECAY_RATIO = 3.0
"""Decays are judged where the truth's longest is so many times its shortest: not on carpet or soil, which are heard
instead of the thing."""
SWAPPED = "throw"
"""The kind of scene whose things land one after the other."""
NULLED_EVERY = 2
"""Of so many clips one is also made with no physics."""
DELETED_DB = 20.0
ADDED_S = 0.04
SAME_SCENE_SEEDS = 8


_weights: list[Path] = []
"""What is judged instead of the network in the box; set once per process, before anything is measured."""


def begin(weights: Path | None) -> None:
    """Prepare this process, to compute with one thread: judge these weights; None = those in the box."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _weights[:] = [] if weights is None else [weights]
    the_model.cache_clear()


@lru_cache(maxsize=1)
def the_model() -> SoundModel:
    """The network that is judged, read once per process."""
    from pavas_core.models.nano import load_nano

    return load_nano(Runtime(), *_weights)


def onset_counts(audio: Audio, audible_s: np.ndarray, impacts_s: Sequence[float]) -> tuple[int, int, int]:
    """(hits, true, found) within 50 ms of the audible impacts.

    What is found at one of the other impacts, masked or a moment after another, is neither a hit nor false.
    """
    return counts_where(audible_s, pick_onsets(audio), np.asarray(impacts_s, float), lambda _: True)


def counts_where(
    audible_s: np.ndarray, found_s: np.ndarray, impacts_s: np.ndarray, there: Callable[[float], bool]
) -> tuple[int, int, int]:
    """``onset_counts`` of the times that are ``there``."""
    pairs = match_times(audible_s, found_s, TOLERANCE_S).pairs
    hits = {index for _, index in pairs}
    false = [
        one
        for index, one in enumerate(found_s)
        if index not in hits and there(one) and not (np.abs(impacts_s - one) <= TOLERANCE_S + 1e-9).any()
    ]
    hit = sum(there(audible_s[index]) for index, _ in pairs)
    return hit, sum(map(there, audible_s)), hit + len(false)


def clip_task(seed: int, dump: str = "") -> dict[str, Any]:
    """Onsets, levels, strengths and materials of one clip: truth, twin, with all physics, with none."""
    model, runtime = the_model(), Runtime()
    clip = proof_clip(seed)
    scene = clip.sim.scene
    true = truth(scene, clip.surface, seed)
    sounds = {
        "truth": true,
        "twin": through_codec(model, truth(scene, clip.surface, seed + 1_000_000), runtime),
        "given": made(model, clip, scene, runtime)[0],
    }
    if scene.impacts and seed % NULLED_EVERY == 0:
        sounds["nulled"] = made(model, clip, None, runtime)[0]
    impacts_s = [one.time_s for one in scene.impacts]
    times = heard.audible(true, impacts_s, QUIET_ROOM_DB)
    materials = {body.object.id: body.object.material for body in scene.bodies}
    if dump:
        _dump(Path(dump), f"{seed:06d}", sounds)
    return {
        "seed": seed,
        "kind": clip.sim.kind,
        "quiet": not scene.impacts,
        "duration_s": scene.duration_s,
        "onsets": {name: onset_counts(sound, times, impacts_s) for name, sound in sounds.items()},
        "level_db": {name: heard.clip_level_db(sound) for name, sound in sounds.items()},
        "strength": {
            name: strengths_at(sound, impacts_s).tolist()
            for name, sound in sounds.items()
            if name != "nulled" and scene.impacts
        },
        "impacts": [
            {
                "time_s": one.time_s,
                "energy_loss_j": one.energy_loss_j,
                "group": f"{materials[one.object_id]} {one.contact}",
            }
            for one in scene.impacts
        ],
        "materials": [
            {
                "material": materials[one.object_id],
                **{name: heard.spectrum_features(sounds[name], one.time_s).tolist() for name in ("truth", "given")},
            }
            for one in alone(scene, times)
        ],
    }


def alone(scene: Scene, audible_s: np.ndarray, apart_s: float = 0.25) -> list[Impact]:
    """Impacts that are heard and that no other follows or precedes closely."""
    times = np.array([one.time_s for one in scene.impacts])
    return [
        one
        for one in scene.impacts
        if (np.abs(times - one.time_s) < apart_s).sum() == 1
        and len(audible_s)
        and np.abs(audible_s - one.time_s).min() < 1e-6
        and one.time_s < scene.duration_s - apart_s
    ]


def _dump(folder: Path, name: str, sounds: dict[str, Audio]) -> None:
    import soundfile

    for kind, sound in sounds.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / kind / f"{name}.wav", sound.waveform.T, sound.sample_rate, subtype="FLOAT")


def sweep_task(seed: int, contact: str) -> dict[str, Any] | None:
    """Levels and brightness over masses and speeds, of the network and of re-simulated truth, at the impacts of one
    contact type that lead and are heard; None without such."""
    kind = SWEPT[contact]
    if contact == "landing" and proof_stage(seed, kind or "drop").floor_material not in LANDED_ON:
        return None
    sim = proof_sim(seed, kind)
    leading = _leading(sim.scene, contact)
    if not leading:
        return None
    model, runtime = the_model(), Runtime()
    clip = clip_of(sim)
    times = heard.audible(
        truth(sim.scene, clip.surface, seed), [one.time_s for one in sim.scene.impacts], QUIET_ROOM_DB
    )
    mine = [one.time_s for one in leading if one.time_s in times]
    if not mine:
        return None

    @lru_cache
    def heard_at(mass_factor: float, speed_factor: float) -> list[float]:
        masses = {body.object.id: mass_factor for body in sim.scene.bodies}
        scene = counterfactual(sim, masses, speed_factor).scene
        sounds = truth(scene, clip.surface, seed), made(model, clip, scene, runtime)[0]
        levels = [float(np.mean([heard.impact_level_db(sound, at) for at in mine])) for sound in sounds]
        return [*levels, *map(heard.centroid_octaves, sounds)]

    result: dict[str, Any] = {"seed": seed, "contact": contact}
    for name, factors in (("mass", MASS_FACTORS), ("speed", SPEED_FACTORS)):
        rows = [heard_at(factor, 1.0) if name == "mass" else heard_at(1.0, factor) for factor in factors]
        true_db, made_db, true_octaves, made_octaves = np.array(rows).T
        decades = np.log10(factors)
        result[name] = {
            "spearman": spearman(true_db, made_db),
            "true_slope": float(np.polyfit(decades, true_db, 1)[0]),
            "slope": float(np.polyfit(decades, made_db, 1)[0]),
            "true_octaves": float(true_octaves[-1] - true_octaves[0]),
            "octaves": float(made_octaves[-1] - made_octaves[0]),
        }
    return result


def _leading(scene: Scene, contact: str) -> list[Impact]:
    """Impacts of a contact type that lose most of the energy lost around them."""
    times = np.array([one.time_s for one in scene.impacts])
    lost = np.array([one.energy_loss_j for one in scene.impacts])
    return [
        one
        for one in scene.impacts
        if one.contact == contact
        and one.energy_loss_j >= LEADING * lost[np.abs(times - one.time_s) < 0.25].sum()
        and one.time_s < scene.duration_s - 0.25
    ]


def edit_task(seed: int) -> dict[str, Any] | None:
    """One impact deleted, one added; None where no impact stands alone."""
    model, runtime = the_model(), Runtime()
    clip = proof_clip(seed)
    scene = clip.sim.scene
    true = truth(scene, clip.surface, seed)
    times = heard.audible(true, [one.time_s for one in scene.impacts], QUIET_ROOM_DB)
    single = [one for one in alone(scene, times) if _stands_out(true, scene, one, clip)]
    if not single:
        return None
    target = max(single, key=lambda one: one.impulse_ns)
    before = made(model, clip, scene, runtime)[0]
    after = made(model, clip, without(scene, target), runtime)[0]
    down = _peak_db(before, target.time_s) - _peak_db(after, target.time_s)
    true_down = _peak_db(true, target.time_s) - _peak_db(
        truth(without(scene, target), clip.surface, seed), target.time_s
    )
    free = _free_time(scene)
    heard_in_time = None
    if free is not None:
        added = made(model, clip, with_another(scene, target, free), runtime)[0]
        heard_in_time = bool((np.abs(pick_onsets(added) - free) <= ADDED_S).any())
    return {"seed": seed, "down_db": down, "true_down_db": true_down, "added": heard_in_time}


def _stands_out(true: Audio, scene: Scene, one: Impact, clip: ProofClip) -> bool:
    """Whether the truth itself falls by over 20 dB when the impact is deleted."""
    gone = truth(without(scene, one), clip.surface, clip.seed)
    return _peak_db(true, one.time_s) - _peak_db(gone, one.time_s) >= DELETED_DB + 3


def _peak_db(audio: Audio, time_s: float) -> float:
    return heard.level_db(heard.stretch(audio, time_s, time_s + 0.05))


def _free_time(scene: Scene) -> float | None:
    """The middle of the longest time without impacts, if it is long enough to be heard in."""
    edges = [0.1, *(one.time_s for one in scene.impacts), scene.duration_s - 0.3]
    gaps = np.diff(edges)
    longest = int(np.argmax(gaps))
    return float(edges[longest] + gaps[longest] / 2) if gaps[longest] > 0.5 else None


def swap_task(seed: int) -> dict[str, Any] | None:
    """Two objects' masses swapped; None where the truth's order of loudness does not flip either."""
    if len(proof_stage(seed, SWAPPED).actors) != 2:
        return None
    sim = proof_sim(seed, SWAPPED)
    bodies, surface = sim.scene.bodies, sim.played.stage.floor_material
    if len(bodies) != 2:  # one may never come into the picture
        return None
    kilograms = [body.mass.mass_kg for body in bodies]
    ratio = kilograms[1] / kilograms[0]
    swapped = counterfactual(sim, {bodies[0].object.id: ratio, bodies[1].object.id: 1 / ratio}).scene
    own = [
        max(
            (one for one in sim.scene.impacts if one.object_id == body.object.id and one.partner is None),
            key=lambda one: one.impulse_ns,
            default=None,
        )
        for body in bodies
    ]
    if own[0] is None or own[1] is None or abs(own[0].time_s - own[1].time_s) < 0.3:
        return None
    times = own[0].time_s, own[1].time_s

    def difference(audio: Audio) -> float:
        return heard.impact_level_db(audio, times[0]) - heard.impact_level_db(audio, times[1])

    true = [difference(truth(scene, surface, seed)) for scene in (sim.scene, swapped)]
    if true[0] * true[1] >= 0 or min(map(abs, true)) < 3:
        return None
    model, runtime = the_model(), Runtime()
    clip = clip_of(sim)
    found = [difference(made(model, clip, scene, runtime)[0]) for scene in (sim.scene, swapped)]
    return {"seed": seed, "flips": found[0] * found[1] < 0 and found[0] * true[0] > 0}


def material_task(seed: int) -> dict[str, Any] | None:
    """Decay times of one impact over materials, in truth and as made; None where no cup or rod is left to ring."""
    if not any(_rings(actor.name) for actor in proof_stage(seed, RUNG).actors):
        return None
    sim = proof_sim(seed, RUNG)
    surface = sim.played.stage.floor_material
    until = _left_to_ring(sim.scene)
    if not until:
        return None
    first = max(until, key=lambda one: one.impulse_ns)
    scenes = [made_of(sim.scene, material) for material in MATERIALS]
    true = [_decay_s(truth(scene, surface, seed), first, until[first]) for scene in scenes]
    if np.isnan(true).any() or max(true) < MIN_DECAY_RATIO * min(true):
        return None
    model, runtime = the_model(), Runtime()
    clip = clip_of(sim)
    sounds = [made(model, clip, scene, runtime, prompt=prompt_of(scene, surface))[0] for scene in scenes]
    own = [_decay_s(sound, first, until[first]) for sound in sounds]
    return {"seed": seed, "decay_s": list(zip(true, own, strict=True))}


def _rings(name: str) -> bool:
    """Whether a thing rings by itself within hearing: balls and blocks do so above it, or not at all."""
    return name.split()[-1] in ("cup", "rod")


def _left_to_ring(scene: Scene) -> dict[Impact, float]:
    """Impacts of things that ring, and when the next impact or the end of the clip cuts each short."""
    names = {body.object.id: body.object.name for body in scene.bodies}
    impacts = sorted(scene.impacts, key=lambda one: one.time_s)
    ends = [one.time_s for one in impacts[1:]] + [scene.duration_s]
    return {
        one: min(end - BEFORE_NEXT_S, one.time_s + RUNG_S[1])
        for one, end in zip(impacts, ends, strict=True)
        if _rings(names[one.object_id]) and end - one.time_s >= RUNG_S[0]
    }


def _decay_s(sound: Audio, impact: Impact, until_s: float) -> float:
    return heard.decay_s(sound, impact.time_s, until_s, QUIET_ROOM_DB)


def seeds_task(seed: int) -> dict[str, Any] | None:
    """Levels of the same scene under several seeds."""
    model, runtime = the_model(), Runtime()
    clip = proof_clip(seed)
    if not clip.sim.scene.impacts:
        return None
    takes = made(model, clip, clip.sim.scene, runtime, takes=SAME_SCENE_SEEDS)
    waves = np.stack([take.waveform[0] for take in takes])
    differ = bool(np.all(np.abs(np.diff(waves, axis=0)).max(axis=1) > 1e-4))
    return {"seed": seed, "sd_db": float(np.std([heard.clip_level_db(take) for take in takes])), "differ": differ}


def pixels_task(seed: int) -> dict[str, Any]:
    """All but mass and materials estimated from compressed video by the shipped estimators."""
    from dataclasses import replace

    from pavas_core.pipeline import PhysicsOptions, estimate_scene
    from pavas_core.simulation.clip_files import filmed
    from pavas_core.simulation.simulate import simulate
    from pavas_core.training.examples import WINDOW_S

    model, runtime = the_model(), Runtime()
    sim = simulate(seed, width=320, height=180, frame_rate=25.0, duration_s=WINDOW_S)
    surface = sim.played.stage.floor_material
    with filmed(sim) as video:
        options = PhysicsOptions(metres_per_px=sim.metres_per_px)
        estimate = estimate_scene(video, options)
        features = model.encode_video(video, estimate.tracks, runtime=runtime)
    masses = _masses_by_place(estimate, sim.scene)
    estimate = replace(
        estimate,
        bodies=tuple(_with_mass(body, masses.get(body.object.id)) for body in estimate.bodies),
        impacts=tuple(_with_share(one, estimate, masses) for one in estimate.impacts),
    )
    true = truth(sim.scene, surface, seed)
    clip = ProofClip(seed, sim, features, surface, prompt_of(sim.scene, surface))
    sound = made(model, clip, estimate, runtime)[0]
    impacts_s = [one.time_s for one in sim.scene.impacts]
    times = heard.audible(true, impacts_s, QUIET_ROOM_DB)
    return {
        "seed": seed,
        "onsets": onset_counts(sound, times, impacts_s),
        "level_db": [heard.clip_level_db(true), heard.clip_level_db(sound)],
    }


def _masses_by_place(estimate: Scene, true: Scene) -> dict[str, float]:
    """The true mass of the thing that each estimated track follows most closely."""
    if estimate.tracks is None or true.tracks is None:
        return {}
    kilograms = {body.object.id: body.mass.mass_kg for body in true.bodies}
    found = {}
    for track in estimate.tracks.tracks:
        gaps = {}
        for other in true.tracks.tracks:
            at = np.searchsorted(true.tracks.times_s, estimate.tracks.times_s).clip(0, len(true.tracks.times_s) - 1)
            gap = np.linalg.norm(track.centroids - other.centroids[at], axis=1)
            if np.isfinite(gap).any():
                gaps[other.object_id] = float(np.nanmedian(gap))
        if gaps:
            found[track.object_id] = kilograms[min(gaps, key=lambda name: gaps[name])]
    return found


def _with_mass(body: Any, mass_kg: float | None) -> Any:
    from dataclasses import replace

    from pavas_core.physics.types import Mass

    return body if mass_kg is None else replace(body, mass=Mass(mass_kg, mass_kg, mass_kg, "simulation"))


def _with_share(one: Impact, scene: Scene, masses: dict[str, float]) -> Impact:
    """An impact's impulse for the true mass."""
    from dataclasses import replace

    old = {body.object.id: body.mass.mass_kg for body in scene.bodies}
    if one.object_id not in masses:
        return one
    share = masses[one.object_id] / old[one.object_id]
    return replace(one, impulse_ns=one.impulse_ns * share, energy_loss_j=one.energy_loss_j * share)

"""What is heard where the windows of a long sound meet; a measurement of the proof like those of ``proof_tasks``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from pavas_core.evaluation import heard
from pavas_core.evaluation.onsets import pick_onsets
from pavas_core.evaluation.proof_clips import HEIGHT, QUIET_ROOM_DB, WIDTH, clip_of, made, truth
from pavas_core.evaluation.proof_tasks import TOLERANCE_S, counts_where, the_model
from pavas_core.physics.types import Scene
from pavas_core.runtime import Runtime
from pavas_core.sampling.windows import plan_windows
from pavas_core.simulation.simulate import simulate

LONG_S = 12.0
"""Four windows, so three joins."""
FRAME_RATE = 12.5
ROOM_EVERY = 4
"""Of so many clips one has nothing that hits anything."""
ROOMS = ("still", "passing")
BESIDE_S = 0.5
"""Levels of so much before and after are compared."""
BLOWS = 3
"""At every join, and between every two."""
JITTER_S = 0.1


def joins_task(seed: int) -> dict[str, Any] | None:
    """(hits, true, found) of the onsets at joins and elsewhere; of a clip without contacts how much the level steps at
    any join, and how many onsets lie at one. None where nothing hits anything that was to.
    """
    model, runtime = the_model(), Runtime()
    kind = None if seed % ROOM_EVERY else ROOMS[seed // ROOM_EVERY % len(ROOMS)]
    sim = simulate(
        seed, kind=kind, width=WIDTH, height=HEIGHT, frame_rate=FRAME_RATE, duration_s=LONG_S, mask_long_side=WIDTH
    )
    if kind is None and not sim.scene.impacts:
        return None
    clip = clip_of(sim, LONG_S)
    windows = plan_windows(LONG_S, model.window_s, grid_s=clip.features.sync_hop_s)
    shared = [(later.start_s, earlier.end_s) for earlier, later in pairwise(windows)]
    if kind is not None:
        sound = made(model, clip, sim.scene, runtime)[0]
        places = [at for start, end in shared for at in (start, (start + end) / 2, end)]
        levels = [
            [heard.level_db(heard.stretch(sound, at + begin, at + begin + BESIDE_S)) for begin in (-BESIDE_S, 0.0)]
            for at in places
        ]
        at_joins = sum(bool((np.abs(pick_onsets(sound) - at) <= TOLERANCE_S).any()) for at in places)
        return {"seed": seed, "step_db": float(np.abs(np.diff(levels)).max()), "onsets": at_joins}
    scene = _struck_throughout(sim.scene, shared, np.random.default_rng([seed, 31]))
    impacts = [one.time_s for one in scene.impacts]
    audible = heard.audible(truth(scene, clip.surface, seed), impacts, QUIET_ROOM_DB)
    onsets = pick_onsets(made(model, clip, scene, runtime)[0])

    def at_join(time_s: float) -> bool:
        return any(start - JITTER_S <= time_s <= end + JITTER_S for start, end in shared)

    return {
        "seed": seed,
        "joins": counts_where(audible, onsets, np.array(impacts), at_join),
        "elsewhere": counts_where(audible, onsets, np.array(impacts), lambda time_s: not at_join(time_s)),
    }


def _struck_throughout(scene: Scene, shared: Sequence[tuple[float, float]], rng: np.random.Generator) -> Scene:
    """``scene`` with its strongest impact alone, again and again at joins and between them: most end within seconds."""
    like = max(scene.impacts, key=lambda one: one.impulse_ns)
    ends = [0.0, *(at for span in shared for at in span), scene.duration_s]
    between = [np.linspace(start, end, BLOWS + 2)[1:-1] for start, end in zip(ends[::2], ends[1::2], strict=True)]
    times = np.concatenate([np.linspace(start, end, BLOWS) for start, end in shared] + between)
    times = np.sort(times + rng.uniform(-JITTER_S, JITTER_S, len(times)))
    impacts = tuple(replace(like, id=f"{like.object_id}@{i}", time_s=float(t)) for i, t in enumerate(times, start=1))
    return replace(scene, impacts=impacts)

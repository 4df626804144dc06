"""Speed and memory of the network in the box: ``python -m benchmarks.nano [--duration 8] [--threads 2]``.

Seconds of the clock for a clip of the given length: encoding, physics, sampling, vocoding; the adapter's share of a
step; and what a second take and an edited mass cost, for which nothing is encoded again. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from pavas_core.models.nano import CFG_STRENGTH, STEPS, NanoModel, load_nano, prompt_of
from pavas_core.models.sound_model import Features
from pavas_core.physics.types import Mass, Scene
from pavas_core.runtime import Runtime
from pavas_core.sampling.generate import generate
from pavas_core.sampling.physics import Physics, encode_physics, residuals_of
from pavas_core.sampling.vocode import vocode
from pavas_core.simulation.simulate import simulate
from pavas_core.video.clip import clip_from_frames

REPEATS = 3


def main() -> None:
    """Print a line for every part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", type=float, default=8.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=501, help="of the simulated clip")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    runtime, model = Runtime(), load_nano(Runtime())
    sim = simulate(options.seed, kind="drop", width=320, height=180, frame_rate=25.0, duration_s=options.duration)
    clip = clip_from_frames(np.stack(list(sim.frames())), 25.0)
    seconds, features = fastest(lambda: model.encode_video(clip, sim.scene.tracks, runtime=runtime))
    say("encoding the clip, tracks given", seconds)
    seconds, physics = fastest(lambda: encode_physics(model, features, sim.scene, runtime=runtime))
    say("encoding the physics", seconds)
    prompt = prompt_of(sim.scene, sim.played.stage.floor_material)
    sampling, latent = fastest(lambda: sampled(model, features, physics, prompt))
    say(f"sampling, {STEPS} steps", sampling)
    vocoding, _ = fastest(lambda: vocode(model, latent, features.duration_s, runtime=runtime))
    say("vocoding", vocoding)
    say(f"sampling and vocoding {options.duration:g} s", sampling + vocoding)
    alone, more, once = step_seconds(model, physics)
    print(f"{'adapter in a step':<44} {100 * (more - alone) / alone:7.1f} %")
    say("adapter, once an edit", once)
    calls = encodings(model, lambda: sampled(model, features, physics, prompt, seed=1))
    print(f"{'encodings for another take':<44} {calls:7d}")
    heavier = with_masses(sim.scene, 2.0)
    seconds, _ = fastest(
        lambda: sampled(model, features, encode_physics(model, features, heavier, runtime=runtime), prompt)
    )
    say("another mass: physics and sampling", seconds)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'peak memory of the process':<44} {peak_mib:7.0f} MiB")


def fastest(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the fastest of a few runs, and what it returned."""
    best, result = float("inf"), None
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = run()
        best = min(best, time.perf_counter() - start)
    return best, result


def step_seconds(model: NanoModel, physics: Physics) -> tuple[float, float, float]:
    """Seconds of one step of one window without and with the adapter's residuals, and of making them, the fastest of
    many turns."""
    assert model.adapter is not None
    config, length = model.network.config, 128
    latent = torch.randn(1, length, config.latent_dim)
    t = torch.zeros(1)
    with torch.inference_mode():
        text = model.network.empty_text(1, latent)
        conditions = model.network.prepare_null(64, 128, text, length)
        residuals = residuals_of(model.adapter, physics.given, 0, length, torch.float32, "cpu")
        best = [float("inf")] * 3
        for _ in range(60):
            for index, run in enumerate(
                (
                    lambda: model.network(latent, t, conditions),
                    lambda: model.network(latent, t, conditions, residuals),
                    lambda: residuals_of(model.adapter, physics.given, 0, length, torch.float32, "cpu"),
                )
            ):
                start = time.perf_counter()
                run()
                best[index] = min(best[index], time.perf_counter() - start)
    return best[0], best[1], best[2]


def sampled(
    model: NanoModel, features: Features, physics: Physics | None, prompt: str, seed: int = 0, **options: float
) -> torch.Tensor:
    """A latent as the command line makes it."""
    return generate(
        model,
        features,
        physics,
        prompt=prompt,
        seed=seed,
        steps=STEPS,
        cfg_strength=CFG_STRENGTH,
        runtime=Runtime(),
        **options,
    )


def encodings(model: NanoModel, run: Callable[[], object]) -> int:
    """How often ``run`` has the clip or the physics encoded."""
    calls: list[int] = []
    assert model.adapter is not None

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, **more: calls.append(1) or function(*given, **more)

    encode_video, adapter_encode = model.encode_video, model.adapter.encode
    with (
        patch.object(model, "encode_video", counted(encode_video)),
        patch.object(model.adapter, "encode", counted(adapter_encode)),
    ):
        run()
    return len(calls)


def with_masses(scene: Scene, factor: float) -> Scene:
    """``scene`` with every mass times ``factor``."""
    bodies = tuple(
        replace(body, mass=Mass(*(factor * x for x in (body.mass.mass_kg,) * 3), "benchmark")) for body in scene.bodies
    )
    return replace(scene, bodies=bodies)


def say(what: str, seconds: float) -> None:
    """One line."""
    print(f"{what:<44} {seconds:7.3f} s", flush=True)


if __name__ == "__main__":
    main()

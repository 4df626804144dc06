"""Folders of simulated clips with their truth, and the example clip."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pavas_core.errors import MediaError
from pavas_core.physics.serialise import save_scene
from pavas_core.runtime import Runtime
from pavas_core.simulation.clip_files import write_clip
from pavas_core.simulation.example import EXAMPLE_CRF, example_clip
from pavas_core.simulation.simulate import SimulatedClip, simulate
from pavas_core.video.atomic import replacing

EXAMPLE_NAME = "example"


def write_dataset(
    folder: str | Path,
    seeds: Iterable[int],
    *,
    kind: str | None = None,
    size: tuple[int, int] | None = None,
    frame_rate: float | None = None,
    duration_s: float | None = None,
    sound: bool = True,
    runtime: Runtime | None = None,
) -> list[Path]:
    """Write ``clip-<seed>.mp4`` with its truth (.json, masks and curves in .npz) for every seed; the clips' paths.

    ``index.jsonl`` gets one line a clip: seed, kind, description, metres per pixel, frame rate, which impacts can be
    seen. The folder is made if need be. Raises PhysicsError for impossible options, MediaError for an unusable folder.
    """
    folder, runtime = _made(folder), runtime or Runtime()
    seeds = list(seeds)
    paths: list[Path] = []
    lines: list[str] = []
    for done, seed in enumerate(seeds):
        runtime.step("clips", done, len(seeds))
        width, height = size or (None, None)
        sim = simulate(seed, kind=kind, width=width, height=height, frame_rate=frame_rate, duration_s=duration_s)
        path = write_clip(sim, folder / f"clip-{seed:06d}.mp4", sound=sound)
        save_scene(sim.scene, path.with_suffix(".json"))
        paths.append(path)
        lines.append(json.dumps({"clip": path.name, **facts(sim)}))
    runtime.step("clips", len(seeds), len(seeds))
    with replacing(folder / "index.jsonl") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return paths


def facts(sim: SimulatedClip) -> dict[str, Any]:
    """What the scene's own file does not say."""
    return {
        "seed": sim.seed,
        "kind": sim.kind,
        "description": sim.description,
        "metres_per_px": sim.metres_per_px,
        "frame_rate": sim.frame_rate,
        "visible_impacts": list(sim.visible),
        "floor_material": sim.played.stage.floor_material,
        "camera_still": sim.filming.camera.still,
        "crf": sim.filming.crf,
    }


def write_example(folder: str | Path, runtime: Runtime | None = None) -> Path:
    """Render the example clip into ``folder`` (example.mp4, without sound) and its truth into ``truth/``; its path.

    The truth lies apart because ComfyUI takes every JSON file of some folders for a workflow template.
    """
    sim = example_clip()
    path = write_clip(sim, _made(folder) / f"{EXAMPLE_NAME}.mp4", crf=EXAMPLE_CRF, preset="slow", runtime=runtime)
    save_scene(sim.scene, _made(path.parent / "truth") / f"{EXAMPLE_NAME}.json")
    return path


def _made(folder: str | Path) -> Path:
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"The folder {folder} cannot be made ({error.strerror}), choose another one.") from error
    return folder

"""Seconds, and seconds of processor time, per clip second of every stage of the main job, in one run.

``python -m benchmarks.stages [CLIP]``; without a clip, 8 s of simulated 1280x720 video at 30 fps.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pavas_core.estimation.masses import default_masses
from pavas_core.estimation.planar.velocity import planar_velocity
from pavas_core.estimation.tracking.motion import detect_motion, track_motion
from pavas_core.physics.combine import combine_physics
from pavas_core.simulation.clip_files import write_clip
from pavas_core.simulation.simulate import simulate
from pavas_core.synthesis.engine import synthesize_impacts
from pavas_core.video.clip import iter_frames, open_clip
from pavas_core.video.save import save_video


def main() -> None:
    """Run the main job once and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path)
    path = parser.parse_args().clip
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "clip.mp4"
            write_clip(simulate(1, duration_s=8.0, width=1280, height=720, frame_rate=30.0), path)
        run(path, Path(folder) / "out.mp4")


def run(path: Path, target: Path) -> None:
    """Time each stage on the clip at ``path``, writing the result to ``target``."""
    rows: list[tuple[str, float, float]] = []

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start, start_cpu = time.perf_counter(), time.process_time()
        result = work()
        rows.append((name, time.perf_counter() - start, time.process_time() - start_cpu))
        return result

    timed("import libraries (once)", lambda: sum(1 for _ in zip(range(2), iter_frames(open_clip(path)), strict=False)))
    clip = open_clip(path)
    timed("decode alone, long side 512", lambda: sum(1 for _ in iter_frames(clip, long_side=512)))
    objects = timed("detect", lambda: detect_motion(clip))
    tracks = timed("track", lambda: track_motion(clip, objects))
    velocities = timed("velocity", lambda: planar_velocity(tracks, objects))
    masses = timed("mass", lambda: default_masses(objects, velocities))
    scene = timed("combine", lambda: combine_physics(objects, tracks, masses, velocities))
    sound = timed("modal engine", lambda: synthesize_impacts(scene))
    timed("save", lambda: save_video(clip, sound.mix, target))

    job = ("whole job (detect to save)", sum(row[1] for row in rows[2:]), sum(row[2] for row in rows[2:]))
    print(f"{clip.duration_s:.2f} s of {clip.width}x{clip.height} at {clip.frame_rate:.2f} fps, "
          f"{len(scene.bodies)} objects, {len(scene.impacts)} impacts")  # fmt: skip
    for name, seconds, cpu in [*rows, job]:
        print(f"{name:30s} {seconds:7.3f} s   {seconds / clip.duration_s:7.4f} s per clip second, "
              f"{cpu / clip.duration_s:7.4f} s of processor time")  # fmt: skip
    engine = next(seconds for name, seconds, _ in rows if name == "modal engine")
    print(f"modal engine: {clip.duration_s / engine:.0f}x real time")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()

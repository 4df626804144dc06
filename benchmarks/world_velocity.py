"""Velocity in space on made-up rooms: error before and after contacts, in steady flight, and of what stands still.

    python -m benchmarks.world_velocity [--seeds 2000 2001 ...]

Prints medians over all scenes for exact geometry and for the jitter of reconstructors (1 % scale, 0.2 degrees, 1 cm,
0.3 % warp of depth a picture), beside equation 3 of the paper to the letter. A contact that is not found counts as an
error of 100 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from benchmarks.world_scenes import CAMERAS, CLEAN, JITTER, KINDS, Noise, WorldScene, make_scene
from pavas_core.estimation.space.world_velocity import METHODS, observe, world_velocity
from pavas_core.physics.types import VelocitySet

HELD_OUT = (2000, 2001, 2002)
"""Seeds of the reported figures; none of them was looked at while the estimator was made."""
_NEAR_S = 0.08


@dataclass
class Errors:
    """Relative errors of speeds, and how often what stands is said to stand."""

    contacts: list[float] = field(default_factory=list)
    found: int = 0
    invented: int = 0
    steady: list[float] = field(default_factory=list)
    still: list[bool] = field(default_factory=list)

    def add(self, scene: WorldScene, estimate: VelocitySet) -> None:
        """Score one scene."""
        mover, rest = estimate.velocities
        for contact in scene.contacts:
            near = [one for one in mover.breaks if abs(one.time_s - contact.time_s) < _NEAR_S]
            self.found += bool(near)
            best = min(near, key=lambda one: abs(one.time_s - contact.time_s), default=None)
            for vector, truth in (
                (best and best.pre_mps, contact.pre_mps),
                (best and best.post_mps, contact.post_mps),
            ):
                self.contacts.append(1.0 if vector is None else abs(float(np.linalg.norm(vector)) / truth - 1))
        self.invented += sum(
            all(abs(one.time_s - contact.time_s) >= _NEAR_S for contact in scene.contacts)
            for one in mover.breaks
            if one.confidence >= 0.5
        )
        if not scene.contacts:
            speed = mover.speed_mps[np.isfinite(mover.speed_mps)]
            truth = scene.speed_mps[np.isfinite(mover.speed_mps)]
            self.steady.extend(np.abs(speed / truth - 1).tolist())
        self.still.append(bool(np.nanmax(rest.speed_mps) == 0 and not rest.breaks))

    def row(self) -> str:
        """The figures as one line of the table."""
        contacts, steady = (100 * float(np.median(e)) if e else float("nan") for e in (self.contacts, self.steady))
        share = 100 * float(np.mean(self.still))
        return (
            f"{contacts:7.1f} %  {self.found:3d}/{len(self.contacts) // 2:<3d}  {self.invented:5d}  "
            f"{steady:8.1f} %  {share:6.0f} %"
        )


def score(noise: Noise, seeds: Iterable[int], *, cameras: tuple[str, ...] = CAMERAS) -> dict[str, Errors]:
    """Errors by method over every kind of scene and camera."""
    errors = {method: Errors() for method in METHODS}
    for seed in seeds:
        for kind in KINDS:
            for camera in cameras:
                scene = make_scene(kind, camera, noise, seed)
                observed = observe(scene.reconstruction, scene.tracks)
                for method, of_method in errors.items():
                    of_method.add(scene, world_velocity(observed, scene.tracks, method=method, scale="reconstruction"))
    return errors


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=HELD_OUT)
    options = parser.parse_args()
    print(f"{'camera':9s} {'geometry':9s} {'method':11s}  contact  found  invented  steady  standing still")
    for camera in CAMERAS:
        for name, noise in (("exact", CLEAN), ("jitter", JITTER)):
            for method, errors in score(noise, options.seeds, cameras=(camera,)).items():
                print(f"{camera:9s} {name:9s} {method:11s} {errors.row()}", flush=True)


if __name__ == "__main__":
    main()

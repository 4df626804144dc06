"""The Physics Editor with ten objects on eight seconds: how fast it answers, measured in the browser."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from pavas_core.physics.serialise import save_scene
from pavas_core.physics.types import Body, Impact, Mass, MovingObject, Scene, Track, TrackSet, Velocity
from tests.e2e.browser import open_frontend
from tests.e2e.test_physics_editor import EDITOR, inside, open_editor, run_workflow, view_of
from tests.e2e.test_quick_start import make_long_clip

OBJECTS, SECONDS, RATE_HZ = 10, 8.0, 25
ECHO_LIMIT_MS, SCRUB_LIMIT_HZ = 100, 30
GRAPH = {
    "1": {"class_type": "PavasLoadVideo", "inputs": {"file": "ten.mp4", "start_s": 0, "duration_s": SECONDS}},
    "2": {"class_type": "PavasLoadPhysics", "inputs": {"file": "ten.physics.json"}},
    "3": {"class_type": "PavasPhysicsEditor", "inputs": {"scene": ["2", 0], "edits": "", "video": ["1", 0]}},
    "4": {
        "class_type": "PavasSynthesizeImpacts",
        "inputs": {
            "scene": ["3", 0], "prompt": "", "seed": 0, "room": "small", "sample_rate": "48000", "channels": "mono",
            "output_gain_db": 0,
        },
    },
    "5": {
        "class_type": "PavasSaveVideo",
        "inputs": {
            "video": ["1", 0], "audio": ["4", 0], "filename_prefix": "e2e/ten", "keep_original_sound": False,
            "original_gain_db": -12, "format": "auto", "save_workflow": True,
        },
    },
}  # fmt: skip

ECHO = """
(async () => {
  const slider = doc.querySelector('#massSlider'), times = [];
  for (let step = 0; step < 40; step++) {
    slider.value = step / 40;
    const began = performance.now();
    slider.dispatchEvent(new Event('input'));
    await new Promise(resolve => doc.defaultView.requestAnimationFrame(() => setTimeout(resolve)));
    times.push(performance.now() - began);
  }
  slider.dispatchEvent(new Event('change'));
  return times;
})()
"""
SCRUB = """
(async () => {
  const scrub = doc.querySelector('#scrub'), began = performance.now();
  let pictures = 0;
  while (performance.now() - began < 3000) {
    scrub.value = ((performance.now() - began) / 3000) * scrub.max;
    scrub.dispatchEvent(new Event('input'));
    await new Promise(resolve => doc.defaultView.requestAnimationFrame(resolve));
    pictures++;
  }
  return pictures / ((performance.now() - began) / 1000);
})()
"""


def ten_objects() -> Scene:
    """Ten bodies with a track, a wavy speed and four impacts each."""
    rng = np.random.default_rng(3)
    times_s = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    middles_s = (times_s[1:] + times_s[:-1]) / 2
    bodies, tracks, impacts = [], [], []
    for index in range(OBJECTS):
        thing = MovingObject(f"ball-{index + 1}", "ball", "bounces", "rubber")
        speed = (2 + np.sin(middles_s * (index + 1)) + rng.normal(0, 0.05, middles_s.size)).astype(np.float32)
        velocity = Velocity(thing.id, middles_s, speed, None, None, (), 0.002, "gravity", 0.06)
        bodies.append(Body(thing, Mass(0.5, 0.2, 1.2, "manual"), velocity))
        x, y = 100 + 100 * index + 40 * np.sin(times_s), 360 + 200 * np.cos(times_s * (1 + index / 5))
        centroids = np.stack([x, y], 1).astype(np.float32)
        boxes = np.concatenate([centroids - 30, centroids + 30], axis=1).astype(np.float32)
        seen = np.ones(times_s.size, bool)
        area = np.full(times_s.size, 2800, np.float32)
        tracks.append(Track(thing.id, seen, boxes, centroids, area, ~seen))
        impacts += [
            Impact(
                f"{thing.id}@{number + 1}", 0.3 + 1.9 * number + 0.07 * index, thing.id, None, "wood", "bounce",
                (0.0, -1.0, 0.0), 2.0, 1.0, 2.0, 1.0, 1.5, 0.75, (0.1 + 0.08 * index, 0.8),
            )
            for number in range(4)
        ]  # fmt: skip
    impacts.sort(key=lambda one: one.time_s)
    track_set = TrackSet(times_s, 1280, 720, SECONDS, tuple(tracks))
    return Scene(SECONDS, 1280, 720, tuple(bodies), tuple(impacts), track_set)


@pytest.mark.parametrize("renderer", ["canvas", "vue nodes"])
def test_edits_echo_and_pictures_follow_the_playhead(comfy_web, tmp_path, renderer, capsys):
    make_long_clip(comfy_web.base / "input" / "ten.mp4")
    save_scene(replace(ten_objects(), notes=("ten balls",)), comfy_web.base / "input" / "ten.physics.json")
    page = open_frontend(comfy_web, tmp_path / "profile", vue_nodes=renderer == "vue nodes")
    try:
        page.run(f"window.app.loadApiJson({json.dumps(GRAPH)}, 'ten')")
        page.wait_for(f"Boolean({EDITOR})")
        run_workflow(comfy_web, page)
        assert len(view_of(comfy_web, page)["objects"]) == OBJECTS
        open_editor(page)
        echo_ms = np.array(inside(page, ECHO))
        scrub_hz = inside(page, SCRUB)
    finally:
        page.close()
    measured = (
        f"{renderer}: echo of a mass edit median {np.median(echo_ms):.0f} ms, worst {echo_ms.max():.0f} ms; "
        f"scrubbing {scrub_hz:.0f} pictures/s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    with capsys.disabled():
        print(f"\n{measured}")
    in_time = np.median(echo_ms) <= ECHO_LIMIT_MS and scrub_hz >= SCRUB_LIMIT_HZ
    if not in_time and os.getloadavg()[0] > os.cpu_count():
        pytest.skip(f"the machine is busy with other work: {measured}")
    assert np.median(echo_ms) <= ECHO_LIMIT_MS
    assert scrub_hz >= SCRUB_LIMIT_HZ

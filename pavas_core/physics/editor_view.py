"""What the Physics Editor shows of a scene: plain numbers for the browser, and the clip as sheets of small pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pavas_core.physics.types import CONTACTS, Scene
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from pavas_core.video.clip import Clip

PICTURE_LONG_SIDE = 448
MAX_PICTURES = 320
MAX_RATE_HZ = 30.0
SHEET_COLUMNS, SHEET_ROWS = 4, 5


def editor_view(scene: Scene) -> dict[str, Any]:
    """The scene as JSON values: objects with speeds, impacts, materials. Unknown speeds are None; SI units."""
    from pavas_core.plots import PALETTE
    from pavas_core.synthesis.materials import MATERIALS

    return {
        "duration_s": scene.duration_s,
        "width": scene.width,
        "height": scene.height,
        "contacts": list(CONTACTS),
        "materials": {key: material.restitution for key, material in MATERIALS.items()},
        "notes": list(scene.notes),
        "objects": [
            {
                "id": body.object.id,
                "name": body.object.name,
                "action": body.object.action,
                "material": body.object.material,
                "aliases": list(body.object.aliases),
                "colour": "#{:02x}{:02x}{:02x}".format(*PALETTE[index % len(PALETTE)]),
                "mass_kg": body.mass.mass_kg,
                "low_kg": body.mass.low_kg,
                "high_kg": body.mass.high_kg,
                "mass_source": body.mass.source,
                "times_s": [round(float(time_s), 5) for time_s in body.velocity.times_s],
                "speeds_mps": [_rounded(float(speed)) for speed in body.velocity.speed_mps],
            }
            for index, body in enumerate(scene.bodies)
        ],
        "impacts": [
            {
                "id": one.id,
                "time_s": one.time_s,
                "object": one.object_id,
                "partner": one.partner,
                "surface": one.surface,
                "contact": one.contact,
                "pre_normal_mps": one.pre_normal_mps,
                "post_normal_mps": one.post_normal_mps,
                "pre_speed_mps": one.pre_speed_mps,
                "post_speed_mps": one.post_speed_mps,
                "impulse_ns": one.impulse_ns,
                "energy_loss_j": one.energy_loss_j,
                "position": list(one.position),
                "source": one.source,
            }
            for one in scene.impacts
        ],
    }


def film_sheets(
    clip: Clip | None, scene: Scene, *, runtime: Runtime | None = None
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The clip with its objects' masks in their colours, many pictures on a sheet, so that scrubbing decodes nothing.

    Returns ``{"times_s", "width", "height", "columns", "rows"}`` and the sheets, uint8 RGB [H, W, 3]. Without a clip
    the masks lie on black. At most MAX_PICTURES pictures and MAX_RATE_HZ.
    """
    from pavas_core.video.clip import Frame, iter_frames

    runtime = runtime or Runtime()
    duration_s = scene.duration_s if clip is None else clip.duration_s
    rate = min(MAX_RATE_HZ, MAX_PICTURES / max(duration_s, 1e-3))
    if clip is not None:
        rate = min(rate, clip.frame_rate)
        pictures = iter_frames(clip, rate=rate, long_side=min(PICTURE_LONG_SIDE, max(clip.width, clip.height)))
    else:
        scale = PICTURE_LONG_SIDE / max(scene.width, scene.height, 1)
        black = np.zeros((max(2, round(scene.height * scale)), max(2, round(scene.width * scale)), 3), np.uint8)
        count = max(1, math.ceil(duration_s * rate - 1e-9))
        pictures = iter([Frame(index / rate, black) for index in range(count)])
    total = max(1, math.ceil(duration_s * rate - 1e-9))
    times_s: list[float] = []
    sheets: list[np.ndarray] = []
    each = SHEET_COLUMNS * SHEET_ROWS
    height = width = 0
    for index, frame in enumerate(pictures):
        if index >= MAX_PICTURES:
            break
        runtime.step("pictures", index, total)
        picture = coloured(frame.image, frame.time_s, scene)
        height, width = picture.shape[:2]
        if index % each == 0:
            sheets.append(np.zeros((height * SHEET_ROWS, width * SHEET_COLUMNS, 3), np.uint8))
        row, column = divmod(index % each, SHEET_COLUMNS)
        sheets[-1][row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
        times_s.append(round(frame.time_s, 5))
    layout = {"times_s": times_s, "width": width, "height": height, "columns": SHEET_COLUMNS, "rows": SHEET_ROWS}
    return layout, sheets


def coloured(image: np.ndarray, time_s: float, scene: Scene) -> np.ndarray:
    """A copy of one picture with the masks nearest to ``time_s`` in the objects' colours."""
    from pavas_core.plots import PALETTE, tint_object

    picture = np.array(image)
    if scene.tracks is None or not len(scene.tracks.times_s):
        return picture
    frame = int(np.argmin(np.abs(scene.tracks.times_s - time_s)))
    tracks = {track.object_id: track for track in scene.tracks.tracks}
    for index, body in enumerate(scene.bodies):
        track = tracks.get(body.object.id)
        if track is not None:
            tint_object(picture, track, frame, PALETTE[index % len(PALETTE)])
    return picture


def summary(estimate: Scene, edited: Scene, orphans: Sequence[str]) -> list[str]:
    """A line an object (what it weighs, what was edited), then the impacts, then edits without an object."""
    before = {body.object.id: body for body in estimate.bodies}
    lines = []
    for body in edited.bodies:
        old = before[body.object.id]
        changed = [
            word
            for word, differs in (
                ("name", body.object.name != old.object.name or body.object.action != old.object.action),
                ("mass", body.mass != old.mass),
                ("material", body.object.material != old.object.material),
                ("speed", not np.array_equal(body.velocity.speed_mps, old.velocity.speed_mps, equal_nan=True)),
            )
            if differs
        ]
        mark = f" (edited: {', '.join(changed)})" if changed else ""
        lines.append(f"{body.object.id}: {body.mass.mass_kg:.3g} kg, {body.object.material}{mark}")
    old_ids, new_ids = ({one.id for one in scene.impacts} for scene in (estimate, edited))
    details = [
        f"{count} {word}"
        for count, word in (
            (len(new_ids - old_ids), "added"),
            (len(old_ids - new_ids), "removed or muted"),
            (sum(one.source == "edit" for one in edited.impacts if one.id in old_ids), "changed"),
        )
        if count
    ]
    lines.append(f"{len(edited.impacts)} impacts{' (' + ', '.join(details) + ')' if details else ''}")
    if orphans:
        lines.append(f"No object or impact fits these edits, they are kept and wait: {'; '.join(orphans)}")
    return lines


def _rounded(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None

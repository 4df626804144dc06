"""Boxes, points, masks and tracks of other nodes as prompts, in the order of the objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.estimation.masks.segment_track import TimedPrompt
from pavas_core.estimation.masks.segmenter import Prompt
from pavas_core.physics.types import MovingObject, ObjectSet


def prompts_of_boxes(boxes: Any, objects: ObjectSet, frame_rate: float) -> dict[str, TimedPrompt]:
    """ComfyUI's BOUNDING_BOX: one, one an object, or a list of those a picture; the k-th is the k-th object's.

    Boxes are ``{"x", "y", "width", "height"}`` in pixels of the clip. Raises PhysicsError for anything else.
    """
    if isinstance(boxes, Mapping):
        boxes = [boxes]
    pictures: list[Any] = list(boxes) if boxes and isinstance(boxes[0], (list, tuple)) else [boxes or []]
    found: dict[str, TimedPrompt] = {}
    for index, row in enumerate(pictures):
        for thing, box in zip(objects.objects, row, strict=False):
            if thing.id in found:
                continue
            try:
                x, y, width, height = (float(box[key]) for key in ("x", "y", "width", "height"))
            except (KeyError, TypeError, ValueError):
                raise PhysicsError(f"{box!r:.60} is no box: give x, y, width and height in pixels.") from None
            if not (width > 0 and height > 0):
                raise PhysicsError(f"The box of {thing.id} is {width:g} x {height:g} pixels: draw it larger.")
            time_s = index / frame_rate if len(pictures) > 1 else 0.0
            found[thing.id] = TimedPrompt(time_s, Prompt(box=(x, y, x + width, y + height)))
    return found


def prompts_of_points(text: str, objects: ObjectSet) -> dict[str, TimedPrompt]:
    """Points as JSON in pixels of the clip: ``[{"x": 120, "y": 80}]``, for one object or by object.

    By object: ``{"ball-1": [{"x": 120, "y": 80, "label": 0, "time_s": 0.5}]}``; label 0 marks what is not the object.
    Points of one object belong to one picture. A bare list is the only object's, or holds one point an object. Raises
    PhysicsError for what cannot be read.
    """
    from pavas_core.physics.names import find_objects

    if not text.strip():
        return {}
    try:
        wanted = json.loads(text)
    except ValueError as error:
        raise PhysicsError(f'The points are no JSON ({error}): write [{{"x": 120, "y": 80}}].') from None
    if isinstance(wanted, list):
        things: Sequence[MovingObject] = objects.objects
        if len(things) > 1 and len(wanted) != len(things):
            raise PhysicsError(
                f"There are {len(wanted)} points for {len(things)} objects: name the objects, "
                f'{{"{things[0].id}": [...]}}.'
            )
        wanted = (
            {things[0].id: wanted} if len(things) == 1 else {t.id: [p] for t, p in zip(things, wanted, strict=True)}
        )
    if not isinstance(wanted, Mapping):
        raise PhysicsError('The points must be a list or a mapping from objects: write [{"x": 120, "y": 80}].')
    found = {}
    for name, rows in wanted.items():
        for thing in find_objects(str(name), objects.objects)[0]:
            try:
                points = tuple((float(row["x"]), float(row["y"])) for row in rows)
                labels = tuple(int(bool(row.get("label", 1))) for row in rows)
                times = {float(row.get("time_s", 0.0)) for row in rows}
            except (KeyError, TypeError, ValueError, AttributeError):
                raise PhysicsError(f'The points of {name} cannot be read: write [{{"x": 120, "y": 80}}].') from None
            if len(times) != 1:
                raise PhysicsError(f"The points of {name} belong to {len(times)} times: give one time_s for all.")
            found[thing.id] = TimedPrompt(times.pop(), Prompt(points=points, labels=labels))
    return found


def prompts_of_masks(masks: np.ndarray, objects: ObjectSet) -> dict[str, TimedPrompt]:
    """One mask an object in the clip's first picture: float [N, H, W] in 0..1.

    Raises PhysicsError for more masks than objects and for an empty one.
    """
    if len(masks) > len(objects.objects):
        raise PhysicsError(
            f"There are {len(masks)} masks for {len(objects.objects)} objects: give one for each, or one a picture."
        )
    found = {}
    for thing, mask in zip(objects.objects, masks, strict=False):
        if not (mask > 0.5).any():
            raise PhysicsError(f"The mask of {thing.id} is empty: paint the object in it.")
        found[thing.id] = TimedPrompt(0.0, Prompt(mask=mask > 0.5))
    return found


def masks_of_sam3(data: Mapping[str, Any]) -> list[list[np.ndarray]]:
    """Masks by object, then picture, of ComfyUI's SAM3_TRACK_DATA (eight pixels a byte, lowest bit first).

    Raises PhysicsError where it holds none.
    """
    packed = data.get("packed_masks")
    if packed is None or packed.shape[1] == 0:
        raise PhysicsError("SAM 3 tracked nothing: change its prompt or lower its detection threshold.")
    bits = np.unpackbits(np.asarray(packed.cpu()), axis=-1, bitorder="little").astype(bool)  # [N, objects, H, W]
    return [list(bits[:, index]) for index in range(bits.shape[1])]

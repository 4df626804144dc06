"""Which object and impact each hand-written edit means, also after a new estimate has numbered them anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pavas_core.errors import PhysicsError
from pavas_core.physics.names import find_objects
from pavas_core.physics.types import Impact, Scene

NEAR_S = 0.15
"""An anchored edit follows its impact this far in time."""


def settle(scene: Scene, wanted: Mapping[str, Any], orphans: list[str] | None) -> dict[str, Any]:
    """Edits by the ids that this scene has: anchors of impacts are resolved, ``delete`` becomes None.

    Entries that mean nothing here are described in ``orphans`` and left out; they stay in where ``orphans`` is None,
    so that whoever applies them can name them in an error.
    """
    settled: dict[str, Any] = {"objects": {}, "impacts": {}, "add_impacts": []}
    for name, changes in wanted.get("objects", {}).items():
        if name == "*" or orphans is None or _is_known(scene, name):
            settled["objects"][name] = changes
        else:
            orphans.append(f"object {name}")
    for key, changes in wanted.get("impacts", {}).items():
        impact = _meant(scene, key, changes)
        if impact is None and orphans is not None:
            orphans.append(f"impact {key}")
            continue
        plain = None
        if changes is not None and not changes.get("delete"):
            plain = {name: value for name, value in changes.items() if name not in ("object", "was_s", "delete")}
        target = key if impact is None else impact.id
        if target in settled["impacts"]:
            raise PhysicsError(f"Two edits mean the impact {target}: keep one of them.")
        settled["impacts"][target] = plain
    for one in wanted.get("add_impacts", ()):
        names = [one["object"], *([one["partner"]] if one.get("partner") else [])]
        lost = [name for name in names if orphans is not None and not _is_known(scene, name)]
        late = orphans is not None and isinstance(one["time_s"], (int, float)) and one["time_s"] > scene.duration_s
        if orphans is not None and (lost or late):
            orphans.append(f"new impact of {one['object']} at {one['time_s']} s")
        else:
            settled["add_impacts"].append(one)
    return settled


def _is_known(scene: Scene, name: Any) -> bool:
    try:
        find_objects(str(name), [body.object for body in scene.bodies])
    except PhysicsError:
        return False
    return True


def _meant(scene: Scene, key: str, changes: Mapping[str, Any] | None) -> Impact | None:
    """The impact of that id; with an anchor, the nearest of its object within NEAR_S of its former time."""
    if changes is None or "was_s" not in changes:
        return next((one for one in scene.impacts if one.id == key), None)
    was_s = changes["was_s"]
    if isinstance(was_s, bool) or not isinstance(was_s, (int, float)):
        raise PhysicsError(f"was_s of impact {key} is {was_s!r}: give the seconds of its estimate.")
    near = [one for one in scene.impacts if abs(one.time_s - was_s) <= NEAR_S]
    if "object" in changes:
        if not _is_known(scene, changes["object"]):
            return None
        things, _ = find_objects(str(changes["object"]), [body.object for body in scene.bodies])
        ids = {one.id for one in things}
        near = [one for one in near if one.object_id in ids or one.partner in ids]
    return min(near, key=lambda one: (abs(one.time_s - was_s), one.id), default=None)

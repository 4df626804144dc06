"""Segment and track: words, boxes, points or masks to a mask in every picture (paper, section 3.3).

Florence-2 finds each description in the first picture where it shows; SAM 2 carries the mask forwards and backwards.
A long clip is worked through in windows, so memory does not grow with it; what was lost is looked for again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.errors import MediaError, PavasError
from pavas_core.estimation.masks.grounding import Box, Grounder, ground
from pavas_core.estimation.masks.mask_tracks import CameraPoses, TrackMaker, doubles, frames_of, key_of_pictures
from pavas_core.estimation.masks.segmenter import Prompt, Segmenter, Session
from pavas_core.estimation.result_cache import ResultCache, key_of
from pavas_core.physics.types import MovingObject, ObjectSet, Track, TrackSet
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from pavas_core.video.clip import Clip, Frame

log = logging.getLogger("pavas")

LONG_SIDE = 768
WINDOW = 160
OVERLAP = 24
"""Pictures of the window before that are kept, so that a thing found late can be followed back."""
LOOK_EVERY_S = 0.5
"""How often a description is looked for until it is found."""
LOST_S = 0.3
TAKEN = 0.6
"""A box that shares this much with another object's is that object."""
LEAST_FILLED = 0.05
"""A mask that fills less of its box was made of something else."""


@dataclass(frozen=True, eq=False)
class TimedPrompt:
    """A prompt in pixels of the clip, at a time of the clip."""

    time_s: float
    prompt: Prompt


@dataclass(frozen=True)
class Segmented:
    """Tracks of all objects, and the objects with doubles merged (their names kept as aliases)."""

    tracks: TrackSet
    objects: ObjectSet
    starts: Mapping[str, TimedPrompt] = field(default_factory=dict)
    """What each object was first marked by, in pixels of the clip; empty where the tracks were stored."""


@dataclass
class _Object:
    """What is known of one object while the clip is worked through."""

    thing: MovingObject
    maker: TrackMaker
    given: TimedPrompt | None
    start: TimedPrompt | None = None
    """Where its words were first found, in pixels of the clip."""
    seed: np.ndarray | None = None
    """Mask in the last picture of the window before."""
    found: bool = False


@dataclass
class _Window:
    """A run of pictures; ``first`` is the clip's number of the first of them, ``new`` the window's first new one."""

    frames: list[Frame]
    first: int
    new: int
    boxes: dict[str, dict[int, tuple[float, float, float, float]]] = field(default_factory=dict)


def segment_track(
    clip: Clip,
    objects: ObjectSet,
    segmenter: Segmenter,
    *,
    grounder: Grounder | None = None,
    prompts: Mapping[str, TimedPrompt] | None = None,
    window: int = WINDOW,
    cache: ResultCache | None = None,
    renew: bool = False,
    runtime: Runtime | None = None,
) -> Segmented:
    """Masks of every object in every picture (at most 60 a second).

    An object starts from its prompt in ``prompts`` (by id), else from its box, else where ``grounder`` finds its name.
    Doubles are merged into the first of them: its track stays, theirs are nowhere visible. Raises PavasError where an
    object has neither prompt nor box and there is no grounder, MediaError where the clip shows fewer than two pictures.
    """
    runtime, prompts = runtime or Runtime(), dict(prompts or {})
    given = {thing.id: prompts.get(thing.id, _own_prompt(thing)) for thing in objects.objects}
    lacking = [name for name, prompt in given.items() if prompt is None]
    if lacking and grounder is None:
        raise PavasError(
            f"Nothing says where {lacking[0]} is: connect a Florence-2 model, boxes, points or a mask, or objects that "
            "Detect Moving Objects found."
        )
    known = [
        _Object(thing, TrackMaker(thing.id, clip.width, clip.height), given[thing.id]) for thing in objects.objects
    ]
    key = ""
    if cache is not None:
        key = _key(clip, objects, segmenter, grounder, given, window, runtime)
        stored = None if renew else cache.physics(key, TrackSet)
        if stored is not None:
            return _merged(stored, objects)
    poses = CameraPoses(clip.width, clip.height)
    times: list[float] = []
    held: list[Frame] = []
    total = max(2, clip.frame_count)
    kept = 0
    for frame in frames_of(clip, LONG_SIDE):
        runtime.step("Segmenting and tracking", min(len(times), total), total)
        times.append(frame.time_s)
        poses.add(frame.image)
        held.append(frame)
        if len(held) >= window + kept:
            _follow(_Window(held, len(times) - len(held), kept), known, segmenter, grounder, clip, total, runtime)
            held = held[-min(OVERLAP, window) :]
            kept = len(held)
    if len(times) < 2:
        raise MediaError("The clip shows fewer than two frames, so nothing can move; choose a longer part of it.")
    if len(held) > kept:
        _follow(_Window(held, len(times) - len(held), kept), known, segmenter, grounder, clip, total, runtime)
    runtime.step("Segmenting and tracking", total, total)
    for one in known:
        if not one.found:
            log.warning("%s (%s) was not found in any picture.", one.thing.id, one.thing.name)
    tracks = TrackSet(
        np.array(times), clip.width, clip.height, clip.duration_s,
        tuple(one.maker.track(len(times)) for one in known), poses.result(), f"sam2:{segmenter.name}",
    )  # fmt: skip
    if cache is not None:
        cache.put_physics(key, tracks)
    starts = {one.thing.id: start for one in known if (start := one.given or one.start) is not None}
    return replace(_merged(tracks, objects), starts=starts)


def _follow(
    window: _Window,
    known: Sequence[_Object],
    segmenter: Segmenter,
    grounder: Grounder | None,
    clip: Clip,
    total: int,
    runtime: Runtime,
) -> None:
    """Carry every object through one window, then look once more for what was lost in it."""
    last = len(window.frames) - 1
    window_step = (window.frames[-1].time_s - window.frames[0].time_s) / max(last, 1)
    last_one = window.frames[-1].time_s + 1.5 * window_step >= clip.duration_s
    ends: dict[int, int] = {}
    starts: dict[int, tuple[int, Prompt]] = {}
    wanted: dict[int, int] = {}
    for number, one in enumerate(known):
        if one.seed is not None:
            starts[number] = window.new - 1, Prompt(mask=one.seed)
        elif one.given is not None and not one.found:
            if one.given.time_s < window.frames[-1].time_s + window_step or last_one:
                place = _place(window, one.given.time_s)
                if place >= window.new:
                    starts[number] = place, _scaled(one.given.prompt, clip, window.frames[0].image.shape)
        elif grounder is not None and window.frames[-1].time_s >= one.thing.time_s:
            first = 0 if not one.found else window.new
            wanted[number] = max(first, _place(window, one.thing.time_s))
    for again in (False, True):
        found = _look(window, wanted, known, grounder, again, runtime)
        for number, (place, prompt) in found.items():
            known[number].start = known[number].start or _in_clip(window, place, prompt, clip)
        starts |= found
        if starts:
            ends |= _propagate(window, starts, known, segmenter, total, runtime)
        starts, wanted = {}, {}
        lost = max(2, round(LOST_S / max(window_step, 1e-6)))
        for number in range(len(known)):
            end = ends.get(number)
            if end is not None and last - end >= lost and grounder is not None:
                wanted[number] = end + 1
        if not wanted:
            break
    for number, one in enumerate(known):
        one.seed = one.seed if ends.get(number) == last else None


def _look(
    window: _Window,
    wanted: Mapping[int, int],
    known: Sequence[_Object],
    grounder: Grounder | None,
    again: bool,
    runtime: Runtime,
) -> dict[int, tuple[int, Prompt]]:
    """Where the grounder first finds each object, from its number in ``wanted`` on."""
    if grounder is None or not wanted:
        return {}
    found: dict[int, tuple[int, Prompt]] = {}
    with runtime.resident(grounder.model):
        for number, first in wanted.items():
            one, next_s = known[number], -1.0
            for place in range(first, len(window.frames)):
                frame = window.frames[place]
                if frame.time_s < next_s:
                    continue
                next_s = frame.time_s + LOOK_EVERY_S
                box = ground(grounder, frame.image, one.thing.name, runtime=runtime)
                if box is None or _is_taken(box, place, one.thing.id if again else "", window, again):
                    continue
                found[number] = place, Prompt(box=box)
                break
    return found


def _is_taken(box: Box, place: int, own: str, window: _Window, again: bool) -> bool:
    """Whether a box found after a loss is that of another object; at first sight doubles are merged later."""
    if not again:
        return False
    others = (boxes.get(place) for name, boxes in window.boxes.items() if name != own)
    return any(_overlap(box, other) >= TAKEN for other in others if other is not None)


def _propagate(
    window: _Window,
    starts: Mapping[int, tuple[int, Prompt]],
    known: Sequence[_Object],
    segmenter: Segmenter,
    total: int,
    runtime: Runtime,
) -> dict[int, int]:
    """Masks from each start to the window's end, and back to where the object was not seen any more.

    Returns the last picture each was seen in; the masks go to the objects.
    """
    images = [frame.image for frame in window.frames]
    ends: dict[int, int] = {}
    with runtime.resident(segmenter.module):
        sessions: dict[int, Session] = dict(zip(starts, segmenter.sessions(images, len(starts), runtime), strict=True))
        active: list[int] = []
        for place in range(min(start for start, _ in starts.values()), len(images)):
            runtime.step("Segmenting and tracking", min(window.first + place, total), total)
            for number, (start, prompt) in starts.items():
                one = known[number]
                if start == place:
                    mask = sessions[number].prompt(place, prompt)
                    if not _fills(mask, prompt):
                        log.warning("SAM 2 found nothing in the box of %s at %.2f s.", one.thing.id, _at(window, place))
                        continue
                    active.append(number)
                    one.found = True
                elif number in active:
                    mask = sessions[number].step(place, False)
                else:
                    continue
                if start == place and place < window.new and one.maker.has(window.first + place):
                    ends[number] = place  # the seed, whose own mask is kept
                elif _note(window, one, place, mask):
                    ends[number] = place
                if place == len(images) - 1:
                    one.seed = mask if mask.any() else None
        seeded = window.new - 1
        going = [n for n in active if starts[n][0] != seeded or starts[n][1].mask is None]
        unseen = dict.fromkeys(going, 0)
        for place in range(max((starts[number][0] for number in going), default=0) - 1, -1, -1):
            runtime.step("Segmenting and tracking", min(window.first + place, total), total)
            for number in list(unseen):
                one = known[number]
                if place >= starts[number][0]:
                    continue
                if one.maker.has(window.first + place):
                    del unseen[number]  # it was followed to here before
                    continue
                seen = _note(window, one, place, sessions[number].step(place, True))
                unseen[number] = 0 if seen else unseen[number] + 1
                if unseen[number] > OVERLAP:
                    del unseen[number]
    return ends


def _note(window: _Window, one: _Object, place: int, mask: np.ndarray) -> bool:
    """Hand a mask to its object; whether it shows anything."""
    one.maker.add(window.first + place, mask)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    boxes = window.boxes.setdefault(one.thing.id, {})
    boxes.pop(place, None)
    if rows.size == 0:
        return False
    boxes[place] = float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    return True


def _fills(mask: np.ndarray, prompt: Prompt) -> bool:
    """Whether a mask belongs to its prompt: it is not empty and, of a box, fills some part inside."""
    if not mask.any():
        return False
    if prompt.box is None:
        return True
    x0, y0, x1, y1 = prompt.box
    inside = mask[max(0, int(y0)) : int(np.ceil(y1)), max(0, int(x0)) : int(np.ceil(x1))]
    return bool(inside.size and inside.mean() >= LEAST_FILLED)


def _own_prompt(thing: MovingObject) -> TimedPrompt | None:
    return TimedPrompt(thing.time_s, Prompt(box=thing.box)) if thing.box is not None else None


def _scaled(prompt: Prompt, clip: Clip, shape: tuple[int, ...]) -> Prompt:
    """A prompt in pixels of the clip as one in pixels of a smaller picture of shape [H, W, ...]."""
    sx, sy = shape[1] / clip.width, shape[0] / clip.height
    box = prompt.box
    mask = prompt.mask
    if mask is not None and mask.shape != tuple(shape[:2]):
        import cv2

        mask = cv2.resize(mask.astype(np.uint8), (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST) > 0
    return Prompt(
        (box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy) if box is not None else None,
        tuple((x * sx, y * sy) for x, y in prompt.points),
        prompt.labels,
        mask,
    )


def _in_clip(window: _Window, place: int, prompt: Prompt, clip: Clip) -> TimedPrompt:
    """The prompt of one of the window's pictures, which holds a box, in pixels of the clip."""
    assert prompt.box is not None
    height, width = window.frames[place].image.shape[:2]
    x0, y0, x1, y1 = prompt.box
    sx, sy = clip.width / width, clip.height / height
    return TimedPrompt(_at(window, place), Prompt(box=(x0 * sx, y0 * sy, x1 * sx, y1 * sy)))


def _place(window: _Window, time_s: float) -> int:
    """The window's picture shown at ``time_s``, or its first or last one."""
    times = np.array([frame.time_s for frame in window.frames])
    return int(np.clip(np.searchsorted(times, time_s + 1e-6, side="right") - 1, 0, len(times) - 1))


def _at(window: _Window, place: int) -> float:
    return window.frames[place].time_s


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _merged(tracks: TrackSet, objects: ObjectSet) -> Segmented:
    """One object for those that follow the same thing; the objects learn where they are first seen."""
    same = doubles(tracks)
    aliases: dict[str, tuple[str, ...]] = {}
    for thing in objects.objects:
        if thing.id in same:
            log.warning("%s and %s are the same thing: they are merged.", thing.id, same[thing.id])
            extra = (thing.id, thing.name, *thing.aliases)
            aliases[same[thing.id]] = aliases.get(same[thing.id], ()) + extra
    shown = [_hidden(track) if track.object_id in same else track for track in tracks.tracks]
    by_id = {track.object_id: track for track in shown}

    def updated(thing: MovingObject) -> MovingObject:
        track = by_id[thing.id]
        seen = np.flatnonzero(track.visible)
        box, time_s = thing.box, thing.time_s
        if seen.size and box is None:
            x0, y0, x1, y1 = (float(value) for value in track.boxes[seen[0]])
            box, time_s = (x0, y0, x1, y1), float(tracks.times_s[seen[0]])
        names = tuple(dict.fromkeys((*thing.aliases, *aliases.get(thing.id, ()))))
        return replace(thing, aliases=names, box=box, time_s=time_s)

    kept = tuple(updated(thing) for thing in objects.objects if thing.id not in same)
    return Segmented(replace(tracks, tracks=tuple(shown)), replace(objects, objects=kept, tracks=None))


def _hidden(track: Track) -> Track:
    return replace(
        track, visible=np.zeros_like(track.visible), boxes=np.full_like(track.boxes, np.nan),
        centroids=np.full_like(track.centroids, np.nan), area_px=np.full_like(track.area_px, np.nan),
        truncated=np.zeros_like(track.truncated), masks=None, confidence=0.0,
    )  # fmt: skip


def _key(
    clip: Clip,
    objects: ObjectSet,
    segmenter: Segmenter,
    grounder: Grounder | None,
    given: Mapping[str, TimedPrompt | None],
    window: int,
    runtime: Runtime,
) -> str:
    """One key for the pictures' content and everything else the tracks depend on."""
    parts: list[str | float | np.ndarray | None] = [segmenter.fingerprint, grounder.fingerprint if grounder else None]
    parts.append(float(window))
    for thing in objects.objects:
        prompt = given[thing.id]
        parts += [thing.id, thing.name, thing.time_s]
        if prompt is not None:
            own = prompt.prompt
            parts += [prompt.time_s, repr(own.box), repr(own.points), repr(own.labels), own.mask]
    return key_of(*parts, key_of_pictures(clip, runtime))

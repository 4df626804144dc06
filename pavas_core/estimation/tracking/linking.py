"""Frame-to-frame association of regions into tracks, with a local template for bodies that merge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median

import numpy as np

from pavas_core.estimation.tracking import camera
from pavas_core.estimation.tracking.flow import FlowField
from pavas_core.estimation.tracking.foreground import Detection

_COAST_S = 0.4
_HOLD_S = 1.0
_BACK_MISSES = 3
_MAX_COST = 1.6
_TEMPLATE_ERROR = 30.0
_ROUND = 0.86
_TEMPLATE_AREA = 12
_TEMPLATE_SPAN = 1.6


@dataclass(frozen=True)
class Observation:
    """One object in one frame."""

    frame: int
    world: tuple[float, float]
    """Centroid in the first frame's analysis pixels."""
    centroid: tuple[float, float]
    """Centroid in this frame's analysis pixels."""
    box: tuple[float, float, float, float]
    area: float
    colour: np.ndarray
    border: bool
    origin: tuple[int, int]
    """Column and row of the mask's corner in this frame."""
    shape: tuple[int, int]
    bits: np.ndarray
    """The mask, eight pixels a byte."""
    flow: tuple[float, float] | None
    """Analysis pixels per frame since the frame before, camera motion removed."""
    shadow: float
    roundness: float
    aspect: float
    fast: float
    contrast: float
    parent: int
    """Number of the track whose region this was part of, or -1."""
    trail: int
    """Number of the track this belongs to."""
    around: tuple[float, float] | None = None
    """Motion of what surrounds it within the region it was part of, as ``flow``."""
    by_template: bool = False
    lit: bool = False
    """It shows the background in another light."""
    held: bool = False
    """Nothing changed where it was last seen: it rests there."""

    @property
    def mask(self) -> np.ndarray:
        """bool [h, w]."""
        height, width = self.shape
        return np.unpackbits(self.bits, count=height * width).reshape(height, width).astype(bool)


@dataclass
class Trail:
    """A track being followed."""

    number: int
    observations: list[Observation] = field(default_factory=list)
    template: _Template | None = None
    first_template: _Template | None = None

    @property
    def last(self) -> Observation:
        return self.observations[-1]

    def add(self, later: Observation) -> None:
        """Take its next sighting."""
        self.observations.append(later)
        self._forget()

    def add_before(self, earlier: list[Observation]) -> None:
        """Take sightings, in order of time, before its first."""
        self.observations[:0] = earlier
        self._forget()

    def _forget(self) -> None:
        """What follows from its sightings is worked out anew; most trails are asked in many frames without one."""
        for name in ("size", "velocity", "compact"):
            self.__dict__.pop(name, None)

    @cached_property
    def size(self) -> float:
        """Typical area of the recent past, square pixels."""
        return median(o.area for o in self.observations[-7:])

    @cached_property
    def velocity(self) -> np.ndarray:
        """Pixels per frame from the last three sightings, or the flow of a single one."""
        if len(self.observations) == 1:
            return np.array(self.last.flow if self.last.flow is not None else (0.0, 0.0))
        return _pace([o for o in self.observations[-3:] if self.last.frame - o.frame <= 6])

    @cached_property
    def compact(self) -> bool:
        """A small round body that has moved and whose outline hardly changes: worth a template."""
        seen = self.observations[-9:]
        if len(seen) < 4 or self.size < _TEMPLATE_AREA:
            return False
        if median(o.roundness for o in seen) < _ROUND or median(o.aspect for o in seen) > 1.8:
            return False
        x, y = self.observations[0].world
        return max((o.world[0] - x) ** 2 + (o.world[1] - y) ** 2 for o in seen) > 0.5 * self.size


def _pace(recent: list[Observation]) -> np.ndarray:
    """Velocity at the last of up to three sightings in order, forwards or backwards in time, pixels per frame."""
    if len(recent) < 2:
        return np.zeros(2)
    (a, b), t = recent[-2:], abs(recent[-1].frame - recent[-2].frame)
    new_x, new_y = (b.world[0] - a.world[0]) / t, (b.world[1] - a.world[1]) / t
    if len(recent) == 2:
        return np.array([new_x, new_y])
    # Newest difference plus half the change: the velocity at the last sighting under even acceleration.
    c, t = recent[0], abs(a.frame - recent[0].frame)
    old_x, old_y = (a.world[0] - c.world[0]) / t, (a.world[1] - c.world[1]) / t
    gain_x, gain_y = min(4.0, max(-4.0, new_x - old_x)), min(4.0, max(-4.0, new_y - old_y))
    return np.array([new_x + 0.4 * gain_x, new_y + 0.4 * gain_y])


@dataclass(frozen=True)
class _Template:
    """Appearance of a compact body when last seen on its own."""

    patch: np.ndarray
    mask: np.ndarray
    offset: tuple[float, float]
    area: float

    @cached_property
    def inside(self) -> np.ndarray:
        """float32 [h, w], one within the outline."""
        return self.mask.astype(np.float32)

    @cached_property
    def weight(self) -> np.ndarray:
        """``inside`` for each channel."""
        return np.repeat(self.inside[..., None], 3, axis=2)

    @cached_property
    def sought(self) -> np.ndarray:
        """The patch as float32."""
        return self.patch.astype(np.float32)


class Linker:
    """Follows regions through consecutive frames of one canvas after another."""

    def __init__(self, frame_rate: float) -> None:
        self._coast = max(3, round(_COAST_S * frame_rate))
        self._hold = round(_HOLD_S * frame_rate)
        self.active: list[Trail] = []
        self.finished: list[Trail] = []
        self._count = 0

    def step(
        self,
        frame: int,
        image: np.ndarray,
        change: np.ndarray | None,
        detections: list[Detection],
        flow: FlowField,
        to_world: np.ndarray,
        to_frame: np.ndarray,
    ) -> None:
        """Take the regions of one frame, in canvas pixels, and the maps to world and frame pixels.

        ``change`` (uint8 [H, W]) is non-zero where the frame differs from the one before by more than noise.
        """
        taken = self._match(frame, detections, to_world)
        from_world, from_frame = camera.invert(to_world), camera.invert(to_frame)
        covered = _covered(detections, image.shape[:2])
        used: dict[int, int] = {}
        for trail_index, detection_index in taken.items():
            used[detection_index] = self.active[trail_index].number
        for trail_index, trail in enumerate(self.active):
            steady = trail.template is not None and trail.compact
            if trail_index in taken:
                detection = detections[taken[trail_index]]
                ratio = detection.area / trail.template.area if steady and trail.template else 1.0
                if steady and not 0.55 < ratio < _TEMPLATE_SPAN and not detection.border:
                    found = self._follow(trail, frame, image, covered, from_world)
                    if found is not None:
                        self._record(trail, frame, found, flow, to_world, to_frame, -1, True)
                        continue
                parent = used.get(detection.parent, -1) if detection.parent >= 0 else -1
                self._record(trail, frame, detection, flow, to_world, to_frame, parent, False, detections)
                _learn(trail, image, detection)
                continue
            if steady:
                found = self._follow(trail, frame, image, covered, from_world)
                if found is not None:
                    self._record(trail, frame, found, flow, to_world, to_frame, -1, True)
                    continue
            if change is not None:
                self._rest(trail, frame, change, from_world, to_frame, from_frame)
        for index, detection in enumerate(detections):
            if index in used or self._covered(detection, frame, to_world):
                continue
            trail = Trail(self._count)
            self._count += 1
            parent = used.get(detection.parent, -1) if detection.parent >= 0 else -1
            self._record(trail, frame, detection, flow, to_world, to_frame, parent, False, detections)
            self.active.append(trail)
        self._retire(frame)

    def finish(self) -> None:
        """No trail goes on beyond the last frame: the film, or a shot of it, ends."""
        self.finished.extend(self.active)
        self.active = []

    def _retire(self, frame: int) -> None:
        keep = []
        for trail in self.active:
            limit = self._coast if len(trail.observations) >= 4 else 2
            if frame - trail.last.frame > limit:
                if len(trail.observations) >= 3:
                    self.finished.append(trail)
            else:
                keep.append(trail)
        self.active = keep

    def _match(self, frame: int, detections: list[Detection], to_world: np.ndarray) -> dict[int, int]:
        from scipy.optimize import linear_sum_assignment

        if not self.active or not detections:
            return {}
        places = camera.apply(to_world, np.array([d.centroid for d in detections]))
        areas = np.array([d.area for d in detections])
        colours = np.array([d.colour for d in detections])
        spans = np.array([max(d.mask.shape) for d in detections], float)
        last = np.array([t.last.world for t in self.active])
        speed = np.array([t.velocity for t in self.active])
        size = np.array([t.size for t in self.active])[:, None]
        gap = np.array([frame - t.last.frame for t in self.active], float)[:, None]
        count = np.array([len(t.observations) for t in self.active])[:, None]
        colour = np.array([t.last.colour for t in self.active])
        side, pace = np.sqrt(size), np.hypot(speed[:, 0], speed[:, 1])[:, None]
        due = last + gap * speed
        ahead = np.hypot(places[None, :, 0] - due[:, :1], places[None, :, 1] - due[:, 1:])
        back = np.hypot(places[None, :, 0] - last[:, :1], places[None, :, 1] - last[:, 1:])
        reach = 4.0 + 2.0 * side + 1.2 * np.maximum(0.0, spans[None] - side)
        gate = 3.0 + 0.5 * side + 0.4 * pace * np.sqrt(gap)
        turn = 3.0 + 0.5 * side + 1.1 * pace * gap
        near = np.where(
            count == 1, np.minimum(ahead, back) / (gap * reach), np.minimum(ahead / gate, 0.35 + back / turn)
        )
        shape = 0.4 * np.abs(np.log(areas[None] / size))
        tint = sum(np.abs(there - here[:, None]) for there, here in zip(colours.T, colour.T, strict=True)) / 3 / 110.0
        cost = near + shape + tint
        cost[(near > 1.35) | (cost > _MAX_COST)] = 50.0
        # Between equals the older trail wins.
        cost -= 0.02 * np.minimum(count, 20)
        rows, cols = linear_sum_assignment(cost)
        return {int(r): int(c) for r, c in zip(rows, cols, strict=True) if cost[r, c] < 40.0}

    def _covered(self, detection: Detection, frame: int, to_world: np.ndarray) -> bool:
        """Whether a template already explains this region."""
        x, y = camera.apply(to_world, np.array(detection.centroid))
        for trail in self.active:
            seen = trail.last
            if seen.frame == frame and seen.by_template and detection.area < 1.8 * seen.area:
                side = np.sqrt(seen.area)
                if np.hypot(x - seen.world[0], y - seen.world[1]) < 0.6 * side:
                    return True
        return False

    def _record(
        self,
        trail: Trail,
        frame: int,
        detection: Detection,
        flow: FlowField,
        to_world: np.ndarray,
        to_frame: np.ndarray,
        parent: int,
        by_template: bool,
        detections: Sequence[Detection] = (),
    ) -> None:
        host = detections[detection.parent] if detections and detection.parent >= 0 else None
        seen = _observation(frame, detection, flow, to_world, to_frame, parent, trail.number, by_template, host)
        trail.add(seen)

    def _rest(
        self,
        trail: Trail,
        frame: int,
        change: np.ndarray,
        from_world: np.ndarray,
        to_frame: np.ndarray,
        from_frame: np.ndarray,
    ) -> None:
        """Keep a body that has stopped: it is still there while nothing changes where it was."""
        last = trail.last
        if last.frame != frame - 1 or last.border:
            return
        resting = 0
        while resting < len(trail.observations) and trail.observations[-1 - resting].held:
            resting += 1
        if len(trail.observations) - resting < 4 or resting >= self._hold:
            return
        cx, cy = camera.apply(to_frame, camera.apply(from_world, np.array(last.world))).tolist()
        dx, dy = cx - last.centroid[0], cy - last.centroid[1]
        origin = (round(last.origin[0] + dx), round(last.origin[1] + dy))
        x, y = (round(v) for v in camera.apply(from_frame, np.array(origin, float)).tolist())
        mask = last.mask
        h, w = mask.shape
        if x < 0 or y < 0 or x + w > change.shape[1] or y + h > change.shape[0]:
            return
        if np.count_nonzero(change[y : y + h, x : x + w][mask]) < 0.08 * np.count_nonzero(mask):
            box = (last.box[0] + dx, last.box[1] + dy, last.box[2] + dx, last.box[3] + dy)
            trail.add(replace(last, frame=frame, centroid=(cx, cy), box=box, origin=origin, flow=(0.0, 0.0), held=True))

    def extend_back(
        self,
        images: list[np.ndarray],
        detections: list[list[Detection]],
        start: int,
        to_world: np.ndarray,
        to_frame: list[np.ndarray],
    ) -> None:
        """Follow compact bodies back from where they were first seen alone, through frames ``start`` onwards."""
        from_world = camera.invert(to_world)
        covered: dict[int, np.ndarray] = {}
        trails = [t for t in (*self.active, *self.finished) if t.first_template is not None and t.compact]
        seen_in: dict[int, list[Observation]] = {}
        for trail in trails:
            for o in trail.observations:
                seen_in.setdefault(o.frame, []).append(o)
        for trail in trails:
            first, template = trail.observations[0], trail.first_template
            assert template is not None
            if not start < first.frame < start + len(images) or first.border or len(trail.observations) < 5:
                continue
            misses, added = 0, list[Observation]()
            seen = trail.observations[:3][::-1]
            for frame in range(first.frame - 1, start - 1, -1):
                # Time runs backwards here: the newest sighting is the earliest.
                gap = seen[-1].frame - frame
                if frame not in covered:
                    covered[frame] = _covered(detections[frame - start], images[0].shape[:2])
                found = _search(
                    template, np.array(seen[-1].world), _pace(seen[-3:]), gap, images[frame - start],
                    covered[frame], from_world, seen[-1],
                ) if gap <= 3 else None  # fmt: skip
                if found is None:
                    misses += 1
                    if misses > _BACK_MISSES:
                        break
                    continue
                misses = 0
                observation = _observation(
                    frame, found, None, to_world, to_frame[frame - start], -1, trail.number, True
                )
                if any(_same_place(other, observation) for other in seen_in.get(frame, ())):
                    break
                seen.append(observation)
                added.append(observation)
            trail.add_before(added[::-1])
            for o in added:
                seen_in.setdefault(o.frame, []).append(o)

    def _follow(
        self, trail: Trail, frame: int, image: np.ndarray, covered: np.ndarray, from_world: np.ndarray
    ) -> Detection | None:
        """Where the template of a trail fits in the next frame."""
        gap = frame - trail.last.frame
        if trail.template is None or gap > 4:
            return None
        place = np.array(trail.last.world)
        return _search(trail.template, place, trail.velocity, gap, image, covered, from_world, trail.last)


def _observation(
    frame: int,
    detection: Detection,
    flow: FlowField | None,
    to_world: np.ndarray,
    to_frame: np.ndarray,
    parent: int,
    trail: int,
    by_template: bool,
    host: Detection | None = None,
) -> Observation:
    """A region of the canvas as an observation in world and frame pixels."""
    place = np.array(detection.centroid)
    world, centroid = camera.apply(to_world, place).tolist(), camera.apply(to_frame, place).tolist()
    x0, y0, mask = _mask_in_frame(detection, to_frame)
    motion = None if flow is None else flow.inside(detection.x0, detection.y0, detection.mask)
    around = None if flow is None or host is None else flow.around(detection, host)
    height, width = mask.shape
    return Observation(
        frame, (world[0], world[1]), (centroid[0], centroid[1]),
        (float(x0), float(y0), float(x0 + width), float(y0 + height)), detection.area, detection.colour,
        detection.border, (x0, y0), (height, width), np.packbits(mask), _turned(motion, to_world),
        detection.shadow, detection.roundness, detection.aspect, detection.fast, detection.contrast, parent, trail,
        _turned(around, to_world), by_template, detection.lit,
    )  # fmt: skip


def _turned(motion: tuple[float, float] | None, to_world: np.ndarray) -> tuple[float, float] | None:
    if motion is None:
        return None
    x, y = (to_world[:, :2] @ np.array(motion)).tolist()
    return x, y


def _same_place(other: Observation, observation: Observation) -> bool:
    """Whether another trail already has this body in this frame."""
    apart = math.dist(other.world, observation.world)
    return apart < 0.5 * math.sqrt(observation.area) and 0.6 < other.area / observation.area < 1.7


def _learn(trail: Trail, image: np.ndarray, detection: Detection) -> None:
    """Keep the appearance of a compact body seen alone."""
    if detection.border or detection.roundness < _ROUND or detection.aspect > 2.0 or detection.area < 9:
        return
    if trail.template is not None and not 0.75 < detection.area / trail.size < 1.3:
        return
    h, w = detection.mask.shape
    y0, x0 = detection.y0, detection.x0
    patch = image[y0 : y0 + h, x0 : x0 + w].copy()
    offset = (detection.centroid[0] - x0, detection.centroid[1] - y0)
    trail.template = _Template(patch, detection.mask, offset, detection.area)
    if trail.first_template is None and len(trail.observations) >= 3:
        trail.first_template = trail.template


def _search(
    template: _Template,
    place: np.ndarray,
    speed: np.ndarray,
    gap: int,
    image: np.ndarray,
    covered: np.ndarray,
    from_world: np.ndarray,
    previous: Observation,
) -> Detection | None:
    """Find the template ``gap`` frames after ``place`` (world), inside what is ``covered`` by regions."""
    import cv2

    last = camera.apply(from_world, place)
    due = camera.apply(from_world, place + gap * speed)
    margin = 3.0 + 0.35 * np.sqrt(template.area) + 0.3 * float(np.hypot(*speed)) * gap
    h, w = template.mask.shape
    low = np.floor(np.minimum(last, due) - margin - template.offset).astype(int)
    high = np.ceil(np.maximum(last, due) + margin - template.offset + [w, h]).astype(int)
    x0, y0 = max(0, int(low[0])), max(0, int(low[1]))
    x1, y1 = min(image.shape[1], int(high[0])), min(image.shape[0], int(high[1]))
    if x1 - x0 < w + 2 or y1 - y0 < h + 2:
        return None
    area, changed = image[y0:y1, x0:x1], covered[y0:y1, x0:x1]
    changes = cv2.countNonZero(changed)
    if not changes:
        return None
    score = cv2.matchTemplate(area.astype(np.float32), template.sought, cv2.TM_SQDIFF, mask=template.weight)
    pixels = int(np.count_nonzero(template.mask))
    score = np.sqrt(np.maximum(score, 0.0) / (3.0 * pixels))
    if changes < changed.size:
        share = cv2.matchTemplate(changed.astype(np.float32), template.inside, cv2.TM_CCORR) / pixels
        score[share < 0.5] = 1e3
    _, _, (col, row), _ = cv2.minMaxLoc(score)
    if score[row, col] > _TEMPLATE_ERROR:
        return None
    dx, dy = _vertex(score, row, col)
    centre = (x0 + col + dx + template.offset[0], y0 + row + dy + template.offset[1])
    top, left = y0 + row, x0 + col
    crop = cv2.copyTo(image[top : top + h, left : left + w], template.mask.view(np.uint8))
    return Detection(
        left, top, template.mask, centre, template.area, np.array(cv2.sumElems(crop)[:3]) / pixels, previous.contrast,
        1.0, 0.0, False, previous.roundness, previous.aspect,
    )  # fmt: skip


def _vertex(score: np.ndarray, row: int, col: int) -> tuple[float, float]:
    """Sub-pixel offset of the minimum by a parabola in x and y."""
    out = []
    for line, at in ((score[row], col), (score[:, col], row)):
        if 0 < at < len(line) - 1 and line[at - 1] < 999 and line[at + 1] < 999:
            bend = line[at - 1] - 2 * line[at] + line[at + 1]
            out.append(float(0.5 * (line[at - 1] - line[at + 1]) / bend) if bend > 1e-6 else 0.0)
        else:
            out.append(0.0)
    return out[0], out[1]


def _covered(detections: list[Detection], shape: tuple[int, ...]) -> np.ndarray:
    """uint8 [H, W], one where any region is."""
    out = np.zeros(shape, np.uint8)
    for d in detections:
        h, w = d.mask.shape
        out[d.y0 : d.y0 + h, d.x0 : d.x0 + w] |= d.mask
    return out


def _mask_in_frame(detection: Detection, to_frame: np.ndarray) -> tuple[int, int, np.ndarray]:
    """The mask moved from canvas to frame pixels: corner column and row, and the crop."""
    h, w = detection.mask.shape
    (a, b, _), (c, d, _) = to_frame.tolist()
    if max(abs(a - 1.0), abs(b), abs(c), abs(d - 1.0)) < 2e-3:
        x, y = camera.apply(to_frame, np.array([detection.x0, detection.y0], float)).tolist()
        return round(x), round(y), detection.mask
    import cv2

    linear, shift = to_frame[:, :2], to_frame[:, 2]
    corner = np.array([detection.x0, detection.y0], float)
    corners = corner + np.array([[0, 0], [w, 0], [0, h], [w, h]])
    mapped = camera.apply(to_frame, corners)
    x0, y0 = np.floor(mapped.min(0)).astype(int)
    x1, y1 = np.ceil(mapped.max(0)).astype(int)
    # Pixel centres sit at +0.5 in continuous coordinates and at 0 in OpenCV's.
    offset = linear @ (np.array([detection.x0, detection.y0]) + 0.5) + shift - 0.5 - [x0, y0]
    warp = np.hstack([linear, offset[:, None]])
    moved = cv2.warpAffine(detection.mask.astype(np.uint8), warp, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_NEAREST)
    return int(x0), int(y0), moved > 0

"""Frame-to-frame association of regions into tracks, with a local template for bodies that merge."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pavas_core.estimation import camera
from pavas_core.estimation.flow import FlowField
from pavas_core.estimation.foreground import Detection

_COAST_S = 0.4
_MAX_COST = 1.6
_TEMPLATE_ERROR = 30.0
_ROUND = 0.8
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
    by_template: bool = False

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

    @property
    def last(self) -> Observation:
        return self.observations[-1]

    def size(self) -> float:
        """Typical area of the recent past, square pixels."""
        return float(np.median([o.area for o in self.observations[-7:]]))

    def velocity(self) -> np.ndarray:
        """Pixels per frame from the last three sightings, or the flow of a single one."""
        if len(self.observations) == 1:
            return np.array(self.last.flow if self.last.flow is not None else (0.0, 0.0))
        recent = [o for o in self.observations[-3:] if self.last.frame - o.frame <= 6]
        if len(recent) < 2:
            return np.zeros(2)
        t = np.array([o.frame for o in recent], float)
        p = np.array([o.world for o in recent])
        if len(recent) == 2:
            return (p[1] - p[0]) / (t[1] - t[0])
        # Newest difference plus half the change: the velocity at the last sighting under even acceleration.
        new, old = (p[2] - p[1]) / (t[2] - t[1]), (p[1] - p[0]) / (t[1] - t[0])
        return new + 0.4 * np.clip(new - old, -4.0, 4.0)

    def compact(self) -> bool:
        """A small round body whose outline hardly changes: worth a template."""
        seen = self.observations[-9:]
        return len(seen) >= 3 and float(np.median([o.roundness for o in seen])) > _ROUND


@dataclass(frozen=True)
class _Template:
    """Appearance of a compact body when last seen on its own."""

    patch: np.ndarray
    mask: np.ndarray
    offset: tuple[float, float]
    area: float


class Linker:
    """Follows regions through consecutive frames of one canvas after another."""

    def __init__(self, frame_rate: float) -> None:
        self._coast = max(3, round(_COAST_S * frame_rate))
        self.active: list[Trail] = []
        self.finished: list[Trail] = []
        self._count = 0

    def step(
        self,
        frame: int,
        image: np.ndarray,
        detections: list[Detection],
        flow: FlowField,
        to_world: np.ndarray,
        to_frame: np.ndarray,
    ) -> None:
        """Take the regions of one frame, in canvas pixels, and the maps to world and frame pixels."""
        taken = self._match(frame, detections, to_world)
        used: dict[int, int] = {}
        for trail_index, detection_index in taken.items():
            used[detection_index] = self.active[trail_index].number
        for trail_index, trail in enumerate(self.active):
            if trail_index in taken:
                detection = detections[taken[trail_index]]
                steady = trail.compact() and trail.template is not None
                ratio = detection.area / trail.template.area if steady and trail.template else 1.0
                if steady and not 0.55 < ratio < _TEMPLATE_SPAN and not detection.border:
                    found = self._search(trail, frame, image, detections, to_world, flow)
                    detection = found or detection
                    self._record(trail, frame, detection, flow, to_world, to_frame, -1, found is not None)
                    continue
                parent = used.get(detection.parent, -1) if detection.parent >= 0 else -1
                self._record(trail, frame, detection, flow, to_world, to_frame, parent, False)
                self._learn(trail, image, detection)
            elif trail.template is not None and trail.compact():
                found = self._search(trail, frame, image, detections, to_world, flow)
                if found is not None:
                    self._record(trail, frame, found, flow, to_world, to_frame, -1, True)
        for index, detection in enumerate(detections):
            if index in used or self._covered(detection, frame, to_world):
                continue
            trail = Trail(self._count)
            self._count += 1
            parent = used.get(detection.parent, -1) if detection.parent >= 0 else -1
            self._record(trail, frame, detection, flow, to_world, to_frame, parent, False)
            self.active.append(trail)
        self._retire(frame)

    def finish(self) -> list[Trail]:
        """All trails, after the last frame."""
        self.finished.extend(self.active)
        self.active = []
        return self.finished

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
        cost = np.full((len(self.active), len(detections)), 50.0)
        places = camera.apply(to_world, np.array([d.centroid for d in detections]))
        areas = np.array([d.area for d in detections])
        colours = np.array([d.colour for d in detections])
        spans = np.array([max(d.mask.shape) for d in detections], float)
        for i, trail in enumerate(self.active):
            gap = frame - trail.last.frame
            last, speed = np.array(trail.last.world), trail.velocity()
            pace = float(np.hypot(*speed))
            size = trail.size()
            side = float(np.sqrt(size))
            ahead = np.hypot(*(places - (last + gap * speed)).T)
            back = np.hypot(*(places - last).T)
            if len(trail.observations) == 1:
                reach = 4.0 + 2.0 * side + 1.2 * np.maximum(0.0, spans - side)
                near = np.minimum(ahead, back) / (gap * reach)
            else:
                gate = 3.0 + 0.5 * side + 0.4 * pace * np.sqrt(gap)
                turn = 3.0 + 0.5 * side + 1.1 * pace * gap
                near = np.minimum(ahead / gate, 0.35 + back / turn)
            steep = 0.45 if trail.compact() else 0.3
            shape = steep * np.abs(np.log(areas / size))
            tint = np.abs(colours - trail.last.colour).mean(axis=1) / 110.0
            total = near + shape + tint
            total[(near > 1.35) | (total > _MAX_COST)] = 50.0
            cost[i] = total - 0.02 * min(len(trail.observations), 20)
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
    ) -> None:
        world = camera.apply(to_world, np.array(detection.centroid))
        centroid = camera.apply(to_frame, np.array(detection.centroid))
        x0, y0, mask = _mask_in_frame(detection, to_frame)
        motion = flow.inside(detection.x0, detection.y0, detection.mask)
        if motion is not None:
            motion = tuple(to_world[:, :2] @ np.array(motion))
        height, width = mask.shape
        trail.observations.append(
            Observation(
                frame, (float(world[0]), float(world[1])), (float(centroid[0]), float(centroid[1])),
                (float(x0), float(y0), float(x0 + width), float(y0 + height)), detection.area, detection.colour,
                detection.border, (x0, y0), (height, width), np.packbits(mask), motion, detection.shadow,
                detection.roundness, detection.aspect, detection.fast, detection.contrast, parent, by_template,
            )
        )  # fmt: skip

    def _learn(self, trail: Trail, image: np.ndarray, detection: Detection) -> None:
        """Keep the appearance of a compact body seen alone."""
        if detection.border or detection.roundness < _ROUND or detection.aspect > 2.0 or detection.area < 9:
            return
        if trail.template is not None and not 0.75 < detection.area / trail.size() < 1.3:
            return
        h, w = detection.mask.shape
        y0, x0 = detection.y0, detection.x0
        patch = image[y0 : y0 + h, x0 : x0 + w].copy()
        offset = (detection.centroid[0] - x0, detection.centroid[1] - y0)
        trail.template = _Template(patch, detection.mask, offset, detection.area)

    def _search(
        self,
        trail: Trail,
        frame: int,
        image: np.ndarray,
        detections: list[Detection],
        to_world: np.ndarray,
        flow: FlowField,
    ) -> Detection | None:
        """Find the template near where the body is due, inside what differs from the background."""
        import cv2

        template = trail.template
        assert template is not None
        gap = frame - trail.last.frame
        if gap > 4:
            return None
        from_world = camera.invert(to_world)
        speed = trail.velocity()
        last = camera.apply(from_world, np.array(trail.last.world))
        due = camera.apply(from_world, np.array(trail.last.world) + gap * speed)
        margin = 3.0 + 0.35 * np.sqrt(template.area) + 0.3 * float(np.hypot(*speed)) * gap
        h, w = template.mask.shape
        low = np.floor(np.minimum(last, due) - margin - template.offset).astype(int)
        high = np.ceil(np.maximum(last, due) + margin - template.offset + [w, h]).astype(int)
        x0, y0 = max(0, low[0]), max(0, low[1])
        x1, y1 = min(image.shape[1], high[0]), min(image.shape[0], high[1])
        if x1 - x0 < w + 2 or y1 - y0 < h + 2:
            return None
        area = image[y0:y1, x0:x1]
        weight = np.repeat(template.mask[..., None].astype(np.float32), 3, axis=2)
        score = cv2.matchTemplate(
            area.astype(np.float32), template.patch.astype(np.float32), cv2.TM_SQDIFF, mask=weight
        )
        score = np.sqrt(np.maximum(score, 0.0) / (3.0 * float(template.mask.sum())))
        changed = np.zeros(area.shape[:2], np.float32)
        for d in detections:
            _fill(changed, d, x0, y0)
        share = cv2.matchTemplate(changed, template.mask.astype(np.float32), cv2.TM_CCORR) / float(template.mask.sum())
        score[share < 0.5] = 1e3
        row, col = np.unravel_index(int(np.argmin(score)), score.shape)
        if score[row, col] > _TEMPLATE_ERROR:
            return None
        dx, dy = _vertex(score, row, col)
        centre = (x0 + col + dx + template.offset[0], y0 + row + dy + template.offset[1])
        top, left = y0 + int(row), x0 + int(col)
        crop = image[top : top + h, left : left + w]
        previous = trail.last
        return Detection(
            left, top, template.mask, centre, template.area, crop[template.mask].mean(axis=0), previous.contrast,
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


def _fill(target: np.ndarray, detection: Detection, x0: int, y0: int) -> None:
    """Set ``target`` (a crop starting at x0, y0) to one under the detection's mask."""
    h, w = detection.mask.shape
    left, top = detection.x0 - x0, detection.y0 - y0
    a, b = max(0, left), min(target.shape[1], left + w)
    c, d = max(0, top), min(target.shape[0], top + h)
    if a < b and c < d:
        target[c:d, a:b][detection.mask[c - top : d - top, a - left : b - left]] = 1.0


def _mask_in_frame(detection: Detection, to_frame: np.ndarray) -> tuple[int, int, np.ndarray]:
    """The mask moved from canvas to frame pixels: corner column and row, and the crop."""
    h, w = detection.mask.shape
    linear, shift = to_frame[:, :2], to_frame[:, 2]
    if np.abs(linear - np.eye(2)).max() < 2e-3:
        place = camera.apply(to_frame, np.array([detection.x0, detection.y0], float))
        return round(place[0]), round(place[1]), detection.mask
    import cv2

    corners = np.array([[0, 0], [w, 0], [0, h], [w, h]], float) + [detection.x0, detection.y0]
    mapped = camera.apply(to_frame, corners)
    x0, y0 = np.floor(mapped.min(0)).astype(int)
    x1, y1 = np.ceil(mapped.max(0)).astype(int)
    # Pixel centres sit at +0.5 in continuous coordinates and at 0 in OpenCV's.
    offset = linear @ (np.array([detection.x0, detection.y0]) + 0.5) + shift - 0.5 - [x0, y0]
    warp = np.hstack([linear, offset[:, None]])
    moved = cv2.warpAffine(detection.mask.astype(np.uint8), warp, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_NEAREST)
    return int(x0), int(y0), moved > 0

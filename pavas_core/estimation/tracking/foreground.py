"""What differs from the static background: temporal medians, shadow and light change, components."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pavas_core.estimation.tracking.median import median_of, strips, with_neutral_holes

_SAMPLES = 21
_SHORT_STEP_S = 0.125
_SHORT_SAMPLES = 7
_MAX_REGIONS = 20
_MAX_PARTS = 8
_MIN_AREA = 3
_PLATE_STEP_S = 0.4
_LIGHT_AREA = 200
_LIGHT_SHARPNESS = 0.22
_HIDES = 0.3
"""Share of the texture behind a region that is gone where a thing covers it and not light changes it."""
_TEXTURE = 0.012
"""Least standard deviation of fine texture, relative to its brightness, that stands out from noise."""
_TEXTURE_FLOOR = 24.0
_TEXTURE_PIXELS = 40
_LIT = 0.55
"""Correlation of the texture now and before that no other thing has."""
_LIT_PIXELS = 4000
_LIT_TEXTURE = 0.004
_LIGHT_STEP = 9.0
"""Per cent by which the ratio to the background may change from one pixel to the next in mere light."""
_SOLID_AREA = 60
_DISC_ROUNDNESS = 0.975
_DISC_ASPECT = 1.4
_PART_GRADIENTS = (18, 40)
_PART_ROUNDNESS = 0.9
_PART_ASPECT = 1.45


@dataclass(frozen=True)
class Canvas:
    """Consecutive frames laid over each other in the pixels of one reference frame."""

    images: list[np.ndarray]
    """uint8 [H, W, 3] each, slightly smoothed."""
    valid: list[np.ndarray | None]
    """bool-like uint8 [H, W] (255 inside the picture); None = everywhere."""
    frame_rate: float
    moving: bool
    """The camera moved, so the registration is good to a fraction of a pixel only."""


@dataclass(frozen=True)
class Background:
    """The static scene behind a canvas."""

    image: np.ndarray
    threshold: np.ndarray
    """uint8 [H, W]: the difference that noise, shimmer or misregistration may reach."""
    known: np.ndarray | None
    noise: float


@dataclass(frozen=True)
class Detection:
    """One connected region that differs from the background, in canvas pixels."""

    x0: int
    y0: int
    mask: np.ndarray
    """bool [h, w] crop."""
    centroid: tuple[float, float]
    """Contrast-weighted, continuous coordinates (a pixel's centre is at +0.5)."""
    area: float
    """Square pixels, a blurred or half covered pixel counting by its share."""
    colour: np.ndarray
    """float [3] mean colour inside."""
    contrast: float
    fast: float
    """Share of the region that also differs from the last and next half second."""
    shadow: float
    """Share of the region that looks like a mere darkening of the background."""
    border: bool
    roundness: float
    """1 for a filled disc or a filled streak with round ends, less for ragged shapes."""
    aspect: float
    lit: bool = False
    """The texture of the background is seen unchanged in it: the light has changed."""
    parent: int = -1
    """Index of the larger region this one is the fast part of, or -1."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 edges in canvas pixels."""
        height, width = self.mask.shape
        return float(self.x0), float(self.y0), float(self.x0 + width), float(self.y0 + height)


def long_background(canvas: Canvas, check: Callable[[], None] = lambda: None) -> Background:
    """Temporal median over the whole canvas, with the spread that each pixel shows around it.

    ``check`` is called several times a second and may raise to end the work.
    """
    import cv2

    count = len(canvas.images)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _SAMPLES)).round().astype(int))
    images = with_neutral_holes([canvas.images[i] for i in chosen], [canvas.valid[i] for i in chosen])
    image = _clean_plate(canvas, median_of(images), check)
    # Light that drifts over the whole picture is taken out of every frame later on: it is no shimmer of a pixel.
    lit = [_match_light(one, image, canvas.valid[i], backwards=True) for one, i in zip(images, chosen, strict=True)]
    spread = median_of([_difference(one, image) for one in lit])
    known = None
    if canvas.moving:
        seen = np.zeros(image.shape[:2], np.uint16)  # a window holds more frames than uint8 counts
        for inside in canvas.valid:
            seen += 1 if inside is None else inside > 0
        known = seen >= max(3, min(5, count))
    noise = _noise(canvas)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    gradient = cv2.morphologyEx(gray, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    # A shift by d pixels changes a pixel by about d times half its 3x3 range.
    slack = 0.30 if canvas.moving else 0.10
    threshold = 8.0 + 4.0 * noise + 2.5 * np.minimum(spread, 12) + slack * gradient
    return Background(image, np.clip(threshold, 0, 120).astype(np.uint8), known, noise)


def _clean_plate(canvas: Canvas, image: np.ndarray, check: Callable[[], None]) -> np.ndarray:
    """The median freed of what rested in it for most of the time but came or went.

    Where the picture once stood still and looked otherwise, one of the two states shows a thing and the other what is
    behind it. The thing brings edges along its outline, so the state with the weaker edges is the background.
    """
    import cv2

    count = len(canvas.images)
    step = max(2, round(_PLATE_STEP_S * canvas.frame_rate))
    plate = image.copy()
    ring = np.ones((3, 3), np.uint8)
    level = 14 + 3 * _noise(canvas)
    for index in sorted({*range(0, count, step), count - 1}):
        check()
        then = _match_light(short_background(canvas, index), plate, None, backwards=True)
        other = (_difference(then, plate) > level).astype(np.uint8)
        if canvas.moving:
            for i in (max(0, index - 1), index, min(count - 1, index + 1)):
                inside = canvas.valid[i]
                if inside is not None:
                    other = np.asarray(cv2.copyTo(other, cv2.erode(inside, np.ones((9, 9), np.uint8))), np.uint8)
        other = np.asarray(cv2.morphologyEx(other, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), np.uint8)
        regions, labels, stats, _ = cv2.connectedComponentsWithStats(other, connectivity=8)
        for i in range(1, regions):
            x, y, w, h, area = (int(v) for v in stats[i])
            if area < 8:
                continue
            rows = slice(max(0, y - 3), y + h + 3)
            cols = slice(max(0, x - 3), x + w + 3)
            mask = (labels[rows, cols] == i).astype(np.uint8)
            outline = cv2.dilate(mask, ring) != cv2.erode(mask, ring, borderType=cv2.BORDER_CONSTANT, borderValue=1)
            if not outline.any():
                continue
            edge_then = cv2.morphologyEx(then[rows, cols], cv2.MORPH_GRADIENT, ring)[outline].max(axis=1)
            edge_plate = cv2.morphologyEx(plate[rows, cols], cv2.MORPH_GRADIENT, ring)[outline].max(axis=1)
            if float(edge_then.mean()) < 0.8 * float(edge_plate.mean()):
                wide = cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0
                plate[rows, cols][wide] = then[rows, cols][wide]
    return plate


def _noise(canvas: Canvas) -> float:
    """Standard deviation of what still pixels do from frame to frame, in grey levels."""
    count = len(canvas.images)
    if count < 2:
        return 2.0
    values = []
    for i in np.unique(np.linspace(0, count - 2, min(count - 1, 9)).round().astype(int)):
        a, b = canvas.images[i][2::5, 2::5, 1].astype(np.int16), canvas.images[i + 1][2::5, 2::5, 1].astype(np.int16)
        d = np.abs(a - b)
        if canvas.valid[i] is not None:
            d = d[canvas.valid[i][2::5, 2::5] > 0]
        values.append(np.percentile(d, 68) if d.size else 0.0)
    return float(np.median(values)) / np.sqrt(2.0)


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Largest channel difference, uint8 [H, W]."""
    import cv2

    out = np.empty(a.shape[:2], np.uint8)
    for rows in strips(out):
        red, green, blue = cv2.split(cv2.absdiff(a[rows], b[rows]))
        cv2.max(cv2.max(red, green), blue, out[rows])
    return out


def short_background(canvas: Canvas, index: int) -> np.ndarray:
    """Median of seven frames around ``index``: what has stood still for about half a second."""
    count = len(canvas.images)
    step = max(1, round(_SHORT_STEP_S * canvas.frame_rate))
    step = max(1, min(step, (count - 1) // (_SHORT_SAMPLES - 1)))
    first = min(max(0, index - 3 * step), max(0, count - 1 - 6 * step))
    chosen = [min(count - 1, first + k * step) for k in range(_SHORT_SAMPLES)]
    return median_of([canvas.images[i] for i in chosen], [canvas.valid[i] for i in chosen])


def frame_change(canvas: Canvas, index: int, background: Background) -> np.ndarray:
    """uint8 [H, W], non-zero where a frame differs from the one before by more than noise."""
    import cv2

    difference = _difference(canvas.images[index], canvas.images[index - 1])
    return cv2.subtract(difference, background.threshold)


def _match_light(
    image: np.ndarray, reference: np.ndarray, inside: np.ndarray | None, backwards: bool = False
) -> np.ndarray:
    """``reference`` with each channel scaled to the light of ``image`` (flicker, exposure); or the other way round."""
    import cv2

    keep = None if inside is None else inside[4::8, 4::8] > 0
    gain = np.ones(4)
    for channel, (a, b) in enumerate(zip(_planes(image[4::8, 4::8]), _planes(reference[4::8, 4::8]), strict=True)):
        bright = (b > 24) & (b < 245) & (a < 250)
        if keep is not None:
            bright &= keep
        if backwards:
            bright &= a > 0  # black can be made no brighter, and may be what fills a hole
        if np.count_nonzero(bright) > 50:
            gain[channel] = _median(a[bright] / b[bright])
    if np.abs(gain[:3] - 1.0).max() < 0.008:
        return image if backwards else reference
    if backwards:
        return np.asarray(cv2.multiply(image, 1.0 / gain))
    return np.asarray(cv2.multiply(reference, gain))


def find_regions(canvas: Canvas, index: int, background: Background, recent: np.ndarray) -> list[Detection]:
    """Regions of one frame that differ from the background, then the fast parts of the large ones.

    ``recent`` is ``short_background`` near this frame. Order: whole regions first, by area.
    """
    import cv2

    image, inside = canvas.images[index], canvas.valid[index]
    still = _match_light(image, background.image, inside)
    difference = _difference(image, still)
    excess = cv2.subtract(difference, background.threshold)
    recent_difference = _difference(image, _match_light(image, recent, inside))
    recent_excess = cv2.subtract(recent_difference, background.threshold)
    # A thing that has just left leaves a ghost in the short median but matches the long one.
    half = cv2.subtract(difference, cv2.convertScaleAbs(background.threshold, alpha=0.5))
    recent_excess = cv2.copyTo(recent_excess, half)
    if inside is not None:
        edge = cv2.erode(inside, np.ones((7, 7), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=255)
        excess, recent_excess = cv2.copyTo(excess, edge), cv2.copyTo(recent_excess, edge)
    if background.known is not None:
        known = background.known.view(np.uint8)
        excess, recent_excess = cv2.copyTo(excess, known), cv2.copyTo(recent_excess, known)
    fast = recent_excess > 0
    found = _regions(image, still, difference, excess, fast, background, inside, _MAX_REGIONS)
    owner = np.full(difference.shape, -1, np.int16)
    for i, d in enumerate(found):
        h, w = d.mask.shape
        owner[d.y0 : d.y0 + h, d.x0 : d.x0 + w][d.mask] = i
    parts = _regions(image, still, recent_difference, recent_excess, fast, background, inside, _MAX_PARTS, found, owner)
    large = [d for d in found if d.fast * d.area > 60 and (d.roundness < _PART_ROUNDNESS or d.aspect > 2.0)]
    return found + parts + _round_parts(image, recent_difference, fast, inside, large, owner)


def _round_parts(
    image: np.ndarray,
    difference: np.ndarray,
    fast: np.ndarray,
    inside: np.ndarray | None,
    within: list[Detection],
    owner: np.ndarray,
) -> list[Detection]:
    """Round patches of even colour inside large fast regions: a ball in front of, or touching, a body.

    Strong edges cut the region up; what is left is kept where it is nearly a disc.
    """
    import cv2

    out: list[Detection] = []
    for region in within:
        h, w = region.mask.shape
        moving = region.mask & fast[region.y0 : region.y0 + h, region.x0 : region.x0 + w]
        area = int(region.area)
        crop = image[region.y0 : region.y0 + h, region.x0 : region.x0 + w]
        red, green, blue = cv2.split(cv2.morphologyEx(crop, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
        gradient = cv2.max(cv2.max(red, green), blue)
        # What moves, with room for the edges of its patches, is often much less than the region.
        x, y, w, h = cv2.boundingRect(moving.view(np.uint8))
        x0, y0 = max(0, x - 1), max(0, y - 1)
        box = slice(y0, y + h + 1), slice(x0, x + w + 1)
        moving, gradient, crop = moving[box], gradient[box], crop[box]
        x0, y0 = region.x0 + x0, region.y0 + y0
        places: list[tuple[float, float, float]] = []
        for level in _PART_GRADIENTS:
            calm = (moving & (gradient < level)).view(np.uint8)
            count, labels, stats, _ = cv2.connectedComponentsWithStats(calm, connectivity=4)
            wide, tall, sizes = (stats[:, k] for k in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
            fit = (sizes >= 16) & (sizes < 0.55 * area) & (sizes >= 0.6 * wide * tall)
            fit &= np.maximum(wide, tall) <= 1.6 * np.minimum(wide, tall)
            for i in range(1, count):
                if not fit[i]:
                    continue
                x, y, pw, ph = (int(v) for v in stats[i, :4])
                # The edge itself belongs half to the patch: give back the pixel it took.
                top, left = max(0, y - 1), max(0, x - 1)
                patch = (labels[top : y + ph + 1, left : x + pw + 1] == i).astype(np.uint8)
                patch = cv2.dilate(patch, np.ones((3, 3), np.uint8)) > 0
                part = measure(
                    crop[top : y + ph + 1, left : x + pw + 1], difference, fast, x0 + left, y0 + top,
                    patch, 0.0, inside, image.shape[:2], False, -1,
                )  # fmt: skip
                if part.roundness < _PART_ROUNDNESS or part.aspect > _PART_ASPECT:
                    continue
                cx, cy = part.centroid
                if any(math.hypot(cx - a, cy - b) < 0.3 * math.sqrt(c) for a, b, c in places):
                    continue
                places.append((cx, cy, part.area))
                x, y = int(cx), int(cy)
                out.append(replace(part, parent=int(owner[min(y, owner.shape[0] - 1), min(x, owner.shape[1] - 1)])))
    return sorted(out, key=lambda d: -d.area)[:_MAX_PARTS]


def _regions(
    image: np.ndarray,
    still: np.ndarray,
    difference: np.ndarray,
    excess: np.ndarray,
    fast: np.ndarray,
    background: Background,
    inside: np.ndarray | None,
    most: int,
    wholes: list[Detection] | None = None,
    owner: np.ndarray | None = None,
) -> list[Detection]:
    """Connected regions, the largest first; given ``wholes``, only those that are but a part of one of these."""
    import cv2

    mask = (excess > 0).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), np.uint8)
    left, top, right, bottom = box_of(mask)
    if left == right:
        return []
    labels, stats = _connected(mask[top:bottom, left:right])
    by_area = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:most]
    out: list[Detection] = []
    for i in by_area[stats[by_area, cv2.CC_STAT_AREA] >= _MIN_AREA]:
        x, y, w, h, area = (int(v) for v in stats[i])
        region = _filled(labels[y : y + h, x : x + w] == i)
        x, y = x + left, y + top
        peak = int(cv2.minMaxLoc(excess[y : y + h, x : x + w], region.view(np.uint8))[1])
        if area < 12 and peak < 8 + 2 * background.noise:
            continue
        if area >= 12 and peak < 4:
            continue
        parent = -1
        if wholes is not None and owner is not None:
            below = owner[y : y + h, x : x + w][region]
            below = below[below >= 0]
            parent = int(np.bincount(below).argmax()) if below.size else -1
            if area < 6 or (parent >= 0 and area >= 0.6 * wholes[parent].area):
                continue
        if area > _LIGHT_AREA and _is_light(image, still, difference, x, y, region):
            solid = _without_light(image, still, x, y, region)
        else:
            solid = [(x, y, region)]
        out += [_describe(image, still, difference, fast, *one, inside, parent) for one in solid]
    return out


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is set (uint8 [H, W]), from even pixels on: OpenCV numbers connected regions
    by pairs of rows and columns, so within the box as in the whole picture.
    """
    import cv2

    left, top, width, height = cv2.boundingRect(mask)
    return left - left % 2, top - top % 2, left + width, top + height


def _filled(region: np.ndarray) -> np.ndarray:
    """A round outline with its holes closed: patches that have the colour of what is behind them."""
    import cv2

    solid = region.view(np.uint8)
    area = cv2.countNonZero(solid)
    if area == solid.size or min(solid.shape) < 4:
        return region
    outlines, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    whole = np.asarray(cv2.drawContours(np.zeros(solid.shape, np.uint8), outlines, -1, 1, cv2.FILLED), np.uint8)
    return whole.view(bool) if area < cv2.countNonZero(whole) and _is_disc(whole) else region


def _without_light(
    image: np.ndarray, still: np.ndarray, x: int, y: int, region: np.ndarray
) -> list[tuple[int, int, np.ndarray]]:
    """What stands in a change of light: corner and mask of the parts that sharp edges set off from it.

    Light changes the ratio to the background smoothly, so its pixels hang together without a step between them.
    """
    import cv2

    h, w = region.shape
    now, behind = (p[y : y + h, x : x + w].astype(np.float32) for p in (image, still))
    a, b = now.sum(axis=2) + 24.0, behind.sum(axis=2) + 24.0
    coloured = np.abs(now - (a / b)[..., None] * behind).max(axis=2) > 14.0 + 0.06 * behind.max(axis=2)
    ratio = cv2.blur(100.0 * a / b, (3, 3))
    step = cv2.morphologyEx(ratio, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    smooth = (region & (step < _LIGHT_STEP) & ~coloured).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(smooth, connectivity=4)
    if count < 2:
        return []
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    light = cv2.dilate((labels == largest).astype(np.uint8), np.ones((3, 3), np.uint8))
    solid = (region & (light == 0)).astype(np.uint8)
    solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    out = []
    for i in range(1, count):
        left, top, wide, tall, area = (int(v) for v in stats[i])
        part = labels[top : top + tall, left : left + wide] == i
        tinted = float(coloured[top : top + tall, left : left + wide][part].mean())
        if area >= _SOLID_AREA * (1.0 if tinted > 0.3 else 8.0):
            out.append((x + left, y + top, part))
    return sorted(out, key=lambda part: -part[2].sum())[:_MAX_PARTS]


def _describe(
    image: np.ndarray,
    still: np.ndarray,
    difference: np.ndarray,
    fast: np.ndarray,
    x: int,
    y: int,
    region: np.ndarray,
    inside: np.ndarray | None,
    parent: int,
) -> Detection:
    """Measure one region; its attached shadow is cut off first."""
    import cv2

    h, w = region.shape
    area = np.count_nonzero(region)
    crop, behind = image[y : y + h, x : x + w], still[y : y + h, x : x + w]
    thin = 2 if region.size > 3000 else 1
    shade = _shadow(crop[::thin, ::thin], behind[::thin, ::thin])
    if thin > 1:
        shade = shade.repeat(thin, axis=0)[:h].repeat(thin, axis=1)[:, :w]
    # A line as thin as a string is no shadow, nor is the dark edge of a thing.
    shade &= region
    if cv2.countNonZero(shade.view(np.uint8)) and _hidden(image, still, x, y, shade) > _HIDES:
        shade[:] = False
    shadow = float(np.count_nonzero(shade) / area)
    if 0.0 < shadow < 0.85 and area > 30 and not _is_disc(region):
        core = cv2.morphologyEx((region & ~shade).view(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        if _connected(core)[1][1:, cv2.CC_STAT_AREA].max(initial=0) >= 0.2 * area:
            body = cv2.morphologyEx(core, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
            region = region & (body > 0)
            left, top, w, h = cv2.boundingRect(region.view(np.uint8))
            region = region[top : top + h, left : left + w]
            x, y = x + left, y + top
            crop = image[y : y + h, x : x + w]
            shadow = 0.0
    lit = _is_lit(image, still, difference, x, y, region)
    return measure(crop, difference, fast, x, y, region, shadow, inside, image.shape[:2], lit, parent)


def _connected(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels [h, w] of the connected regions of a mask (uint8 [h, w]) and OpenCV's statistics of each, int [N, 5].

    The same as by the default algorithm, in less than half the time; 16 bits hold a label for every two by two pixels.
    """
    import cv2

    height, width = mask.shape
    kind = cv2.CV_16U if (height + 1) * (width + 1) < 4 * 2**16 else cv2.CV_32S
    return cv2.connectedComponentsWithStatsWithAlgorithm(mask, 8, kind, cv2.CCL_GRANA)[1:3]


def measure(
    crop: np.ndarray,
    difference: np.ndarray,
    fast: np.ndarray,
    x: int,
    y: int,
    region: np.ndarray,
    shadow: float,
    inside: np.ndarray | None,
    shape: tuple[int, int],
    lit: bool,
    parent: int,
) -> Detection:
    """The numbers of one region whose crop starts at ``x, y``."""
    import cv2

    h, w = region.shape
    solid = region.view(np.uint8)
    place = cv2.findNonZero(solid).reshape(-1, 2)
    cols, rows = place[:, 0] + 0.5, place[:, 1] + 0.5
    area = len(place)
    values = difference[y : y + h, x : x + w][region].astype(np.float32)
    # Contrast over its own upper level approximates coverage: motion blur counts with its true share.
    rank = int(0.75 * (area - 1))
    full = max(1.0, float(np.partition(values, rank)[rank]))
    weight = np.minimum(values / full, 1.0)
    total = float(weight.sum())
    cx = float((weight * cols).sum() / total) + x
    cy = float((weight * rows).sum() / total) + y
    colour = np.array(cv2.sumElems(cv2.copyTo(crop, solid))[:3]) / area
    moving = float(np.count_nonzero(fast[y : y + h, x : x + w] & region) / area)
    border = x <= 1 or y <= 1 or x + w >= shape[1] - 1 or y + h >= shape[0] - 1
    if inside is not None and not border:
        border = _touches(solid, inside, x, y)
    # Second moments give the ellipse of the same inertia; its area against the region's own tells a disc.
    roundness, aspect = _shape(cols + x - cx, rows + y - cy)
    return Detection(
        x, y, region, (cx, cy), total, colour, full, moving, shadow, border, roundness, aspect, lit, parent
    )  # fmt: skip


def _shape(dx: np.ndarray, dy: np.ndarray) -> tuple[float, float]:
    """Roundness and aspect of the pixels at these offsets from their centre."""
    count = len(dx)
    sxx, syy, sxy = (float((a * b).sum()) / count for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    return _ellipse(count, sxx, syy, sxy)


def _ellipse(count: float, sxx: float, syy: float, sxy: float) -> tuple[float, float]:
    """Roundness and aspect of so many pixels whose centres have these second moments."""
    sxx, syy = sxx + 1 / 12, syy + 1 / 12
    half, radius = (sxx + syy) / 2, float(np.hypot((sxx - syy) / 2, sxy))
    major, minor = math.sqrt(half + radius), math.sqrt(max(half - radius, 1e-3))
    return min(1.0, count / (4.0 * math.pi * major * minor)), major / minor


def _is_disc(region: np.ndarray) -> bool:
    """Whether a region is one round thing, whose dark side is no shadow: a thing and its shadow are no disc."""
    import cv2

    of = cv2.moments(region.view(np.uint8), binaryImage=True)
    count = of["m00"]
    roundness, aspect = _ellipse(count, of["mu20"] / count, of["mu02"] / count, of["mu11"] / count)
    return roundness > _DISC_ROUNDNESS and aspect < _DISC_ASPECT


def _touches(solid: np.ndarray, inside: np.ndarray, x: int, y: int) -> bool:
    """Whether a region (uint8 [h, w]) reaches the seven-pixel seam along the border of a warped picture."""
    import cv2

    h, w = solid.shape
    top, left = max(0, y - 5), max(0, x - 5)
    around = inside[top : y + h + 5, left : x + w + 5]
    if cv2.countNonZero(around) == around.size:
        return False
    near = cv2.dilate(solid, np.ones((3, 3), np.uint8))
    seam = cv2.erode(around, np.ones((9, 9), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=255)
    return bool((near > seam[y - top : y - top + h, x - left : x - left + w]).any())


def _is_light(image: np.ndarray, still: np.ndarray, difference: np.ndarray, x: int, y: int, region: np.ndarray) -> bool:
    """Whether a region is a soft-edged change of light: brighter or darker, of the background's own colour."""
    import cv2

    h, w = region.shape
    place = cv2.findNonZero(region.view(np.uint8)).reshape(-1, 2)[::3]
    at = (place[:, 1] + y) * image.shape[1] + place[:, 0] + x
    now, behind = (_planes(p.reshape(-1, 3).take(at, axis=0)) for p in (image, still))
    ratio = (now[0] + now[1] + now[2] + 1.0) / (behind[0] + behind[1] + behind[2] + 1.0)
    off = np.abs(now - ratio * behind).max(axis=0)
    like = np.count_nonzero(off < 6.0 + 0.06 * behind.max(axis=0)) / len(off)
    if like < 0.8 or not 0.4 < _median(ratio) < 2.2:
        return False
    if _hidden(image, still, x, y, region) > _HIDES:
        return False
    crop = difference[y : y + h, x : x + w]
    steep = cv2.morphologyEx(crop, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    mask = region.view(np.uint8)
    outline = mask != cv2.erode(mask, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    full = float(np.percentile(crop[region], 75))
    return float(np.percentile(steep[outline], 60)) < _LIGHT_SHARPNESS * full + 2.0


def _hidden(image: np.ndarray, still: np.ndarray, x: int, y: int, region: np.ndarray) -> float:
    """Share of the background's fine texture that a region hides: none under mere light, all behind a solid thing.

    Zero where there is hardly any texture to tell by.
    """
    import cv2

    solid = region.view(np.uint8)
    if cv2.countNonZero(solid) < _TEXTURE_PIXELS:
        return 0.0
    # Outlines are no texture of either.
    inner = cv2.erode(solid, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    if cv2.countNonZero(inner) < _TEXTURE_PIXELS:
        return 0.0
    now, behind = _texture(image, still, x, y, inner > 0)
    detail = float(behind @ behind)
    return 0.0 if detail < _TEXTURE**2 * len(behind) else 1.0 - float(now @ behind) / detail


def _is_lit(image: np.ndarray, still: np.ndarray, difference: np.ndarray, x: int, y: int, region: np.ndarray) -> bool:
    """Whether a small region shows the very texture of the background: it is but brighter or darker than before."""
    import cv2

    if not _TEXTURE_PIXELS <= np.count_nonzero(region) <= _LIT_PIXELS:
        return False
    now, behind = _texture(image, still, x, y, region)
    if not _is_alike(now, behind):
        return False
    # Around a thing its outline holds a rim of bare background, then one of both; its own edges are no texture.
    h, w = region.shape
    values = difference[y : y + h, x : x + w]
    changed = region & (values >= 0.5 * np.percentile(values[region], 75))
    inside = changed
    for _ in range(2):
        inner = cv2.erode(
            inside.view(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        inside = inside if cv2.countNonZero(inner) < _TEXTURE_PIXELS else inner > 0
    enough = np.count_nonzero(inside) >= _TEXTURE_PIXELS
    return bool(enough) and _is_alike(*_texture(image, still, x, y, inside, inside))


def _is_alike(now: np.ndarray, behind: np.ndarray) -> bool:
    """Whether two fine textures [N] are one and the same."""
    detail, shown = float(behind @ behind), float(now @ now)
    return bool(detail > _LIT_TEXTURE**2 * len(behind) and float(now @ behind) > _LIT * np.sqrt(detail * shown))


def _texture(
    image: np.ndarray, still: np.ndarray, x: int, y: int, region: np.ndarray, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fine texture of a region in the frame and in the background, relative to the brightness around it there.

    Around it are the pixels ``among``, all without it.
    """
    import cv2

    h, w = region.shape
    weight = np.ones((h, w), np.float32) if among is None else among.astype(np.float32)
    near = cv2.blur(weight, (7, 7))[region]
    crops = (p[y : y + h, x : x + w].astype(np.float32) for p in (image, still))
    logs = (np.log(cv2.transform(crop, np.ones((1, 3))) + _TEXTURE_FLOOR) for crop in crops)
    now, behind = (p[region] - cv2.blur(p * weight, (7, 7))[region] / near for p in logs)
    return now, behind


def _shadow(crop: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Pixels that are the background darkened evenly in all channels (a cast shadow)."""
    a, b = _planes(crop), _planes(behind)
    lit = b[0] + b[1] + b[2]
    ratio = (a[0] + a[1] + a[2] + 1.0) / (lit + 1.0)
    shade = (ratio > 0.45) & (ratio < 0.97) & (lit > 90)
    if not shade.any():
        return shade
    off = np.abs(a - ratio * b).max(axis=0)
    return np.asarray(shade & (off < 5.0 + 0.04 * b.max(axis=0)))


def _planes(pixels: np.ndarray) -> np.ndarray:
    """float32 [3, ...] of uint8 [..., 3]: numpy is slow along so short a last axis."""
    return pixels.transpose(-1, *range(pixels.ndim - 1)).astype(np.float32, order="C")


def _median(values: np.ndarray) -> float:
    """Median of numbers without a NaN, in less time than numpy's own."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    middle = np.partition(values, (low, high) if low < high else low)
    return float((middle[low] + middle[high]) / 2)

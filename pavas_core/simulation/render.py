"""Painting a played scene: anti-aliased textured sprites, shadows, motion blur, light, noise; and its masks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from pavas_core.simulation.backdrop import margins, paint_backdrop
from pavas_core.simulation.distractors import Distractor, make_distractors
from pavas_core.simulation.filming import Filming
from pavas_core.simulation.quiet_scenes import standing
from pavas_core.simulation.scenes import Motion, Played
from pavas_core.simulation.stage import Fixture, Limb, Look
from pavas_core.simulation.texture import Sprite, gloss_sprite, make_sprite

_BLUR_STEP_PX = 2.5
_BLUR_STEPS = 14


def chain(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The affine map ``outer(inner(p))``, both [2, 3]."""
    joined = outer[:, :2] @ inner
    joined[:, 2] += outer[:, 2]
    return joined


class Painter:
    """Paints one scene at one picture size."""

    def __init__(self, played: Played, filming: Filming, width: int, height: int) -> None:
        stage = played.stage
        self.played, self.filming, self.width, self.height = played, filming, width, height
        self.aspect = stage.width_m / stage.height_m
        self.px_per_m = width / stage.width_m
        # picture widths to pixel centres
        self.to_px = np.array([[width, 0.0, -0.5], [0.0, height * self.aspect, -0.5]])
        self._sprites: dict[Look, Sprite] = {}
        self._gloss: dict[int, Sprite] = {}
        self._canvas: np.ndarray | None = None
        self._noise: np.ndarray | None = None
        self._distractors: tuple[Distractor, ...] | None = None
        self._occluder = self._make_occluder()

    def view(self, time_s: float) -> np.ndarray:
        """float64 [2, 3] world metres to pixels of the frame at ``time_s``."""
        to_widths = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) / self.played.stage.width_m
        return chain(self.to_px, chain(self.filming.camera.at(time_s, self.aspect), to_widths))

    def sprite(self, look: Look) -> Sprite:
        """The painted part, made once."""
        if look not in self._sprites:
            self._sprites[look] = make_sprite(look, self.px_per_m)
        return self._sprites[look]

    def masks(self, time_s: float) -> np.ndarray:
        """uint8 [actors, height, width] visible cover 0..255 of every actor; what lies in front is taken away."""
        view = self.view(time_s)
        covers = np.zeros((len(self.played.motions), self.height, self.width), np.uint8)
        for index, motion in enumerate(self.played.motions):
            drawn = self._layer(motion, [(time_s, view)], threads=False)
            if drawn is None:
                continue
            (x0, y0), layer = drawn
            alpha = layer[..., 3]
            covers[index, y0 : y0 + alpha.shape[0], x0 : x0 + alpha.shape[1]] = alpha
            covers[:index, y0 : y0 + alpha.shape[0], x0 : x0 + alpha.shape[1]][:, alpha > 127] = 0
        if self._occluder is not None:
            drawn = self._place(self.sprite(self._occluder), [view])
            if drawn is not None:
                (x0, y0), layer = drawn
                hidden = layer[..., 3] > 127
                covers[:, y0 : y0 + hidden.shape[0], x0 : x0 + hidden.shape[1]][:, hidden] = 0
        return covers

    def blurred_masks(self, time_s: float, open_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Cover of every actor blurred by its motion, uint8 [actors, height, width], and what hides it, bool likewise.

        ``open_s`` is the exposure; an actor is hidden by what lies in front of it, blurred too, and by the post.
        """
        view = self.view(time_s)
        shape = (len(self.played.motions), self.height, self.width)
        covers, hidden = np.zeros(shape, np.uint8), np.zeros(shape, bool)
        for index, motion in enumerate(self.played.motions):
            drawn = self._layer(motion, self._instants(motion, time_s, open_s), threads=False)
            if drawn is not None:
                (x0, y0), layer = drawn
                alpha = layer[..., 3]
                covers[index, y0 : y0 + alpha.shape[0], x0 : x0 + alpha.shape[1]] = alpha
                hidden[:index] |= covers[index] > 127
        if self._occluder is not None:
            drawn = self._place(self.sprite(self._occluder), [view])
            if drawn is not None:
                (x0, y0), layer = drawn
                hidden[:, y0 : y0 + layer.shape[0], x0 : x0 + layer.shape[1]] |= layer[..., 3] > 127
        return covers, hidden

    def frame(self, index: int, time_s: float, interval_s: float) -> np.ndarray:
        """uint8 [height, width, 3] of the frame whose exposure is centred on ``time_s``."""
        import cv2

        open_s = self.filming.exposure * interval_s
        picture = self._background(time_s, open_s)
        view = self.view(time_s)
        for distractor in self._get_distractors():
            for sprite, pose in distractor.parts(time_s):
                self._blend(picture, self._place(sprite, [chain(view, pose)]))
        self._shadows(picture, time_s, view)
        for motion in self.played.motions:
            self._blend(picture, self._layer(motion, self._instants(motion, time_s, open_s)))
        if self._occluder is not None:
            self._blend(picture, self._place(self.sprite(self._occluder), [view]))
        picture = self._expose(picture, time_s, view)
        if self.filming.blur * self.width > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), self.filming.blur * self.width)
        return self._add_noise(picture, index)

    def _instants(self, motion: Motion, time_s: float, open_s: float) -> list[tuple[float, np.ndarray]]:
        """Moments within the exposure, close enough to leave no gaps in the blur."""
        ends = np.array([time_s - open_s / 2, time_s + open_s / 2])
        first, last = motion.pose(ends)
        view = self.view(time_s)
        way = math.hypot(last[0] - first[0], last[1] - first[1]) * self.px_per_m
        turn = abs(last[2] - first[2]) * motion.actor.solid.reach * self.px_per_m
        count = int(min(_BLUR_STEPS, max(1, math.ceil((way + turn) / _BLUR_STEP_PX))))
        if count == 1:
            return [(time_s, view)]
        moments = time_s + open_s * ((np.arange(count) + 0.5) / count - 0.5)
        return [(float(t), self.view(float(t))) for t in moments]

    def _layer(
        self, motion: Motion, instants: list[tuple[float, np.ndarray]], threads: bool = True
    ) -> tuple[tuple[int, int], np.ndarray] | None:
        """The actor averaged over the instants, premultiplied uint8 RGBA and its top left corner."""
        placed: list[list[tuple[Sprite, np.ndarray]]] = []
        actor = motion.actor
        for time_s, view in instants:
            x, y, angle = motion.pose(time_s)
            pose = _pose(x, y, angle)
            parts: list[tuple[Sprite, np.ndarray]] = []
            for limb in actor.limbs:
                parts += [(self.sprite(look), chain(view, frame)) for look, frame in _limb_looks(limb, pose)]
            body = chain(view, pose)
            upright = chain(view, _pose(x, y, 0.0))
            parts += [(self.sprite(thread), body) for thread in actor.threads if threads]
            for look in actor.looks:
                parts.append((self.sprite(look), body))
                if not look.turns:
                    parts.append((self._get_gloss(look, actor.material), upright))
            placed.append(parts)
        return _composite(placed, self.width, self.height)

    def _place(self, sprite: Sprite, poses: list[np.ndarray]) -> tuple[tuple[int, int], np.ndarray] | None:
        return _composite([[(sprite, pose)] for pose in poses], self.width, self.height)

    def _get_gloss(self, look: Look, material: str) -> Sprite:
        if id(look) not in self._gloss:
            shine = {"steel": 0.9, "glass": 0.9, "plastic": 0.6, "ceramic": 0.7, "aluminium": 0.6}.get(material, 0.15)
            self._gloss[id(look)] = gloss_sprite(look.radius, self.px_per_m, shine)
        return self._gloss[id(look)]

    def _get_distractors(self) -> tuple[Distractor, ...]:
        if self._distractors is None:
            self._distractors = make_distractors(self.played.stage, self.filming, self.px_per_m)
        return self._distractors

    def _blend(self, picture: np.ndarray, drawn: tuple[tuple[int, int], np.ndarray] | None) -> None:
        import cv2

        if drawn is None:
            return
        (x0, y0), layer = drawn
        area = picture[y0 : y0 + layer.shape[0], x0 : x0 + layer.shape[1]]
        keep = cv2.cvtColor(255 - layer[..., 3], cv2.COLOR_GRAY2RGB)
        area[:] = cv2.add(cv2.multiply(area, keep, scale=1 / 255.0), layer[..., :3])

    def _background(self, time_s: float, open_s: float) -> np.ndarray:
        import cv2

        mx, my = margins(self.filming, self.width, self.height)
        if self._canvas is None:
            self._canvas = self._paint_canvas(mx, my)
        canvas = self._canvas
        if self.filming.camera.still:
            return canvas[my : my + self.height, mx : mx + self.width].copy()
        origin = np.array([[1.0, 0.0, -mx], [0.0, 1.0, -my]])
        still = self._still_view()

        def warped(t: float) -> np.ndarray:
            move = chain(self.view(t), _inverse(still))
            return cv2.warpAffine(
                canvas,
                chain(move, origin),
                (self.width, self.height),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT,
            )

        way = np.abs(self.view(time_s + open_s / 2) - self.view(time_s - open_s / 2))[:, 2].max()
        count = int(min(8, max(1, math.ceil(way / 1.5))))
        if count == 1:
            return warped(time_s)
        total = np.zeros((self.height, self.width, 3), np.float32)
        for part in range(count):
            cv2.accumulate(warped(time_s + open_s * ((part + 0.5) / count - 0.5)), total)
        return cv2.convertScaleAbs(total, alpha=1.0 / count)

    def _still_view(self) -> np.ndarray:
        return chain(self.to_px, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]) / self.played.stage.width_m)

    def _paint_canvas(self, mx: int, my: int) -> np.ndarray:
        stage, filming = self.played.stage, self.filming
        canvas = paint_backdrop(stage, filming, self.width, self.height, mx, my)
        rng = np.random.default_rng([filming.seed, 11])
        shifted = chain(np.array([[1.0, 0.0, mx], [0.0, 1.0, my]]), self._still_view())
        fixtures = [standing(rng, stage) for _ in range(filming.bystanders)] + stage.fixtures
        for fixture in fixtures:
            self._standing_shadow(canvas, fixture, shifted)
            for look in fixture.looks:
                drawn = _composite([[(make_sprite(look, self.px_per_m), shifted)]], canvas.shape[1], canvas.shape[0])
                self._blend(canvas, drawn)
        return canvas

    def _standing_shadow(self, canvas: np.ndarray, fixture: Fixture, view: np.ndarray) -> None:
        """Darken the floor round the foot of a thing that stands on it."""
        floor = self.played.stage.floor_y
        corners = [v for look in fixture.looks for v in look.vertices]
        if floor is None or not corners or max(v for _, v in corners) < floor - 0.05 * self.played.stage.height_m:
            return
        left, right = min(u for u, _ in corners), max(u for u, _ in corners)
        half = 0.62 * (right - left) + 0.01 * self.played.stage.width_m
        pose = np.array([[half, 0.0, (left + right) / 2], [0.0, 0.12 * half, floor]])
        drawn = _composite([[(_soft_disc(), chain(view, pose))]], canvas.shape[1], canvas.shape[0])
        self._blend(canvas, _fade(drawn, self.filming.floor_shadow))

    def _shadows(self, picture: np.ndarray, time_s: float, view: np.ndarray) -> None:
        floor = self.played.stage.floor_y
        soft = _soft_disc()
        for motion in self.played.motions:
            x, y, angle = motion.pose(time_s)
            solid = motion.actor.solid
            size = solid.reach
            if floor is not None and self.filming.floor_shadow:
                height = max(0.0, floor - y - 0.5 * size)
                strength = self.filming.floor_shadow * math.exp(-height / (4.0 * size))
                if strength > 0.02 and y < floor + size:
                    spread = size * (1.3 + 0.5 * min(height / size, 3.0))
                    pose = np.array([[spread, 0.0, x], [0.0, 0.28 * spread, floor]])
                    self._blend(picture, _fade(self._place(soft, [chain(view, pose)]), strength))
            if self.filming.wall_shadow:
                shift = 0.03 * self.played.stage.width_m + 0.4 * size
                cos, sin = size * math.cos(angle), size * math.sin(angle)
                slim = 1.2 * (solid.radius / size if len(solid.vertices) == 2 else 1.0)
                pose = np.array([[1.25 * cos, -slim * sin, x + shift], [1.25 * sin, slim * cos, y + 0.5 * shift]])
                self._blend(picture, _fade(self._place(soft, [chain(view, pose)]), self.filming.wall_shadow))

    def _expose(self, picture: np.ndarray, time_s: float, view: np.ndarray) -> np.ndarray:
        import cv2

        light = self.filming.light
        if light.shade_strength:
            width_m = self.played.stage.width_m
            x = (light.shade_from[0] + light.shade_speed[0] * time_s) * width_m
            y = (light.shade_from[1] + light.shade_speed[1] * time_s) * width_m
            size = 2.0 * light.shade_size * width_m
            pose = np.array([[size, 0.0, x], [0.0, size, y]])
            self._blend(picture, _fade(self._place(_soft_disc(), [chain(view, pose)]), light.shade_strength))
        gain = np.array(light.tint) * light.gain(time_s)
        if np.abs(gain - 1.0).max() > 1e-3:
            levels = np.clip(np.arange(256)[:, None] * gain[None], 0, 255).astype(np.uint8)
            picture = cv2.LUT(picture, levels.reshape(256, 1, 3))
        return picture

    def _add_noise(self, picture: np.ndarray, index: int) -> np.ndarray:
        import cv2

        if self.filming.noise < 0.3:
            return picture
        spare = 61
        if self._noise is None:
            rng = np.random.default_rng([self.filming.seed, 13])
            shape = (self.height + spare, self.width + spare, 3)
            drawn = rng.standard_normal(shape, dtype=np.float32) * self.filming.noise
            self._noise = np.rint(drawn).astype(np.int16)
        x, y = (index * 37) % spare, (index * 23 + index // spare) % spare
        crop = self._noise[y : y + self.height, x : x + self.width]
        return cv2.add(picture, crop, dtype=cv2.CV_8U)

    def _make_occluder(self) -> Look | None:
        if self.filming.occluder is None:
            return None
        left, wide = (part * self.played.stage.width_m for part in self.filming.occluder)
        rng = np.random.default_rng([self.filming.seed, 17])
        tall = self.played.stage.height_m
        tone = int(rng.uniform(20, 120))
        colour = tone, int(tone * rng.uniform(0.7, 1.1)), int(tone * rng.uniform(0.6, 1.1))
        vertices = ((left, -0.3 * tall), (left + wide, -0.3 * tall), (left + wide, 1.3 * tall), (left, 1.3 * tall))
        return Look(vertices, 0.0, "grain", colour, colour, int(rng.integers(1 << 30)))


def render_frames(
    played: Played, filming: Filming, width: int, height: int, times_s: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield uint8 [height, width, 3] pictures at ``times_s``."""
    painter = Painter(played, filming, width, height)
    interval = float(times_s[1] - times_s[0]) if len(times_s) > 1 else 1 / 30
    for index, time_s in enumerate(times_s):
        yield painter.frame(index, float(time_s), interval)


def _composite(
    moments: list[list[tuple[Sprite, np.ndarray]]], width: int, height: int
) -> tuple[tuple[int, int], np.ndarray] | None:
    """Lay the parts of every moment over each other and average the moments."""
    import cv2

    corners = []
    for parts in moments:
        for sprite, pose in parts:
            matrix = chain(pose, sprite.to_body)
            h, w = sprite.pixels.shape[:2]
            edge = np.array([[0, w, 0, w], [0, 0, h, h], [1, 1, 1, 1]])
            corners.append(matrix @ edge)
    spread = np.concatenate(corners, axis=1)
    x0, y0 = max(0, math.floor(spread[0].min()) - 1), max(0, math.floor(spread[1].min()) - 1)
    x1, y1 = min(width, math.ceil(spread[0].max()) + 2), min(height, math.ceil(spread[1].max()) + 2)
    if x1 <= x0 or y1 <= y0:
        return None
    size = (x1 - x0, y1 - y0)
    total = np.zeros((size[1], size[0], 4), np.float32) if len(moments) > 1 else None
    layer = np.zeros((size[1], size[0], 4), np.uint8)
    for parts in moments:
        for number, (sprite, pose) in enumerate(parts):
            matrix = chain(pose, sprite.to_body)
            matrix[:, 2] -= (x0, y0)
            drawn = cv2.warpAffine(sprite.pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            if number == 0:
                layer = drawn
            else:
                keep = cv2.merge([255 - drawn[..., 3]] * 4)
                layer = cv2.add(cv2.multiply(layer, keep, scale=1 / 255.0), drawn)
        if total is not None:
            cv2.accumulate(layer, total)
    if total is not None:
        layer = cv2.convertScaleAbs(total, alpha=1.0 / len(moments))
    return (x0, y0), layer


def _fade(drawn: tuple[tuple[int, int], np.ndarray] | None, strength: float):
    import cv2

    return None if drawn is None else (drawn[0], cv2.convertScaleAbs(drawn[1], alpha=strength))


def _soft_disc() -> Sprite:
    """A black blob of unit radius whose cover fades out smoothly."""
    size = 64
    y, x = (np.mgrid[0:size, 0:size] - (size - 1) / 2) / (size / 2)
    cover = np.clip(1.0 - np.hypot(x, y), 0.0, 1.0)
    rgba = np.zeros((size, size, 4), np.uint8)
    rgba[..., 3] = 255 * cover * cover * (3 - 2 * cover)
    step = 2.0 / size
    return Sprite(rgba, np.array([[step, 0.0, -1.0 + step / 2], [0.0, step, -1.0 + step / 2]]))


def _pose(x: float, y: float, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y]])


def _inverse(affine: np.ndarray) -> np.ndarray:
    turn = np.linalg.inv(affine[:, :2])
    return np.concatenate([turn, -turn @ affine[:, 2:]], axis=1)


def _limb_looks(limb: Limb, pose: np.ndarray) -> list[tuple[Look, np.ndarray]]:
    """Upper and lower arm (or leg) and where they are, from the anchor by way of the joint to the grip."""
    gx, gy = pose[:, :2] @ np.array(limb.grip) + pose[:, 2]
    ax, ay = limb.anchor
    dx, dy = gx - ax, gy - ay
    far = math.hypot(dx, dy)
    upper, lower = limb.upper_m, limb.lower_m
    reach = min(far, 0.999 * (upper + lower))
    cos = (upper**2 + reach**2 - lower**2) / (2 * upper * reach) if reach > 1e-6 else 1.0
    bend = limb.bend * math.acos(min(1.0, max(-1.0, cos)))
    toward = math.atan2(dy, dx)
    jx, jy = ax + upper * math.cos(toward + bend), ay + upper * math.sin(toward + bend)
    turn = math.atan2(gy - jy, gx - jx)
    dark = tuple(int(c * 0.7) for c in limb.sleeve)
    skin_dark = tuple(int(c * 0.75) for c in limb.skin)
    thick = limb.thickness_m
    first = Look(((0.0, 0.0), (upper, 0.0)), thick * 1.2, "cloth", limb.sleeve, dark, 3)  # type: ignore[arg-type]
    second = Look(((0.0, 0.0), (lower, 0.0)), thick, "skin", limb.skin, skin_dark, 5)  # type: ignore[arg-type]
    return [(second, _pose(jx, jy, turn)), (first, _pose(ax, ay, toward + bend))]

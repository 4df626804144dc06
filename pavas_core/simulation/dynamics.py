"""Rigid bodies in the picture plane: ballistic flight between contacts, contacts at their exact time.

World axes are metres, x right, y down. Bodies fly on closed-form parabolas inside a fixed sub-step; the time of every
contact faster than MICRO_MPS is bisected inside the sub-step and resolved with restitution and Coulomb friction.
Slower contacts are resting ones and are settled once a sub-step. Driven bodies (tools, hands, feet) follow a path that
an impact slows or turns round; see ``pavas_core.simulation.driven``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pavas_core.physics.types import GRAVITY_MPS2
from pavas_core.simulation.outline import Gap, Point, convex_gap, place, plane_gap

if TYPE_CHECKING:
    from pavas_core.simulation.driven import Path

SUBSTEP_S = 1.0 / 480.0
MICRO_MPS = 0.06
"""Approach speed below which a contact is resting: three sub-steps of falling."""
_BISECTIONS = 22
_CONTACTS_PER_SUBSTEP = 16
_SLEEP_AFTER_S = 0.15
_SLEEP_MPS = 0.02


@dataclass(eq=False)
class Solid:
    """One thing with an outline: free when ``inverse_mass`` > 0, driven when it has a path, else the scenery."""

    name: str
    material: str
    vertices: tuple[Point, ...] = ((0.0, 0.0),)
    """Outline's core in the body's frame, metres, around the centre of mass."""
    radius: float = 0.0
    """Rounding added around the core, metres."""
    plane: tuple[float, float] | None = None
    """Outward normal of a half-plane (floor, wall) through (x, y); None for bodies."""
    inverse_mass: float = 0.0
    inverse_inertia: float = 0.0
    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0
    vx: float = 0.0
    vy: float = 0.0
    spin: float = 0.0
    drag_per_m: float = 0.0
    """Quadratic air drag: deceleration = drag_per_m * speed^2."""
    rolling: float = 0.01
    """Rolling resistance as a fraction of the weight."""
    release_s: float = 0.0
    """Before this time the body hangs where it is."""
    path: Path | None = None
    rigidity_kg: float = math.inf
    """Mass a driven body brings into a contact: its own and what the arm adds."""
    reach: float = field(init=False)
    asleep: bool = False
    calm_s: float = 0.0

    def __post_init__(self) -> None:
        # drawn numbers come as NumPy scalars, which are slow here and leak into the truth
        self.vertices = tuple((float(u), float(v)) for u, v in self.vertices)
        for name in ("radius", "x", "y", "angle", "vx", "vy", "spin", "release_s", "rigidity_kg"):
            setattr(self, name, float(getattr(self, name)))
        self.reach = max(math.hypot(u, v) for u, v in self.vertices) + self.radius

    @property
    def free(self) -> bool:
        return self.inverse_mass > 0.0

    def outline(self) -> list[Point]:
        return place(self.vertices, self.x, self.y, self.angle)

    def velocity_at(self, x: float, y: float) -> Point:
        return self.vx - self.spin * (y - self.y), self.vy + self.spin * (x - self.x)


@dataclass(frozen=True)
class Meeting:
    """One contact as the dynamics saw it; velocities are those of the centres of mass, m/s."""

    time_s: float
    first: Solid
    second: Solid
    normal: Point
    """From the second to the first."""
    point: Point
    first_pre: Point
    first_post: Point
    second_pre: Point
    second_post: Point
    impulse_ns: float
    approach_mps: float
    """Closing speed of the touching points along the normal."""


Restitution = Callable[[Solid, Solid], tuple[float, float]]
"""(coefficient of restitution, friction coefficient) of a pair."""
Listener = Callable[[Meeting], None]


class World:
    """All solids of one scene and the record of their motion."""

    def __init__(self, solids: Iterable[Solid], contact: Restitution, bounds: tuple[float, float, float]) -> None:
        """``bounds`` = left, right, bottom in metres: bodies far beyond are no longer followed."""
        self.solids = list(solids)
        self.contact = contact
        self.bounds = bounds
        self.time_s = 0.0
        self.meetings: list[Meeting] = []
        self.listeners: list[Listener] = []
        movers = [solid for solid in self.solids if solid.free or solid.path]
        self.movers = movers
        rest = [solid for solid in self.solids if not (solid.free or solid.path)]
        self.pairs = [(a, b) for i, a in enumerate(movers) for b in movers[i + 1 :] if a.free or b.free]
        self.pairs += [(a, b) for a in movers for b in rest]
        self.knots: dict[int, list[tuple[float, ...]]] = {id(solid): [] for solid in movers}

    def run(self, duration_s: float) -> None:
        """Simulate and record (t, x, y, angle, vx, vy, spin) at every sub-step and on both sides of every contact."""
        self._follow_paths(0.0)
        self._record()
        for step in range(math.ceil(duration_s / SUBSTEP_S)):
            self._substep((step + 1) * SUBSTEP_S)
            self._record()

    def _record(self, solids: Iterable[Solid] | None = None) -> None:
        for s in self.movers if solids is None else solids:
            if s.path or self._flies(s):
                self.knots[id(s)].append((self.time_s, s.x, s.y, s.angle, s.vx, s.vy, s.spin))
            elif s.free:
                self.knots[id(s)].append((self.time_s, s.x, s.y, s.angle, 0.0, 0.0, 0.0))

    def _substep(self, end_s: float) -> None:
        start = self.time_s
        for s in self.movers:
            if s.drag_per_m and self._flies(s):
                slow = 1.0 / (1.0 + s.drag_per_m * math.hypot(s.vx, s.vy) * (end_s - start))
                s.vx *= slow
                s.vy *= slow
        settled: set[tuple[int, int]] = set()
        for _ in range(_CONTACTS_PER_SUBSTEP):
            found = self._first_contact(end_s - self.time_s, settled)
            if found is None:
                break
            delay, first, second = found
            self._advance(delay)
            if not self._resolve(first, second):
                settled.add((id(first), id(second)))
        self._advance(end_s - self.time_s)
        self.time_s = end_s
        self._rest(end_s - start)

    def _flies(self, s: Solid) -> bool:
        return s.free and not s.asleep and s.release_s <= self.time_s + 1e-12

    def _advance(self, dt: float) -> None:
        for s in self.movers:
            if self._flies(s):
                s.x += s.vx * dt
                s.y += s.vy * dt + 0.5 * GRAVITY_MPS2 * dt * dt
                s.vy += GRAVITY_MPS2 * dt
                s.angle += s.spin * dt
        self.time_s += dt
        self._follow_paths(self.time_s)

    def _follow_paths(self, time_s: float) -> None:
        for s in self.movers:
            if s.path:
                s.x, s.y, s.angle, s.vx, s.vy, s.spin = s.path.pose(time_s)

    def _gap_after(self, first: Solid, second: Solid, dt: float) -> tuple[Gap, Point, Point]:
        """Gap and the two centres' velocities ``dt`` from now, were there no contact."""
        ax, ay, aa, avx, avy, asp = self._predict(first, dt)
        outline = place(first.vertices, ax, ay, aa)
        if second.plane:
            gap = plane_gap(outline, first.radius, second.x, second.y, *second.plane)
            bx = by = bvx = bvy = bsp = 0.0
        else:
            bx, by, ba, bvx, bvy, bsp = self._predict(second, dt)
            gap = convex_gap(outline, first.radius, place(second.vertices, bx, by, ba), second.radius)
        a = avx - asp * (gap.y - ay), avy + asp * (gap.x - ax)
        b = bvx - bsp * (gap.y - by), bvy + bsp * (gap.x - bx)
        return gap, a, b

    def _predict(self, s: Solid, dt: float) -> tuple[float, float, float, float, float, float]:
        if s.path:
            return s.path.pose(self.time_s + dt)
        if self._flies(s):
            return (
                s.x + s.vx * dt,
                s.y + s.vy * dt + 0.5 * GRAVITY_MPS2 * dt * dt,
                s.angle + s.spin * dt,
                s.vx,
                s.vy + GRAVITY_MPS2 * dt,
                s.spin,
            )
        return s.x, s.y, s.angle, 0.0, 0.0, 0.0

    def _near(self, first: Solid, second: Solid, dt: float) -> bool:
        reach = first.reach + (math.hypot(first.vx, first.vy) + GRAVITY_MPS2 * dt) * dt * 2.0 + 1e-3
        if second.plane:
            nx, ny = second.plane
            return (first.x - second.x) * nx + (first.y - second.y) * ny < reach
        reach += second.reach + (math.hypot(second.vx, second.vy) + GRAVITY_MPS2 * dt) * dt * 2.0
        dx, dy = first.x - second.x, first.y - second.y
        return dx * dx + dy * dy < reach * reach

    def _active(self, first: Solid, second: Solid) -> bool:
        return (
            bool(self._flies(first) or self._flies(second) or first.path or second.path)
            and self._inside(first)
            and (second.plane is not None or self._inside(second))
        )

    def _inside(self, s: Solid) -> bool:
        left, right, bottom = self.bounds
        return left < s.x < right and s.y < bottom

    def _first_contact(self, dt: float, settled: set[tuple[int, int]]) -> tuple[float, Solid, Solid] | None:
        best: tuple[float, Solid, Solid] | None = None
        if dt <= 0.0:
            return None
        for first, second in self.pairs:
            if (id(first), id(second)) in settled or not (
                self._active(first, second) and self._near(first, second, dt)
            ):
                continue
            # a thin fast body must not pass through within one sub-step
            travel = math.hypot(first.vx - second.vx, first.vy - second.vy) * dt
            thin = 0.5 * (first.radius + second.radius) if not second.plane else math.inf
            parts = 1 if travel <= thin or len(first.vertices) > 2 else min(8, math.ceil(travel / max(thin, 1e-3)))
            low = 0.0
            for part in range(1, parts + 1):
                high = dt * part / parts
                gap, a, b = self._gap_after(first, second, high)
                if gap.distance < 0.0:
                    closing = -((a[0] - b[0]) * gap.nx + (a[1] - b[1]) * gap.ny)
                    if closing > MICRO_MPS:
                        delay = self._bisect(first, second, low, high)
                        if best is None or delay < best[0]:
                            best = (delay, first, second)
                    break
                low = high
        return best

    def _bisect(self, first: Solid, second: Solid, low: float, high: float) -> float:
        if self._gap_after(first, second, low)[0].distance <= 0.0:
            return low
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            if self._gap_after(first, second, middle)[0].distance > 0.0:
                low = middle
            else:
                high = middle
        return low

    def _resolve(self, first: Solid, second: Solid) -> bool:
        """Resolve the touching point that closes fastest; False where none does (a resting contact)."""
        closing, gap = max(
            ((self._closing(first, second, gap), gap) for gap in self._contacts(first, second)), default=(0.0, None)
        )
        if gap is None or closing <= MICRO_MPS:
            return False
        restitution, friction = self.contact(first, second)
        # bodies stop bouncing as their speed goes to that of a resting contact
        restitution *= min(1.0, max(0.0, (closing - MICRO_MPS) / 0.15))
        pre = (first.vx, first.vy), (second.vx, second.vy)
        self._record((first, second))
        for s in (first, second):
            s.asleep, s.calm_s = False, 0.0
            if s.free:
                s.release_s = min(s.release_s, self.time_s)
        impulse = self._push(first, second, gap, restitution, friction)
        self._record((first, second))
        meeting = Meeting(
            self.time_s,
            first,
            second,
            (gap.nx, gap.ny),
            (gap.x, gap.y),
            pre[0],
            (first.vx, first.vy),
            pre[1],
            (second.vx, second.vy),
            impulse,
            closing,
        )
        self.meetings.append(meeting)
        for listener in self.listeners:
            listener(meeting)
        self._follow_paths(self.time_s)
        return True

    def _closing(self, first: Solid, second: Solid, gap: Gap) -> float:
        a, b = first.velocity_at(gap.x, gap.y), second.velocity_at(gap.x, gap.y)
        return -((a[0] - b[0]) * gap.nx + (a[1] - b[1]) * gap.ny)

    def _push(self, first: Solid, second: Solid, gap: Gap, restitution: float, friction: float) -> float:
        """Apply the normal and friction impulses of one contact; the normal impulse in newton seconds."""
        nx, ny, x, y = gap.nx, gap.ny, gap.x, gap.y
        a, b = first.velocity_at(x, y), second.velocity_at(x, y)
        closing = self._closing(first, second, gap)
        if closing <= 0.0:
            return 0.0
        give = _give(first, x, y, nx, ny) + _give(second, x, y, nx, ny)
        if give <= 0.0:
            return 0.0
        impulse = (1.0 + restitution) * closing / give
        for s, sign, at in ((first, 1.0, a), (second, -1.0, b)):
            if s.path:
                along = at[0] * nx + at[1] * ny
                if abs(along) > 1e-9 and math.isfinite(s.rigidity_kg):
                    s.path.hit(self.time_s, 1.0 + sign * impulse / s.rigidity_kg / along)
            elif s.free:
                _kick(s, sign * impulse * nx, sign * impulse * ny, x, y)
        self._follow_paths(self.time_s)
        tx, ty = -ny, nx
        a, b = first.velocity_at(x, y), second.velocity_at(x, y)
        slip = (a[0] - b[0]) * tx + (a[1] - b[1]) * ty
        give_t = (first.free and _give(first, x, y, tx, ty)) + (second.free and _give(second, x, y, tx, ty))
        if give_t > 0.0:
            rub = min(friction * impulse, max(-friction * impulse, -slip / give_t))
            for s, sign in ((first, 1.0), (second, -1.0)):
                if s.free:
                    _kick(s, sign * rub * tx, sign * rub * ty, x, y)
        return impulse

    def _rest(self, dt: float) -> None:
        """Settle slow contacts: no approach, no overlap, rolling resistance, sleep."""
        touching: set[int] = set()
        for first, second in self.pairs:
            if not (self._active(first, second) and self._near(first, second, 0.0)):
                continue
            for gap in self._contacts(first, second):
                slack = 1e-4 + 0.002 * first.reach
                if gap.distance > slack:
                    continue
                touching.add(id(first))
                touching.add(id(second))
                if first.path and not second.free:
                    continue
                if first.asleep and (not second.free or second.asleep):
                    continue
                if self._closing(first, second, gap) > 2.0 * MICRO_MPS:
                    continue
                self._push(first, second, gap, 0.0, self.contact(first, second)[1])
                if gap.distance < 0.0:
                    _separate(first, second, gap)
        for s in self.movers:
            if not s.free or s.asleep:
                continue
            if id(s) in touching:
                speed = math.hypot(s.vx, s.vy)
                if speed > 0.0 and len(s.vertices) == 1:
                    keep = max(0.0, 1.0 - s.rolling * GRAVITY_MPS2 * dt / speed)
                    s.vx, s.spin = s.vx * keep, s.spin * keep
                s.calm_s = s.calm_s + dt if speed + abs(s.spin) * s.reach < _SLEEP_MPS else 0.0
                if s.calm_s > _SLEEP_AFTER_S:
                    s.asleep = True
                    s.vx = s.vy = s.spin = 0.0
            else:
                s.calm_s = 0.0

    def _contacts(self, first: Solid, second: Solid) -> list[Gap]:
        """The touching points of a pair: every low corner on a plane, else the nearest point."""
        if second.plane and len(first.vertices) > 1:
            slack = 1e-4 + 0.002 * first.reach
            gaps = [plane_gap([p], first.radius, second.x, second.y, *second.plane) for p in first.outline()]
            return [gap for gap in gaps if gap.distance < slack]
        return [self._gap_after(first, second, 0.0)[0]]


def _give(s: Solid, x: float, y: float, nx: float, ny: float) -> float:
    """Velocity along n that a unit impulse along n at (x, y) gives that point, 1/kg."""
    if s.path:
        return 0.0 if math.isinf(s.rigidity_kg) else 1.0 / s.rigidity_kg
    arm = (x - s.x) * ny - (y - s.y) * nx
    return s.inverse_mass + arm * arm * s.inverse_inertia


def _kick(s: Solid, jx: float, jy: float, x: float, y: float) -> None:
    s.vx += jx * s.inverse_mass
    s.vy += jy * s.inverse_mass
    s.spin += ((x - s.x) * jy - (y - s.y) * jx) * s.inverse_inertia


def _separate(first: Solid, second: Solid, gap: Gap) -> None:
    total = first.inverse_mass + second.inverse_mass
    for s, sign in ((first, 1.0), (second, -1.0)):
        if s.free and not s.asleep:
            share = s.inverse_mass / total
            s.x -= sign * share * gap.distance * gap.nx
            s.y -= sign * share * gap.distance * gap.ny

"""Objects, masses and velocities become a scene; breaks of velocity become impacts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.physics.contacts import Event, approach_mps, find_events
from pavas_core.physics.types import (
    Body,
    Break,
    Contact,
    Impact,
    MassSet,
    ObjectSet,
    Scene,
    TrackSet,
    Velocity,
    VelocitySet,
)
from pavas_core.physics.validate import check_mass

Vector = tuple[float, float, float]
_STOPPED = 0.2
"""Of the speed before a contact: with less than this left a body has stopped."""
_DRIVEN = 0.9
"""Of the approach: bodies that part faster were driven on, for nothing bounces so well."""
_FASTEST_OFF = 2.0
"""Of the approach: faster than this, no hand or foot drives off what it meets."""
_DRIVEN_RESTITUTION = 0.7
"""Of contacts with what drives a body on: hands, feet, rackets."""


def combine_physics(objects: ObjectSet, tracks: TrackSet, masses: MassSet, velocities: VelocitySet) -> Scene:
    """The physics of one clip: every object with its mass and motion, and every contact.

    An impact's energy loss is max(0, sum over both bodies of m/2 (v_pre^2 - v_post^2)) (PAVAS, section 4.1), and where
    a body was driven on at least what such a contact usually takes, most of it from a hand or foot that is hardly seen.
    Its impulse is the mass (of two tracked bodies the reduced one) times the change of normal speed. Ids are the
    object's id and the impact's number, ``ball-1@3``. Raises PhysicsError for an object without mass or velocity and
    for impossible masses.
    """
    by_id = {one.object_id: one for one in velocities.velocities}
    bodies = []
    for thing in objects.objects:
        mass = masses.masses.get(thing.id)
        if mass is None:
            raise PhysicsError(f"There is no mass for {thing.id}: give one, such as {thing.name}=0.6 or *=1.")
        check_mass(mass, thing.id)
        if thing.id not in by_id:
            raise PhysicsError(f"There is no velocity for {thing.id}: measure it from tracks that hold this object.")
        material = masses.materials.get(thing.id)
        body = thing if material is None else replace(thing, material=material)
        bodies.append(Body(body, mass, by_id[thing.id]))
    known = {body.object.id: body.velocity for body in bodies}
    events = find_events(tracks, known, velocities.time_scale)
    kilograms = {body.object.id: body.mass.mass_kg for body in bodies}
    impacts, counts = [], dict[str, int]()
    for event in events:
        counts[event.object_id] = counts.get(event.object_id, 0) + 1
        impacts.append(_impact(event, counts[event.object_id], known, kilograms, tracks))
    return Scene(
        objects.duration_s,
        objects.width,
        objects.height,
        tuple(bodies),
        tuple(impacts),
        tracks,
        velocities.time_scale,
        velocities.notes,
    )


def _impact(
    event: Event, number: int, velocities: dict[str, Velocity], kilograms: dict[str, float], tracks: TrackSet
) -> Impact:
    at, mate = event.at, event.partner
    normal, before, after, impulse, loss = _exchanged(event, velocities, kilograms)
    time_s, position = at.time_s, at.position_px
    if mate is not None:
        weights = np.array([1.0 / max(one.sigma_s, 1e-4) ** 2 for one in (at, mate.at)])
        time_s = float((weights @ [at.time_s, mate.at.time_s]) / weights.sum())
        position = tuple(np.add(at.position_px, mate.at.position_px) / 2)
    return Impact(
        id=f"{event.object_id}@{number}",
        time_s=time_s,
        object_id=event.object_id,
        partner=None if mate is None else mate.object_id,
        surface="unknown",
        contact=_contact(event, velocities[event.object_id]),
        normal=(float(normal[0]), float(normal[1]), float(normal[2])),
        pre_normal_mps=before,
        post_normal_mps=after,
        pre_speed_mps=float(np.linalg.norm(at.pre_mps)),
        post_speed_mps=float(np.linalg.norm(at.post_mps)),
        impulse_ns=impulse,
        energy_loss_j=max(0.0, loss),
        position=(
            float(np.clip(position[0] / tracks.width, 0.0, 1.0)),
            float(np.clip(position[1] / tracks.height, 0.0, 1.0)),
        ),
        sigma_s=at.sigma_s,
        confidence=at.confidence,
    )


def _exchanged(
    event: Event, velocities: dict[str, Velocity], kilograms: dict[str, float]
) -> tuple[np.ndarray, float, float, float, float]:
    """Normal [3], approach and separation speed along it, impulse and energy loss of a contact."""
    at, mate = event.at, event.partner
    own = kilograms[event.object_id]
    loss = _kinetic_j(own, at.pre_mps) - _kinetic_j(own, at.post_mps)
    normal, before, after = approach_mps(at)
    driven, impulse = after > _DRIVEN * before, own * (before + after)
    if mate is None:
        return normal, before, after, impulse, max(loss, _driven_loss_j(impulse, own) if driven else 0.0)
    other = kilograms[mate.object_id]
    closing = max(0.0, -float(np.subtract(at.pre_mps, mate.at.pre_mps) @ normal))
    flies, mate_flies = (velocities[one.object_id].free for one in (event, mate))
    if driven and flies and not mate_flies:
        # Hands and feet are seen worse than what they do to a ball: of what they drive on the ball alone is asked.
        # What drives it has a whole limb behind it, however small the part that is seen.
        reduced = own * max(other, own) / (own + max(other, own))
        before = min(max(before, closing), impulse / reduced)
        return normal, before, impulse / reduced - before, impulse, max(loss, _driven_loss_j(impulse, own))
    reduced = own * other / (own + other)
    mate_after = _after(mate, at, own / other)
    loss += _kinetic_j(other, mate.at.pre_mps) - _kinetic_j(other, mate_after)
    after = max(0.0, float(np.subtract(at.post_mps, mate_after) @ normal))
    if not _is_seen(mate):
        # What stopped a heavy body need not have been the light one that it met.
        after = min(after, _FASTEST_OFF * closing)
    driven, impulse = after > _DRIVEN * closing, reduced * (closing + after)
    return normal, closing, after, impulse, max(loss, _driven_loss_j(impulse, reduced) if driven else 0.0)


def _driven_loss_j(impulse_ns: float, mass_kg: float) -> float:
    """What the contact of a driven body usually takes.

    How fast the driver came follows from the change of normal speed, which is 1 + restitution times that.
    """
    closing_mps = impulse_ns / mass_kg / (1.0 + _DRIVEN_RESTITUTION)
    return 0.5 * mass_kg * (1.0 - _DRIVEN_RESTITUTION**2) * closing_mps**2


def _is_seen(mate: Event) -> bool:
    """Whether the other body's own change of velocity was seen."""
    return mate.at.pre_mps != mate.at.post_mps


def _after(mate: Event, at: Break, mass_ratio: float) -> Vector:
    """Velocity of the other body after a contact: measured, or else from the conservation of momentum."""
    if _is_seen(mate):
        return mate.at.post_mps
    x, y, z = np.subtract(mate.at.pre_mps, mass_ratio * np.subtract(at.post_mps, at.pre_mps))
    return float(x), float(y), float(z)


def _kinetic_j(mass_kg: float, velocity_mps: Vector) -> float:
    return 0.5 * mass_kg * float(np.dot(velocity_mps, velocity_mps))


def _contact(event: Event, velocity: Velocity) -> Contact:
    """How the two met, from what the body did before and after."""
    if event.partner is not None:
        return "collision"
    if not velocity.free:
        return "strike"
    before, after = (float(np.linalg.norm(v)) for v in (event.at.pre_mps, event.at.post_mps))
    if after > _STOPPED * before:
        return "bounce"
    falling = event.at.pre_mps[1] > 0.7 * before
    return "landing" if falling and _rests(velocity, event.at.time_s, before) else "catch"


def _rests(velocity: Velocity, time_s: float, before_mps: float) -> bool:
    """Whether the body hardly moves in the third of a second after a contact."""
    later = velocity.speed_mps[(velocity.times_s > time_s + 0.05) & (velocity.times_s < time_s + 0.35)]
    later = later[np.isfinite(later)]
    return len(later) == 0 or float(np.median(later)) < 0.1 * before_mps

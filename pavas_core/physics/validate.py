"""Values no object can have, refused by name."""

from __future__ import annotations

import math

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.physics.types import CONTACTS, MAX_MASS_KG, MAX_SPEED_MPS, Impact, Mass, Scene, Velocity

MIN_LENGTH_M = 1e-6
MAX_LENGTH_M = 1e4
MAX_FACTOR = 1e6
MAX_IMPULSE_NS = 2.0 * MAX_MASS_KG * MAX_SPEED_MPS
MAX_ENERGY_J = MAX_MASS_KG * MAX_SPEED_MPS**2
"""What the heaviest bodies at the highest speed can exchange and lose."""
UNIT_TOLERANCE = 1e-3


def check_mass_kg(value: float, what: str) -> float:
    """``value`` if it is above 0 and at most MAX_MASS_KG. Raises PhysicsError naming ``what``."""
    value = _finite(value, f"The mass of {what}", "kg")
    if value <= 0:
        raise PhysicsError(f"The mass of {what} is {value:g} kg: give kilograms above 0, such as 0.6.")
    if value > MAX_MASS_KG:
        raise PhysicsError(f"The mass of {what} is {value:g} kg: give at most {MAX_MASS_KG:g} kg.")
    return value


def check_speed_mps(value: float, what: str) -> float:
    """``value`` if it is 0 to MAX_SPEED_MPS. Raises PhysicsError naming ``what``."""
    value = _finite(value, f"The speed of {what}", "m/s")
    if value < 0:
        raise PhysicsError(f"The speed of {what} is {value:g} m/s: a speed is a magnitude, give 0 or more.")
    if value > MAX_SPEED_MPS:
        raise PhysicsError(
            f"The speed of {what} is {value:g} m/s, faster than sound: give at most {MAX_SPEED_MPS:g} m/s."
        )
    return value


def check_factor(value: float, what: str) -> float:
    """``value`` if it is a usable factor, 0 excluded. Raises PhysicsError naming ``what``."""
    value = _finite(value, what, "")
    if not 0 < value <= MAX_FACTOR:
        raise PhysicsError(f"{what} is {value:g}: give a factor above 0 and at most {MAX_FACTOR:g}, such as 2.")
    return value


def check_length_m(value: float, what: str) -> float:
    """``value`` if it is a usable length. Raises PhysicsError naming ``what``."""
    value = _finite(value, what, "m")
    if not MIN_LENGTH_M <= value <= MAX_LENGTH_M:
        raise PhysicsError(
            f"{what} is {value:g} m: give metres from {MIN_LENGTH_M:g} to {MAX_LENGTH_M:g}, such as 0.22."
        )
    return value


def check_restitution(value: float, what: str) -> float:
    """``value`` if it is 0 (stays) to 1 (leaves as fast as it came). Raises PhysicsError naming ``what``."""
    value = _finite(value, f"The restitution of {what}", "")
    if not 0 <= value <= 1:
        raise PhysicsError(f"The restitution of {what} is {value:g}: give 0 (it stays) to 1 (it loses nothing).")
    return value


def check_time_s(value: float, duration_s: float, what: str) -> float:
    """``value`` if it lies in a clip of ``duration_s``. Raises PhysicsError naming ``what``."""
    value = _finite(value, f"The time of {what}", "s")
    if not 0 <= value <= duration_s:
        raise PhysicsError(f"The time of {what} is {value:g} s: give a time of the clip, 0 to {duration_s:g} s.")
    return value


def check_scene(scene: Scene) -> Scene:
    """``scene`` if all its values are possible and all ids known. Raises PhysicsError naming the first that is not."""
    if not (math.isfinite(scene.duration_s) and scene.duration_s > 0):
        raise PhysicsError(f"The scene lasts {scene.duration_s:g} s: give a duration above 0.")
    if scene.width <= 0 or scene.height <= 0:
        raise PhysicsError(f"The picture is {scene.width} x {scene.height} pixels: give a width and height above 0.")
    check_factor(scene.time_scale, "time_scale")
    ids = [body.object.id for body in scene.bodies]
    repeated = next((one for one in ids if ids.count(one) > 1), None)
    if repeated is not None:
        raise PhysicsError(f"The scene holds {repeated} twice: give every object an id of its own.")
    for body in scene.bodies:
        check_mass(body.mass, body.object.id)
        if body.velocity.object_id != body.object.id:
            raise PhysicsError(
                f"The velocity of {body.object.id} belongs to {body.velocity.object_id}: pair each object with its own."
            )
        check_velocity(body.velocity)
    known = set(ids)
    for impact in scene.impacts:
        check_impact(impact, known, scene.duration_s)
    return scene


def check_mass(mass: Mass, what: str) -> Mass:
    """``mass`` if it is possible and lies in its own range. Raises PhysicsError naming ``what``."""
    for value in (mass.mass_kg, mass.low_kg, mass.high_kg):
        check_mass_kg(value, what)
    if not mass.low_kg <= mass.mass_kg <= mass.high_kg:
        raise PhysicsError(
            f"The mass of {what}, {mass.mass_kg:g} kg, lies outside its own range {mass.low_kg:g} to "
            f"{mass.high_kg:g} kg: correct the range."
        )
    return mass


def check_velocity(velocity: Velocity) -> Velocity:
    """``velocity`` if its arrays agree and its speeds are possible. Raises PhysicsError naming the object."""
    name, count = velocity.object_id, len(velocity.times_s)
    if velocity.speed_mps.shape != (count,):
        raise PhysicsError(f"{name} has {len(velocity.speed_mps)} speeds for {count} times: give one for each.")
    if velocity.vector_mps is not None and velocity.vector_mps.shape != (count, 3):
        raise PhysicsError(f"The velocity vectors of {name} have the wrong shape: give [{count}, 3].")
    if velocity.sigma_mps is not None and velocity.sigma_mps.shape != (count,):
        raise PhysicsError(f"The speed errors of {name} have the wrong shape: give [{count}].")
    if count and not (np.isfinite(velocity.times_s).all() and (np.diff(velocity.times_s) > 0).all()):
        raise PhysicsError(f"The times of {name}'s speeds do not rise: give strictly increasing seconds.")
    seen = velocity.speed_mps[~np.isnan(velocity.speed_mps)]
    if seen.size:
        check_speed_mps(float(seen.min()), name)
        check_speed_mps(float(seen.max()), name)
    for change in velocity.breaks:
        for vector in (change.pre_mps, change.post_mps):
            check_speed_mps(math.hypot(*vector), f"{name} at {change.time_s:.3f} s")
    if velocity.metres_per_px is not None:
        check_length_m(velocity.metres_per_px, f"The scale of {name} (metres per pixel)")
    if velocity.size_m is not None:
        check_length_m(velocity.size_m, f"The size of {name}")
    return velocity


def check_impact(impact: Impact, known: set[str], duration_s: float) -> Impact:
    """``impact`` if it is possible and its objects are ``known``. Raises PhysicsError naming it."""
    what = f"impact {impact.id}"
    for object_id in (impact.object_id, impact.partner):
        if object_id is not None and object_id not in known:
            raise PhysicsError(
                f"There is no object {object_id!r} for {what}: there are {', '.join(sorted(known)) or 'none'}."
            )
    if impact.partner == impact.object_id:
        raise PhysicsError(f"{what.capitalize()} lets {impact.object_id} hit itself: name another partner or none.")
    if impact.contact not in CONTACTS:
        raise PhysicsError(f"The contact of {what} is {impact.contact!r}: give one of {', '.join(CONTACTS)}.")
    check_time_s(impact.time_s, duration_s, what)
    for speed in (impact.pre_normal_mps, impact.post_normal_mps, impact.pre_speed_mps, impact.post_speed_mps):
        check_speed_mps(speed, what)
    for value, name, unit, most in (
        (impact.impulse_ns, "impulse", "N s", MAX_IMPULSE_NS),
        (impact.energy_loss_j, "energy loss", "J", MAX_ENERGY_J),
    ):
        if not 0 <= _finite(value, f"The {name} of {what}", unit) <= most:
            raise PhysicsError(f"The {name} of {what} is {value:g} {unit}: give 0 to {most:g} {unit}.")
    if not abs(math.hypot(*impact.normal) - 1.0) <= UNIT_TOLERANCE:
        raise PhysicsError(f"The normal of {what} has the length {math.hypot(*impact.normal):g}: give a unit vector.")
    return impact


def _finite(value: float, what: str, unit: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise PhysicsError(f"{what} is {value!r}, which is no number: write it like 0.6.") from None
    if not math.isfinite(number):
        raise PhysicsError(f"{what} is {number:g}{unit and ' ' + unit}: give a finite number.")
    return number

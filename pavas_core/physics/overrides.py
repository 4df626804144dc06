"""Corrections of a scene by hand: exact, and touching nothing else.

An override of mass means the same object and material, geometrically scaled, with the same motion: impulses and energy
losses follow from the new mass. Of two tracked bodies that meet, the reduced mass ``m1 m2 / (m1 + m2)`` and their
relative speed along the normal give the impulse; the energy loss is the sum of both bodies' (PAVAS, section 4.1), so
that what an edit does not touch keeps its part. Names are ids, aliases or names of objects; ``*`` means all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.physics.edits import settle
from pavas_core.physics.lasting import manner_of
from pavas_core.physics.names import find_objects
from pavas_core.physics.types import CONTACTS, Body, Break, Contact, Impact, Mass, Scene, Velocity
from pavas_core.physics.validate import (
    check_factor,
    check_mass_kg,
    check_restitution,
    check_scene,
    check_speed_mps,
    check_time_s,
)

VERSION = 1
MAX_EDITS_BYTES = 64_000
OBJECT_EDITS = ("mass_kg", "material", "speed_scale", "speed_curve", "mute", "solo", "name", "action")
IMPACT_EDITS = ("time_s", "speed_mps", "surface", "contact")
IMPACT_ANCHORS = ("object", "was_s", "delete")
NEW_IMPACT = ("object", "time_s", "speed_mps", "contact", "surface", "restitution", "partner")
UP = (0.0, -1.0, 0.0)


def apply_edits(scene: Scene, edits: str | Mapping[str, Any], orphans: list[str] | None = None) -> Scene:
    """``scene`` with corrections, given as JSON text or as the mapping it stands for; empty = none.

    ``{"version": 1, "objects": {"ball": {"mass_kg": 0.6, "material": "rubber", "speed_scale": 2,
    "speed_curve": [[0, 1], [0.5, 3]], "mute": false}}, "impacts": {"impact-1": {"time_s": 1.2, "speed_mps": 3,
    "surface": "wood", "contact": "bounce"}, "impact-2": null}, "add_impacts": [{"object": "ball", "time_s": 1.5,
    "speed_mps": 2}]}``

    ``null`` deletes an impact. Of several entries about one object the most exact counts: id, alias, name, ``*``.
    An object may also get a ``name``, an ``action``, and ``solo`` (only soloed objects are heard). The edit of
    an impact may say which one it means by ``object`` and ``was_s``, its estimated time, so that it still finds it when
    a new estimate numbers impacts anew; ``"delete": true`` deletes it then.

    With a list for ``orphans``, entries whose object or impact the scene lacks are described there and left out;
    without, they are errors. Raises PhysicsError for text that is no such JSON or longer than 64 kB, unknown names
    (listing the known ones), and impossible values.
    """
    wanted = settle(scene, _read(edits), orphans)
    per_object = _per_object(scene, wanted.get("objects", {}))
    for object_id, changes in per_object.items():
        if "mass_kg" in changes:
            scene = override_mass(scene, object_id, changes["mass_kg"])
        if "material" in changes:
            scene = set_material(scene, object_id, changes["material"])
        if "name" in changes or "action" in changes:
            scene = _renamed(scene, object_id, changes)
    factors = {key: changes["speed_scale"] for key, changes in per_object.items() if "speed_scale" in changes}
    if factors:
        scene = _scale_speeds(scene, factors)
    for object_id, changes in per_object.items():
        if "speed_curve" in changes:
            scene = set_speed(scene, object_id, changes["speed_curve"])
    for impact_id, change in wanted.get("impacts", {}).items():
        scene = delete_impact(scene, impact_id) if change is None else edit_impact(scene, impact_id, **change)
    for one in wanted.get("add_impacts", ()):
        options = {key: value for key, value in one.items() if key not in ("object", "time_s")}
        scene = add_impact(scene, one["object"], one["time_s"], **options)
    for object_id, changes in per_object.items():
        if changes.get("mute"):
            scene = mute(scene, object_id)
    soloed = {object_id for object_id, changes in per_object.items() if changes.get("solo")}
    if soloed:
        scene = _stilled(scene, {body.object.id for body in scene.bodies} - soloed)
        scene = _with_impacts(scene, [one for one in scene.impacts if _takes_part(one, soloed)])
    return check_scene(scene)


def edits_from_options(
    speed_scales: Sequence[str] = (), materials: Sequence[str] = (), actions: Sequence[str] = ()
) -> dict[str, Any]:
    """Edits for :func:`apply_edits` from items like ``2``, ``ball=2``, ``ball=rubber`` and ``ball=rolls``; without a
    name = all.

    Raises PhysicsError for an item that cannot be read.
    """
    things: dict[str, dict[str, Any]] = {}
    for key, items in (("speed_scale", speed_scales), ("material", materials), ("action", actions)):
        for item in items:
            name, separator, value = item.rpartition("=")
            name, value = (name.strip() or "*", value.strip()) if separator else ("*", item.strip())
            if key in things.setdefault(name, {}):
                raise PhysicsError(f"The {key.replace('_', ' ')} of {name} is given twice: keep one.")
            things[name][key] = _number(value, f"The speed scale of {name}") if key == "speed_scale" else value
    return {"objects": things} if things else {}


def override_mass(scene: Scene, name: str, mass_kg: float) -> Scene:
    """The object with another mass, its size in proportion to the cube root, and the same motion.

    Impulses go with the mass in contact, energy losses with the part of them that is the object's own.
    """
    ids = _ids(scene, name)
    before = {body.object.id: body.mass.mass_kg for body in scene.bodies}
    mass_kg = check_mass_kg(mass_kg, name)
    given = Mass(mass_kg, mass_kg, mass_kg, "manual", "Given by hand.")

    def scaled(body: Body) -> Body:
        velocity = body.velocity
        if velocity.size_m is not None:
            velocity = replace(velocity, size_m=velocity.size_m * (mass_kg / body.mass.mass_kg) ** (1 / 3))
        return replace(body, mass=given, velocity=velocity)

    scene = _with_bodies(scene, ids, scaled)
    after = {body.object.id: body.mass.mass_kg for body in scene.bodies}

    def derived(impact: Impact) -> Impact:
        ratio = _mass_in_contact(impact, after) / _mass_in_contact(impact, before)
        own = after[impact.object_id] / before[impact.object_id]
        others = 1.0 if impact.partner is None else after[impact.partner] / before[impact.partner]
        return replace(
            impact,
            impulse_ns=impact.impulse_ns * ratio,
            energy_loss_j=_energy_loss_j(impact, before[impact.object_id], own, others),
        )

    return _with_impacts(scene, [derived(one) if _takes_part(one, ids) else one for one in scene.impacts])


def scale_speed(scene: Scene, factor: float, name: str = "*") -> Scene:
    """The object's speeds times ``factor`` at unchanged times: impulses go with it, energies with its square."""
    return _scale_speeds(scene, dict.fromkeys(_ids(scene, name), factor))


def set_speed(scene: Scene, name: str, points: Sequence[Sequence[float]]) -> Scene:
    """The object's speed along a curve of ``(seconds, metres per second)`` points, linear between them.

    A time given twice is a jump. Outside the points everything stays. Impacts within take the curve's speeds just
    before and after them, in their old directions.
    """
    ids = _ids(scene, name)
    curve = _check_curve(points, scene.duration_s, name)
    masses = {body.object.id: body.mass.mass_kg for body in scene.bodies}

    def redrawn(body: Body) -> Body:
        return replace(body, velocity=_redrawn_velocity(body.velocity, curve))

    def derived(impact: Impact) -> Impact:
        if impact.object_id not in ids or not curve[0][0] <= impact.time_s <= curve[-1][0]:
            return impact
        before, after = _at(curve, impact.time_s)
        pre_normal = _turned(impact.pre_normal_mps, impact.pre_speed_mps, before)
        post_normal = _turned(impact.post_normal_mps, impact.post_speed_mps, after)
        mass_kg = masses[impact.object_id]
        rest_j = _rest_j(impact, mass_kg)
        return replace(
            impact,
            pre_speed_mps=before,
            post_speed_mps=after,
            pre_normal_mps=pre_normal,
            post_normal_mps=post_normal,
            impulse_ns=_mass_in_contact(impact, masses) * (pre_normal + post_normal),
            energy_loss_j=max(0.0, mass_kg / 2 * (before**2 - after**2) + rest_j),
        )

    return _with_impacts(_with_bodies(scene, ids, redrawn), [derived(one) for one in scene.impacts])


def set_material(scene: Scene, name: str, material: str) -> Scene:
    """The object made of ``material``: a key of the material table or a word for one (``wooden``)."""
    key = material_key(material)
    return _with_bodies(scene, _ids(scene, name), lambda body: replace(body, object=replace(body.object, material=key)))


def add_impact(
    scene: Scene,
    name: str,
    time_s: float,
    *,
    speed_mps: float | None = None,
    contact: Contact = "bounce",
    surface: str = "unknown",
    restitution: float | None = None,
    partner: str | None = None,
) -> Scene:
    """One more impact of one object, with the surroundings or with ``partner``.

    ``speed_mps`` is the approach speed along the normal (None: the object's speed at that moment) and ``restitution``
    the share of it after (None: the lower of the two materials' in a bounce or collision, else 0).
    """
    object_id = _one_id(scene, name)
    partner_id = None if partner is None else _one_id(scene, partner)
    time_s = check_time_s(time_s, scene.duration_s, f"the new impact of {object_id}")
    if contact not in CONTACTS:
        raise PhysicsError(f"The contact {contact!r} is unknown: give one of {', '.join(CONTACTS)}.")
    surface = material_key(surface)
    if speed_mps is None:
        speed_mps = _speed_at(_body(scene, object_id).velocity, time_s)
        if speed_mps is None:
            raise PhysicsError(
                f"The speed of {object_id} is unknown at {time_s:g} s: give speed_mps for the new impact."
            )
    speed_mps = check_speed_mps(speed_mps, f"{object_id} at {time_s:g} s")
    if restitution is None:
        restitution = _restitution(scene, object_id, partner_id, surface) if contact in ("bounce", "collision") else 0.0
    after_mps = speed_mps * check_restitution(restitution, f"the new impact of {object_id}")
    taken = {impact.id for impact in scene.impacts}
    number = next(count for count in range(1, len(taken) + 2) if f"edit-{count}" not in taken)
    impact = Impact(
        id=f"edit-{number}",
        time_s=time_s,
        object_id=object_id,
        partner=partner_id,
        surface=surface,
        contact=contact,
        normal=UP,
        pre_normal_mps=speed_mps,
        post_normal_mps=after_mps,
        pre_speed_mps=speed_mps,
        post_speed_mps=after_mps,
        impulse_ns=0.0,
        energy_loss_j=0.0,
        position=_position(scene, object_id, time_s),
        source="edit",
    )
    masses = {body.object.id: body.mass.mass_kg for body in scene.bodies}
    mass_kg = _mass_in_contact(impact, masses)
    impact = replace(
        impact,
        impulse_ns=mass_kg * (speed_mps + after_mps),
        energy_loss_j=mass_kg / 2 * (speed_mps**2 - after_mps**2),
    )
    return _with_impacts(scene, [*scene.impacts, impact])


def edit_impact(
    scene: Scene,
    impact_id: str,
    *,
    time_s: float | None = None,
    speed_mps: float | None = None,
    surface: str | None = None,
    contact: Contact | None = None,
) -> Scene:
    """One impact at another time, with another approach speed along its normal, surface or kind of contact."""
    impact = _impact(scene, impact_id)
    changed = replace(impact, source="edit")
    if time_s is not None:
        changed = replace(changed, time_s=check_time_s(time_s, scene.duration_s, f"impact {impact_id}"), sigma_s=0.0)
    if speed_mps is not None:
        speed_mps = check_speed_mps(speed_mps, f"impact {impact_id}")
        if impact.pre_normal_mps <= 0:
            raise PhysicsError(f"Impact {impact_id} has no approach speed to scale: delete it and add another.")
        changed = _impact_scaled(changed, speed_mps / impact.pre_normal_mps)
    if surface is not None:
        changed = replace(changed, surface=material_key(surface))
    if contact is not None:
        if contact not in CONTACTS:
            raise PhysicsError(f"The contact {contact!r} is unknown: give one of {', '.join(CONTACTS)}.")
        changed = replace(changed, contact=contact)
    return _with_impacts(scene, [changed if one is impact else one for one in scene.impacts])


def move_impact(scene: Scene, impact_id: str, time_s: float) -> Scene:
    """One impact at another time, otherwise as it is."""
    return edit_impact(scene, impact_id, time_s=time_s)


def delete_impact(scene: Scene, impact_id: str) -> Scene:
    """The scene without one impact."""
    gone = _impact(scene, impact_id)
    return _with_impacts(scene, [one for one in scene.impacts if one is not gone])


def mute(scene: Scene, name: str) -> Scene:
    """The scene without any impact that the object takes part in, nor any action of its own that is heard."""
    ids = _ids(scene, name)
    return _with_impacts(_stilled(scene, ids), [one for one in scene.impacts if not _takes_part(one, ids)])


def material_key(words: str) -> str:
    """Key of the material that ``words`` mean. Raises PhysicsError, listing the materials, where there is none."""
    from pavas_core.synthesis.materials import MATERIALS, words_to_material

    key = str(words).strip().casefold()
    found = key if key in MATERIALS else words_to_material(key)
    if found is None:
        raise PhysicsError(f"There is no material {words!r}: use one of {', '.join(MATERIALS)}.")
    return found


def _read(edits: str | Mapping[str, Any]) -> dict[str, Any]:
    """The edits with every key known and every value of the right kind."""
    wanted: Any = edits
    if isinstance(edits, str):
        if len(edits.encode("utf-8", "replace")) > MAX_EDITS_BYTES:
            raise PhysicsError(f"The edits are longer than {MAX_EDITS_BYTES // 1000} kB: thin out the speed curves.")
        try:
            wanted = json.loads(edits) if edits.strip() else {}
        except (json.JSONDecodeError, RecursionError) as error:
            raise PhysicsError(f"The edits are no JSON ({error}): correct them or leave them empty.") from None
    _check_keys(wanted, ("objects", "impacts", "add_impacts", "version"), "the edits")
    if wanted.get("version", VERSION) != VERSION:
        raise PhysicsError(f"The edits have version {wanted['version']!r}, this pack reads {VERSION}: update the pack.")
    for name, changes in _mapping(wanted.get("objects", {}), "objects").items():
        _check_keys(changes, OBJECT_EDITS, f"the edits of {name}")
        for key in ("mute", "solo"):
            if not isinstance(changes.get(key, False), bool):
                raise PhysicsError(f"{key} of {name} is {changes[key]!r}: give true or false.")
        for key in ("name", "action"):
            if not isinstance(changes.get(key, ""), str):
                raise PhysicsError(f"{key} of {name} is {changes[key]!r}: give a word or a few.")
    for impact_id, changes in _mapping(wanted.get("impacts", {}), "impacts").items():
        if changes is not None:
            _check_keys(changes, IMPACT_EDITS + IMPACT_ANCHORS, f"the edits of impact {impact_id}")
    added = wanted.get("add_impacts", [])
    if not isinstance(added, list):
        raise PhysicsError("add_impacts must be a list: write [{...}].")
    for one in added:
        _check_keys(one, NEW_IMPACT, "a new impact")
        missing = [key for key in ("object", "time_s") if key not in one]
        if missing:
            raise PhysicsError(f"A new impact lacks {missing[0]}: give at least its object and time_s.")
    return dict(wanted)


def _renamed(scene: Scene, object_id: str, changes: Mapping[str, Any]) -> Scene:
    """The object with another name or action; its id stays and the old name becomes an alias."""

    def change(body: Body) -> Body:
        thing = body.object
        name = changes.get("name") or thing.name
        aliases = thing.aliases if name == thing.name or thing.name in thing.aliases else (*thing.aliases, thing.name)
        named = replace(thing, name=name, aliases=aliases, action=changes.get("action", thing.action))
        return replace(body, object=named)

    return _with_bodies(scene, {object_id}, change)


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PhysicsError(f"{what} in the edits must be a mapping from names: write {{...}}.")
    return value


def _check_keys(value: Any, known: Sequence[str], what: str) -> None:
    if not isinstance(value, Mapping):
        raise PhysicsError(f"{what[0].upper()}{what[1:]} must be a mapping of {', '.join(known)}: write {{...}}.")
    unknown = [key for key in value if key not in known]
    if unknown:
        raise PhysicsError(f"There is nothing called {unknown[0]!r} in {what}: use {', '.join(known)}.")


def _per_object(scene: Scene, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The edits of each object by id, the most exact name winning for each of them."""
    ranked: dict[str, dict[str, tuple[int, Any]]] = {}
    things = [body.object for body in scene.bodies]
    for name, changes in wanted.items():
        found, rank = (things, 9) if name == "*" else find_objects(name, things)
        for thing in found:
            own = ranked.setdefault(thing.id, {})
            for key, value in changes.items():
                if key not in own or rank < own[key][0]:
                    own[key] = (rank, value)
    return {key: {edit: value for edit, (_, value) in own.items()} for key, own in ranked.items()}


def _ids(scene: Scene, name: str) -> set[str]:
    things = [body.object for body in scene.bodies]
    return {one.id for one in (things if name == "*" else find_objects(name, things)[0])}


def _one_id(scene: Scene, name: str) -> str:
    ids = sorted(_ids(scene, name))
    if len(ids) != 1:
        raise PhysicsError(f"{name!r} means several objects: use one of {', '.join(ids) or 'none'}.")
    return ids[0]


def _body(scene: Scene, object_id: str) -> Body:
    return next(body for body in scene.bodies if body.object.id == object_id)


def _impact(scene: Scene, impact_id: str) -> Impact:
    found = [one for one in scene.impacts if one.id == impact_id]
    if not found:
        known = ", ".join(one.id for one in scene.impacts) or "none"
        raise PhysicsError(f"There is no impact {impact_id!r}: there are {known}.")
    return found[0]


def _with_bodies(scene: Scene, ids: set[str], change: Callable[[Body], Body]) -> Scene:
    return replace(scene, bodies=tuple(change(body) if body.object.id in ids else body for body in scene.bodies))


def _stilled(scene: Scene, ids: set[str]) -> Scene:
    """Without the actions that are heard: rolling and sliding."""
    heard = {body.object.id for body in scene.bodies if manner_of(body.object.action)}
    return _with_bodies(scene, ids & heard, lambda body: replace(body, object=replace(body.object, action="")))


def _with_impacts(scene: Scene, impacts: Sequence[Impact]) -> Scene:
    return replace(scene, impacts=tuple(sorted(impacts, key=lambda one: one.time_s)))


def _takes_part(impact: Impact, ids: set[str]) -> bool:
    return impact.object_id in ids or impact.partner in ids


def _mass_in_contact(impact: Impact, masses_kg: Mapping[str, float]) -> float:
    """The mass that an impulse of the impact moves: the object's, reduced by its partner's."""
    mass_kg = masses_kg[impact.object_id]
    if impact.partner is None:
        return mass_kg
    return mass_kg * masses_kg[impact.partner] / (mass_kg + masses_kg[impact.partner])


def _scale_speeds(scene: Scene, factors: Mapping[str, float]) -> Scene:
    """Every named object's speeds times its own factor, impacts between two by what each brings along the normal."""
    factors = {key: check_factor(value, f"The speed scale of {key}") for key, value in factors.items()}
    masses = {body.object.id: body.mass.mass_kg for body in scene.bodies}
    old = {body.object.id: body.velocity for body in scene.bodies}
    scene = _with_bodies(
        scene,
        set(factors),
        lambda body: replace(body, velocity=_velocity_scaled(body.velocity, factors[body.object.id])),
    )

    def derived(impact: Impact) -> Impact:
        own = factors.get(impact.object_id, 1.0)
        others = own if impact.partner is None else factors.get(impact.partner, 1.0)
        if own == others:
            return _impact_scaled(impact, own)
        assert impact.partner is not None
        before, after = _partners_share(impact, old[impact.partner])
        pre_normal = max(0.0, own * (impact.pre_normal_mps - before) + others * before)
        post_normal = max(0.0, own * (impact.post_normal_mps - after) + others * after)
        return replace(
            impact,
            pre_speed_mps=impact.pre_speed_mps * own,
            post_speed_mps=impact.post_speed_mps * own,
            pre_normal_mps=pre_normal,
            post_normal_mps=post_normal,
            impulse_ns=_mass_in_contact(impact, masses) * (pre_normal + post_normal),
            energy_loss_j=_energy_loss_j(impact, masses[impact.object_id], own**2, others**2),
        )

    return _with_impacts(scene, [derived(one) if _takes_part(one, set(factors)) else one for one in scene.impacts])


def _partners_share(impact: Impact, partner: Velocity) -> tuple[float, float]:
    """What the partner's own motion adds to the approach and to the separation speed along the normal."""
    if partner.vector_mps is None:
        return 0.0, 0.0
    known = np.isfinite(partner.vector_mps).all(axis=1)
    shares = []
    for sign, near in ((1.0, partner.times_s <= impact.time_s), (-1.0, partner.times_s > impact.time_s)):
        places = np.flatnonzero(known & near & (np.abs(partner.times_s - impact.time_s) < 0.2))
        if places.size == 0:
            shares.append(0.0)
            continue
        nearest = places[-1] if sign > 0 else places[0]
        shares.append(sign * float(np.dot(partner.vector_mps[nearest], impact.normal)))
    return shares[0], shares[1]


def _velocity_scaled(velocity: Velocity, factor: float) -> Velocity:
    def times(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else (array * np.float64(factor)).astype(array.dtype)

    speed_mps = times(velocity.speed_mps)
    assert speed_mps is not None
    return replace(
        velocity,
        speed_mps=speed_mps,
        vector_mps=times(velocity.vector_mps),
        sigma_mps=times(velocity.sigma_mps),
        breaks=tuple(one.scaled(factor) for one in velocity.breaks),
    )


def _vector_scaled(vector: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    x, y, z = vector
    return x * factor, y * factor, z * factor


def _impact_scaled(impact: Impact, factor: float) -> Impact:
    return replace(
        impact,
        pre_normal_mps=impact.pre_normal_mps * factor,
        post_normal_mps=impact.post_normal_mps * factor,
        pre_speed_mps=impact.pre_speed_mps * factor,
        post_speed_mps=impact.post_speed_mps * factor,
        impulse_ns=impact.impulse_ns * factor,
        energy_loss_j=impact.energy_loss_j * factor**2,
    )


def _own_j(impact: Impact, mass_kg: float) -> float:
    """Kinetic energy that the object itself loses; negative where it is driven on."""
    return mass_kg / 2 * (impact.pre_speed_mps**2 - impact.post_speed_mps**2)


def _rest_j(impact: Impact, mass_kg: float) -> float:
    """What the other side loses; taken as nothing where the sum is capped at 0 and does not tell."""
    return impact.energy_loss_j - _own_j(impact, mass_kg) if impact.energy_loss_j > 0 else 0.0


def _energy_loss_j(impact: Impact, mass_kg: float, own: float, others: float) -> float:
    """The energy loss with the object's part times ``own`` and the rest times ``others``."""
    if own == others:
        return impact.energy_loss_j * own
    return max(0.0, own * _own_j(impact, mass_kg) + others * _rest_j(impact, mass_kg))


def _check_curve(points: Any, duration_s: float, name: str) -> list[tuple[float, float]]:
    if not isinstance(points, Sequence) or isinstance(points, str) or len(points) < 2:
        raise PhysicsError(f"The speed curve of {name} needs two points or more, such as [[0, 1], [0.5, 3]].")
    curve: list[tuple[float, float]] = []
    for point in points:
        if not isinstance(point, Sequence) or isinstance(point, str) or len(point) != 2:
            raise PhysicsError(f"The speed curve of {name} holds {point!r}: give pairs [seconds, metres per second].")
        time_s = check_time_s(point[0], duration_s, f"a point of the speed curve of {name}")
        speed_mps = check_speed_mps(point[1], f"{name} at {time_s:g} s")
        if curve and (time_s < curve[-1][0] or [one[0] for one in curve[-2:]] == [time_s, time_s]):
            raise PhysicsError(f"The times of the speed curve of {name} must rise, a jump excepted, at {time_s:g} s.")
        curve.append((time_s, speed_mps))
    return curve


def _at(curve: list[tuple[float, float]], time_s: float) -> tuple[float, float]:
    """The curve's speeds just before and just after ``time_s``, which lies within it."""
    times = [point[0] for point in curve]
    here = [speed for at_s, speed in curve if at_s == time_s]
    if here:
        return here[0], here[-1]
    speed = float(np.interp(time_s, times, [point[1] for point in curve]))
    return speed, speed


def _turned(normal_mps: float, speed_mps: float, new_speed_mps: float) -> float:
    """The part of a new speed along the normal, at the old angle; all of it where there was no motion."""
    return new_speed_mps * min(1.0, normal_mps / speed_mps) if speed_mps > 0 else new_speed_mps


def _redrawn_velocity(velocity: Velocity, curve: list[tuple[float, float]]) -> Velocity:
    inside = (velocity.times_s >= curve[0][0]) & (velocity.times_s <= curve[-1][0])
    speed_mps = velocity.speed_mps.copy()
    speed_mps[inside] = [sum(_at(curve, float(time_s))) / 2 for time_s in velocity.times_s[inside]]
    vector_mps, sigma_mps = velocity.vector_mps, velocity.sigma_mps
    if vector_mps is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(velocity.speed_mps > 0, speed_mps / velocity.speed_mps, np.nan)
        vector_mps = vector_mps.copy()
        vector_mps[inside] = (vector_mps * ratio[:, None])[inside]
    if sigma_mps is not None:
        sigma_mps = np.where(inside, np.float32(0), sigma_mps).astype(np.float32)

    def redrawn(change: Break) -> Break:
        if not curve[0][0] <= change.time_s <= curve[-1][0]:
            return change
        before, after = _at(curve, change.time_s)
        pre, post = math.hypot(*change.pre_mps), math.hypot(*change.post_mps)
        return replace(
            change,
            pre_mps=_vector_scaled(change.pre_mps, before / pre) if pre > 0 else (0.0, before, 0.0),
            post_mps=_vector_scaled(change.post_mps, after / post) if post > 0 else (0.0, -after, 0.0),
        )

    return replace(
        velocity,
        speed_mps=speed_mps,
        vector_mps=vector_mps,
        sigma_mps=sigma_mps,
        breaks=tuple(map(redrawn, velocity.breaks)),
    )


def _speed_at(velocity: Velocity, time_s: float) -> float | None:
    """The last speed measured at most 0.2 s before ``time_s``, or the first one as soon after it."""
    known = np.flatnonzero(np.isfinite(velocity.speed_mps) & (np.abs(velocity.times_s - time_s) <= 0.2))
    if known.size == 0:
        return None
    before = known[velocity.times_s[known] <= time_s]
    return float(velocity.speed_mps[before[-1] if before.size else known[0]])


def _restitution(scene: Scene, object_id: str, partner_id: str | None, surface: str) -> float:
    from pavas_core.synthesis.materials import MATERIALS

    other = surface if partner_id is None else _body(scene, partner_id).object.material
    keys = (_body(scene, object_id).object.material, other)
    known = [MATERIALS[key].restitution for key in keys if key in MATERIALS and key != "unknown"]
    return min(known, default=MATERIALS["unknown"].restitution)


def _position(scene: Scene, object_id: str, time_s: float) -> tuple[float, float]:
    """Where the object is seen nearest to ``time_s``, as fractions of the picture; its middle where unknown."""
    tracks = scene.tracks
    track = next((one for one in tracks.tracks if one.object_id == object_id), None) if tracks else None
    if tracks is None or track is None or not track.visible.any():
        return 0.5, 0.5
    seen = np.flatnonzero(track.visible)
    x, y = track.centroids[seen[np.argmin(np.abs(tracks.times_s[seen] - time_s))]]
    return float(np.clip(x / tracks.width, 0, 1)), float(np.clip(y / tracks.height, 0, 1))


def _number(value: str, what: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise PhysicsError(f"{what} is {value!r}, which is no number: write it like 2 or ball=2.") from None

"""Masses by hand, from the table of everyday things, or from size."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pavas_core.errors import PhysicsError
from pavas_core.physics.names import find_objects
from pavas_core.physics.types import MAX_MASS_KG, Mass, MassSet, MovingObject, ObjectSet, Velocity, VelocitySet
from pavas_core.physics.validate import check_mass_kg
from pavas_core.synthesis.materials import MATERIALS, singular, words_to_material

TABLE_FILE = Path(__file__).with_name("everyday_objects.json")
DEFAULT_MASS = Mass(0.5, 0.02, 10.0, "default", "Neither a known name nor a size: a middling thing of half a kilogram.")
UNITS_KG = {
    **dict.fromkeys(("kg", "kgs", "kilo", "kilos", "kilogram", "kilograms", "kilogramme", "kilogrammes"), 1.0),
    **dict.fromkeys(("g", "gr", "gram", "grams", "gramme", "grammes"), 1e-3),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), 0.45359237),
    **dict.fromkeys(("oz", "ounce", "ounces"), 0.028349523125),
    **dict.fromkeys(("t", "tonne", "tonnes"), 1e3),
}
RANGE_SIGMAS = 1.64
"""Of a mass from size: the stated range holds nine of ten things of the table."""
SAME_SIZE = 0.12
"""Balls whose sizes differ by less than this fraction cannot be told apart by size."""
_VALUE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?nan|[+-]?inf(?:inity)?)\s*(.*)", re.IGNORECASE)
_AFTER_HEAD = re.compile(r"\b(?:on|onto|of|in|into|with|from|by|at|against|under|over)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """One everyday thing."""

    name: str
    mass_kg: float
    low_kg: float
    high_kg: float
    material: str
    size_m: float | None
    """Diameter of a disc with its visible area."""
    kind: str
    """``ball``, ``rare ball`` (too rare to be guessed from size) or nothing."""
    also: tuple[str, ...]
    source: str


@lru_cache(maxsize=1)
def everyday_objects() -> dict[str, Entry]:
    """The table by name."""
    table = json.loads(TABLE_FILE.read_text(encoding="utf-8"))["objects"]
    return {
        name: Entry(
            name,
            row["mass_kg"],
            row["low_kg"],
            row["high_kg"],
            row["material"],
            row.get("size_m"),
            row.get("kind", ""),
            tuple(row.get("also", ())),
            row["source"],
        )
        for name, row in table.items()
    }


def find_entry(name: str) -> Entry | None:
    """The everyday thing that ``name`` speaks of: ``a red basketball`` -> basketball; None where there is none.

    The entry whose words are all in the name counts; of several the one with most words, then the one named last,
    since an English phrase ends in its head (``ball pen`` is a pen). What follows a preposition is read only where
    the part before it names nothing (``cup of tea`` is a cup).
    """
    name = name.replace("-", " ").replace("_", " ")
    return _entry_of_words(_words(_AFTER_HEAD.split(name)[0])) or _entry_of_words(_words(name))


def default_masses(objects: ObjectSet, velocities: VelocitySet | None = None) -> MassSet:
    """A mass for every object: from the table by its name, else from its size, else DEFAULT_MASS.

    Names come before sizes because sizes of moving things are uncertain to tens of per cent, which a mass takes three
    times over. ``source`` and ``reason`` of each mass say where it is from.
    """
    sizes = {} if velocities is None else {one.object_id: one for one in velocities.velocities}
    masses, materials = {}, {}
    for thing in objects.objects:
        masses[thing.id], material = _default_mass(thing, sizes.get(thing.id))
        if thing.material == "unknown" and material != "unknown":
            materials[thing.id] = material
    return MassSet(masses, materials)


def masses_from_text(text: str, objects: ObjectSet, velocities: VelocitySet | None = None) -> MassSet:
    """Masses from items ``name = value`` on lines of their own or separated by commas or semicolons.

    A value is a number with or without a unit (g, kg, lb, oz, t; kilograms are meant where there is none) and a
    material if wanted (``ball = 600 g rubber``), a material alone, or an everyday thing (``object-1 = basketball``). A
    name is an object's id, name or alias; ``*`` stands for all objects that no other item names. An id beats a name.
    Objects that stay without a mass get the default one. Raises PhysicsError for an unknown name, an item that cannot
    be read, an impossible mass, and for two items of equal rank about one object.
    """
    defaults = default_masses(objects, velocities)
    masses, materials = dict(defaults.masses), dict(defaults.materials)
    given: dict[str, tuple[int, str]] = {}
    for name, value in _items(text):
        mass_kg, entry, material = _read_value(name, value)
        if name == "*":
            things: Sequence[MovingObject] = objects.objects
            rank = 9
        else:
            things, rank = find_objects(name, objects.objects)
        for thing in things:
            earlier = given.get(thing.id)
            if earlier is not None and earlier[0] == rank:
                raise PhysicsError(f"The mass of {thing.id} is given twice, by {earlier[1]!r} and {name!r}: keep one.")
            if earlier is not None and earlier[0] < rank:
                continue
            given[thing.id] = (rank, name)
            masses[thing.id], materials[thing.id] = defaults.masses[thing.id], defaults.materials.get(thing.id, "")
            if entry is not None:
                masses[thing.id] = _table_mass(entry)
                materials[thing.id] = entry.material
            if mass_kg is not None:
                masses[thing.id] = Mass(mass_kg, mass_kg, mass_kg, "manual", f"Given as {name} = {value}.")
            if material is not None:
                materials[thing.id] = material
    return MassSet(masses, {key: material for key, material in materials.items() if material})


def _items(text: str) -> list[tuple[str, str]]:
    """(name, value) of every item of ``text``."""
    items = []
    for item in filter(None, (part.strip() for part in re.split(r"[\n\r,;]+", text))):
        name, separator, value = item.partition("=")
        if not (separator and name.strip() and value.strip()):
            raise PhysicsError(
                f"The mass {item!r} cannot be read: write name = kilograms, such as ball = 0.6, with a point."
            )
        items.append((name.strip(), value.strip()))
    return items


def _read_value(name: str, value: str) -> tuple[float | None, Entry | None, str | None]:
    """(kilograms, everyday thing, material) as far as ``value`` gives them."""
    match = _VALUE.fullmatch(value)
    if match is None:
        if re.match(r"[+-]?[\d.]", value):
            raise PhysicsError(f"The mass of {name}, {value!r}, is no number: write it like 0.6, 600 g or 1.3 lb.")
        entry = find_entry(value)
        if entry is not None:
            return None, entry, None
        return None, None, _material(name, value)
    number, rest = float(match[1]), match[2].strip()
    unit, _, words = rest.partition(" ")
    if unit.casefold() in UNITS_KG:
        number, rest = number * UNITS_KG[unit.casefold()], words.strip()
    return check_mass_kg(number, name), None, _material(name, rest) if rest else None


def _material(name: str, words: str) -> str:
    key = words.casefold()
    found = key if key in MATERIALS else words_to_material(words)
    if found is None:
        raise PhysicsError(
            f"{words!r}, given for {name}, is neither a unit (kg, g, lb, oz, t), a known material nor a known thing: "
            f"use a material such as {', '.join(list(MATERIALS)[:8])}."
        )
    return found


def _default_mass(thing: MovingObject, velocity: Velocity | None) -> tuple[Mass, str]:
    """Mass and usual material of ``thing``."""
    size_m = velocity.size_m if velocity is not None else None
    entries = [entry for entry in map(find_entry, (thing.name, *thing.aliases)) if entry is not None]
    entry = next((one for one in entries if one.name != "ball"), entries[0] if entries else None)
    if entry is not None and entry.name != "ball":
        return _table_mass(entry), entry.material
    if velocity is None or size_m is None or not (math.isfinite(size_m) and size_m > 0):
        return (DEFAULT_MASS, "unknown") if entry is None else (_table_mass(entry), "unknown")
    if entry is not None:
        return _ball_mass(size_m, velocity)
    return _mass_of_size(size_m, velocity), "unknown"


def _table_mass(entry: Entry) -> Mass:
    return Mass(
        entry.mass_kg, entry.low_kg, entry.high_kg, f"table:{entry.name}", f"A usual {entry.name} ({entry.source})."
    )


def _ball_mass(size_m: float, velocity: Velocity) -> tuple[Mass, str]:
    """What a ball of that size usually weighs and is made of."""
    balls = [one for one in everyday_objects().values() if one.kind == "ball"]
    sizes = np.log([one.size_m for one in balls if one.size_m])
    distances = np.abs(sizes - _expected_log_size(size_m, velocity, sizes))
    alike = [balls[index] for index in np.flatnonzero(distances <= max(SAME_SIZE, float(distances.min())))]
    alike.sort(key=lambda one: one.mass_kg)
    typical = alike[(len(alike) - 1) // 2]  # the lower: of balls of one size, the heavy ones are rare
    spread = math.exp(min(3 * velocity.scale_sigma, 3.0))
    names = ", ".join(one.name for one in alike)
    mass = Mass(
        typical.mass_kg,
        alike[0].low_kg / spread,
        min(alike[-1].high_kg * spread, MAX_MASS_KG),
        f"size:{typical.name}",
        f"A ball measured {size_m:.2g} m across (scale: {_scale(velocity)}), as usual for: {names}.",
    )
    return mass, typical.material


def _mass_of_size(size_m: float, velocity: Velocity) -> Mass:
    """Mass after the trend of the table's things: mass grows with size to a fitted power."""
    slope, offset, spread = _size_trend()
    sizes = np.log([one.size_m for one in everyday_objects().values() if one.size_m])
    log_size = _expected_log_size(size_m, velocity, sizes)
    size_m = math.exp(min(max(log_size, sizes.min()), sizes.max()))
    middle = offset + slope * math.log(size_m)
    sigma = math.hypot(spread, slope * min(velocity.scale_sigma, 1.0))
    mass_kg, low_kg, high_kg = (
        math.exp(middle + step * sigma) for step in (0.0, -RANGE_SIGMAS, RANGE_SIGMAS)
    )  # fmt: skip
    density = mass_kg / (math.pi / 6 * size_m**3)
    return Mass(
        mass_kg,
        low_kg,
        min(high_kg, MAX_MASS_KG),
        "size",
        f"A thing about {size_m:.2g} m across (scale: {_scale(velocity)}) of {density:.0f} kg/m3, usual at that size.",
    )


def _expected_log_size(size_m: float, velocity: Velocity, log_sizes: np.ndarray) -> float:
    """Logarithm of the size to expect where ``size_m`` was measured with an uncertain scale.

    A noisy measurement is drawn towards the usual sizes by the share that the scale's error has in its variance
    (regression dilution: Fuller, *Measurement Error Models*, 1987); a good one stays as it is.
    """
    trust = float(np.var(log_sizes) / (np.var(log_sizes) + min(velocity.scale_sigma, 10.0) ** 2))
    usual = float(np.mean(log_sizes))
    return usual + trust * (math.log(size_m) - usual)


def _scale(velocity: Velocity) -> str:
    return f"{velocity.scale_source.replace('_', ' ')}, {100 * velocity.scale_sigma:.0f} % standard error"


@lru_cache(maxsize=1)
def _size_trend() -> tuple[float, float, float]:
    """(power, log of kilograms at 1 m, standard deviation in log) over the table."""
    rows = [(math.log(one.size_m), math.log(one.mass_kg)) for one in everyday_objects().values() if one.size_m]
    sizes, masses = np.array(rows).T
    slope, offset = np.polyfit(sizes, masses, 1)
    return float(slope), float(offset), float(np.std(masses - slope * sizes - offset))


def _words(text: str) -> list[str]:
    return [singular(word) for word in re.findall(r"[^\W\d_]+", text)]


@lru_cache(maxsize=1)
def _phrases() -> list[tuple[frozenset[str], str, Entry]]:
    """(words, last word, entry) of every name in the table."""
    return [
        (frozenset(_words(phrase)), _words(phrase)[-1], entry)
        for entry in everyday_objects().values()
        for phrase in (entry.name, *entry.also)
    ]


def _entry_of_words(words: list[str]) -> Entry | None:
    """The entry with most words among ``words``, then the one whose last word comes last."""
    place = {word: index for index, word in enumerate(words)}
    fitting = [(len(phrase), place[last], entry) for phrase, last, entry in _phrases() if phrase <= set(words)]
    return max(fitting, key=lambda one: one[:2])[2] if fitting else None

"""What a language model's answer says of moving objects and their masses, and how to ask it for that.

Any model's text is read: JSON however loosely written, numbered lists, and sentences that name one object and one
mass. What cannot be read raises :class:`AnswerError`; nothing is guessed.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pavas_core.errors import PhysicsError
from pavas_core.estimation.language.loose_json import Value, find_values, without_thoughts
from pavas_core.estimation.language.quantities import find_masses_kg, mass_kg_of
from pavas_core.physics.names import find_objects, slug
from pavas_core.physics.types import MAX_MASS_KG, Mass, MassSet, MovingObject, ObjectSet
from pavas_core.physics.validate import check_mass_kg
from pavas_core.synthesis.materials import MATERIALS, words_to_material

log = logging.getLogger("pavas")

MAX_NAME = 80
SHOWN_ANSWER = 400
"""Of a model's text, this many characters are shown in an error."""
ASSUMED_SPREAD = 2.0
"""A mass without a stated range may be this many times less or more."""

NAME_KEYS = (
    "object",
    "name",
    "description",
    "label",
    "moving_object",
    "entity",
    "item",
    "id",
    "object_id",
    "object_name",
)
ACTION_KEYS = ("action", "motion", "movement", "activity", "doing", "verb")
MATERIAL_KEYS = ("material", "materials", "made_of")
TIME_KEYS = ("first_seen_s", "first_s", "time_s", "start_s", "first_seen", "time", "timestamp")
LIST_KEYS = ("objects", "moving_objects", "masses", "results", "items", "answer", "entities", "data", "output")
MASS_KEYS = {
    "mass_kg": 1.0, "mass": 1.0, "weight_kg": 1.0, "weight": 1.0, "kg": 1.0, "kilograms": 1.0, "estimate_kg": 1.0,
    "estimated_mass_kg": 1.0, "estimated_mass": 1.0, "value": 1.0, "mass_g": 1e-3, "weight_g": 1e-3, "grams": 1e-3,
    "mass_lb": 0.45359237, "weight_lb": 0.45359237, "mass_lbs": 0.45359237, "weight_lbs": 0.45359237,
}  # fmt: skip
LOW_KEYS = ("low_kg", "low", "min_kg", "min", "minimum", "lower", "mass_low_kg", "mass_min_kg")
HIGH_KEYS = ("high_kg", "high", "max_kg", "max", "maximum", "upper", "mass_high_kg", "mass_max_kg")
REASON_KEYS = ("reason", "reasoning", "explanation", "why", "justification", "rationale")

DETECT_PROMPT = """You see {count} pictures of one video, in order, taken at {times} seconds.

List every thing that moves by itself, or is moved, relative to the ground. Do not list things that only seem to move \
because the camera pans, tilts, zooms or travels: compare them with what stands still around them. Do not list \
shadows, reflections or light. List a hand, foot or tool that hits or throws something. If two things look alike, \
tell them apart in words (left, right, colour).

Answer with JSON only, no other text:
[{{"object": "short description that singles it out, such as red rubber ball", "action": "what it does, one to four \
words", "material": "what it is made of, one word", "first_seen_s": seconds of the first picture that shows it}}]
List at most {max_objects} things, those that make the most sound first. If nothing moves, answer []."""

MASS_PROMPT = """You see {count} pictures of one video, in order, taken at {times} seconds. These things move in it:

{objects}

Estimate the mass of each in kilograms, from what it is, what it is made of, whether it is hollow, and how large it is \
beside things of known size. For a part of a body, such as a hand, give the mass of that part alone. Give one best \
value and the lowest and highest that are plausible.

Answer with JSON only, no other text, one entry for each thing, with the names as above:
[{{"object": "name", "mass_kg": number, "low_kg": number, "high_kg": number, "reason": "one short sentence"}}]"""

RETRY_PROMPT = "Your answer could not be used: {error} Answer again, with the JSON asked for and nothing else."

_NOTHING = re.compile(
    r"\b(?:nothing (?:is )?mov(?:es|ing)|no (?:genuinely |real(?:ly)? )?moving (?:objects?|things?)|"
    r"no (?:objects?|things?) (?:is |are )?mov(?:es?|ing))\b",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,2}[.):])\s+(.*\S)\s*$")


class AnswerError(PhysicsError):
    """A model's answer cannot be read, or not be used."""


def parse_objects(
    text: str, width: int, height: int, duration_s: float, *, max_objects: int = 8, source: str = "text"
) -> ObjectSet:
    """The moving objects that ``text`` lists, at most ``max_objects``, without boxes.

    The same description twice is one object. Ids are the description's slug and an ordinal. A list that the text ends
    in gives its complete entries. Raises AnswerError where there is no list and no statement that nothing moves.
    """
    entries, cut = _object_entries(text)
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name = _words(_get(entry, NAME_KEYS))
        if not name or not re.search(r"[^\W\d_]", name):
            if cut and entry is entries[-1]:
                continue
            raise AnswerError(f"An entry of the answer names no object ({_shown(str(entry), 80)}).")
        action, material = _words(_get(entry, ACTION_KEYS)), _material(_words(_get(entry, MATERIAL_KEYS)), name)
        known = found.setdefault(
            slug(name), {"name": name[:MAX_NAME].strip(), "actions": [], "material": material, "time_s": 0.0}
        )
        if action and action not in known["actions"]:
            known["actions"].append(action)
        if known["material"] == "unknown":
            known["material"] = material
        known["time_s"] = _seconds(_get(entry, TIME_KEYS), duration_s)
    if entries and not found:
        raise AnswerError("The answer ends before its first object is complete.")
    if cut:
        log.warning("The model's answer was cut off: the %d objects that it names completely are used.", len(found))
    if len(found) > max_objects:
        log.warning("The model named %d objects: the first %d are used.", len(found), max_objects)
    kept = list(found.values())[:max_objects]
    objects = tuple(
        MovingObject(
            f"{slug(one['name'])}-1", one["name"], "; ".join(one["actions"]), one["material"], time_s=one["time_s"]
        )
        for one in kept
    )
    return ObjectSet(objects, width, height, duration_s, None, source)


def parse_masses(text: str, objects: ObjectSet, *, source: str = "text") -> MassSet:
    """A mass for every object of ``objects`` from ``text``; ``source`` says whose text it is.

    Objects the answer makes up are left out with a warning. Raises AnswerError where an object of ours has no mass, one
    has two different ones, or a mass is impossible or lies outside its own range.
    """
    if not objects.objects:
        return MassSet({})
    found, strange = read_masses(text, objects, source=source)
    missing = [thing.id for thing in objects.objects if thing.id not in found.masses]
    if missing:
        more = f" (it speaks of {', '.join(strange[:4])} instead)" if strange else ""
        raise AnswerError(f"The answer gives no mass for {', '.join(missing)}{more}.")
    if strange:
        log.warning("The answer also gives masses of %s, which no object is called: not used.", ", ".join(strange[:6]))
    return found


def read_masses(text: str, objects: ObjectSet, *, source: str = "text") -> tuple[MassSet, list[str]]:
    """The masses that ``text`` gives of ``objects``, and what else it gives masses of.

    Raises AnswerError where it gives an object two different masses, or an impossible one.
    """
    things = objects.objects
    masses: dict[str, Mass] = {}
    materials: dict[str, str] = {}
    strange: list[str] = []
    taken: set[int] = set()
    for name, entry in _mass_entries(text, objects):
        thing = _thing_of(name, things, masses, taken)
        if thing is None:
            strange.append(_plain(name)[:MAX_NAME])
            continue
        mass = _mass(entry, thing, source)
        earlier = masses.get(thing.id)
        if earlier is not None and not math.isclose(earlier.mass_kg, mass.mass_kg, rel_tol=0.01):
            raise AnswerError(
                f"The answer gives {thing.id} two masses, {earlier.mass_kg:.3g} kg and {mass.mass_kg:.3g} kg."
            )
        masses.setdefault(thing.id, mass)
        material = _material(_words(_get(entry, MATERIAL_KEYS)), "") if isinstance(entry, dict) else "unknown"
        if material != "unknown" and thing.material == "unknown":
            materials[thing.id] = material
    return MassSet(masses, materials), strange


def ask(answer: Callable[[str | None, str | None], str], parse: Callable[[str], Any], what: str) -> tuple[Any, str]:
    """(parsed answer, its text), asking once more with the error where the first answer cannot be used.

    ``answer(earlier_text, complaint)`` asks the model; both are None the first time. Raises AnswerError with the
    model's text where the second answer cannot be used either.
    """
    text = answer(None, None)
    try:
        return parse(text), text
    except PhysicsError as error:
        complaint = str(error)
    log.warning("The model's %s could not be used (%s): asking once more.", what, complaint)
    text = answer(text, RETRY_PROMPT.format(error=complaint))
    try:
        return parse(text), text
    except PhysicsError as error:
        raise unusable(what, error, text) from None


def unusable(what: str, error: Exception, text: str) -> AnswerError:
    """The error for the user: what is wrong, what the text was, what to do."""
    return AnswerError(
        f"The {what} cannot be used ({str(error).rstrip('.')}): it reads {_shown(text, SHOWN_ANSWER)!r}; use a larger "
        "model, change the prompt, or take the weight-free node of this stage."
    )


def fill_prompt(template: str, values: dict[str, Any]) -> str:
    """``template`` with ``{name}`` replaced; other braces stay as they are, ``{{`` and ``}}`` become single ones."""

    def one(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        return str(values[match[1]]) if match[1] in values else match[0]

    return re.sub(r"\{\{|\}\}|\{(\w+)\}", one, template)


def described(objects: ObjectSet) -> str:
    """The objects as lines of the mass prompt."""
    lines = []
    for thing in objects.objects:
        words = [thing.name, thing.action, "" if thing.material == "unknown" else f"made of {thing.material}"]
        lines.append(f"- {thing.id}: {', '.join(filter(None, words))}")
    return "\n".join(lines)


def _object_entries(text: str) -> tuple[list[Any], bool]:
    """The entries of the answer's list and whether it was cut off."""
    best: tuple[list[Any], bool] | None = None
    for value in find_values(text):
        entries = _entries(value)
        if entries is not None and (best is None or len(entries) >= len(best[0])):
            best = entries, value.cut
    if best is not None and (best[0] or not _bullets(text)):
        return best
    bullets = _bullets(text)
    if bullets:
        return [_bullet_entry(line) for line in bullets], False
    if _NOTHING.search(without_thoughts(text)):
        return [], False
    raise AnswerError("The answer holds no list of objects.")


def _entries(value: Value) -> list[Any] | None:
    found = value.value
    if isinstance(found, dict):
        for key in LIST_KEYS:
            inner = _get(found, (key,))
            if isinstance(inner, (list, dict)):
                return _entries(Value(inner, value.cut))
        if _get(found, NAME_KEYS) is not None:
            return [found]
        if found and all(_is_flat(one) for one in found.values()):
            return [{"object": key} | one for key, one in found.items()]
        return None
    entries = [{"object": one} if isinstance(one, str) else one for one in found]
    return entries if all(isinstance(one, dict) for one in entries) else None


def _is_flat(value: Any) -> bool:
    """Whether this may be what an answer says of one thing."""
    return isinstance(value, dict) and bool(value) and not any(isinstance(one, dict) for one in value.values())


def _bullets(text: str) -> list[str]:
    matches = (_BULLET.match(line) for line in without_thoughts(text).splitlines())
    return [match[1] for match in matches if match]


def _bullet_entry(line: str) -> dict[str, Any]:
    """``**Red ball** (rubber): bouncing`` as an entry."""
    plain = re.sub(r"[*_`]", "", line)
    material = re.search(r"\(([^)]*)\)", plain)
    name, _, action = re.sub(r"\s*\([^)]*\)", "", plain).partition(":")
    if not action:
        name, _, action = re.sub(r"\s*\([^)]*\)", "", plain).replace(" – ", " - ").partition(" - ")
    return {"object": name.strip(), "action": action.strip(" ."), "material": material[1] if material else ""}


def _mass_entries(text: str, objects: ObjectSet) -> list[tuple[str, Any]]:
    """(name as the answer has it, entry) of every mass of the answer."""
    found: list[tuple[str, Any]] = []
    for value in find_values(text):
        found += _named_masses(value.value, value.cut)
    if found:
        return found
    return list(_sentences(text, objects))


def _named_masses(value: Any, cut: bool) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in LIST_KEYS:
            inner = _get(value, (key,))
            if isinstance(inner, (list, dict)):
                return _named_masses(inner, cut)
        name = _words(_get(value, NAME_KEYS))
        if name:
            return [] if cut and not _has_mass(value) else [(name, value)]
        return [
            (key, one)
            for key, one in value.items()
            if isinstance(one, (dict, str, float)) and not isinstance(one, bool) and slug(key)
        ]
    if isinstance(value, list):
        return [
            pair
            for place, one in enumerate(value)
            if isinstance(one, dict)
            for pair in _named_masses(one, cut and place == len(value) - 1)
        ]
    return []


def _has_mass(entry: dict[str, Any]) -> bool:
    return any(_get(entry, (key,)) is not None for key in MASS_KEYS)


def _sentences(text: str, objects: ObjectSet) -> Iterable[tuple[str, str]]:
    """Lines and sentences that name one object of ours and one mass with its unit."""
    for part in re.split(r"\n|(?<=[.!?;])\s+(?=[A-Z*\-])", without_thoughts(text)):
        plain = re.sub(r"[*_`#]", " ", part)
        named = [thing for thing in objects.objects if _named_in(thing, plain)]
        longest = max((len(slug(thing.name)) for thing in named), default=0)
        named = [thing for thing in named if len(slug(thing.name)) == longest]
        if len(objects.objects) == 1 and not named:
            named = list(objects.objects)
        bare = plain
        for thing in named:
            bare = re.sub(re.escape(thing.id), " ", bare, flags=re.IGNORECASE)
        try:
            quantities = find_masses_kg(bare) if len(named) == 1 else []
        except PhysicsError as error:
            raise AnswerError(str(error)) from None
        if len(set(quantities)) == 1:
            yield named[0].id, bare.strip()


def _named_in(thing: MovingObject, text: str) -> bool:
    words = f"-{slug(text)}-"
    return any(slug(name) and f"-{slug(name)}-" in words for name in (thing.id, thing.name, *thing.aliases))


def _thing_of(
    name: str, things: Sequence[MovingObject], masses: dict[str, Mass], taken: set[int]
) -> MovingObject | None:
    """The object that an answer calls ``name``; of several of that name, the first without a mass."""
    number = re.fullmatch(r"(?:object\s*)?#?(\d{1,2})", name.strip(), re.IGNORECASE)
    try:
        found, _ = find_objects(name, things)
    except PhysicsError:
        if number and 1 <= int(number[1]) <= len(things) and int(number[1]) not in taken:
            taken.add(int(number[1]))
            return things[int(number[1]) - 1]
        # ``the red ball (bouncing)`` names the red ball, where it can mean nothing else.
        found = tuple(thing for thing in things if _named_in(thing, name))
        if len(found) != 1:
            return None
    return next((thing for thing in found if thing.id not in masses), found[0])


def _mass(entry: Any, thing: MovingObject, source: str) -> Mass:
    reason = ""
    try:
        if isinstance(entry, dict):
            key = next((key for key in MASS_KEYS if _get(entry, (key,)) is not None), None)
            if key is None:
                raise AnswerError(f"The answer gives no mass for {thing.id}.")
            mass, low, high = mass_kg_of(_get(entry, (key,)), MASS_KEYS[key], thing.id)
            # Bare ends of a range are in the unit of their own key, else in that of the mass.
            lows = [_end(entry, LOW_KEYS, MASS_KEYS[key], thing.id), _end(entry, HIGH_KEYS, MASS_KEYS[key], thing.id)]
            ends = sorted(one for one in lows if one is not None)
            low, high = min([low, *ends[:1]]), max([high, *ends[-1:]])
            if len(ends) == 2 and not ends[0] <= mass <= ends[1]:
                raise AnswerError(
                    f"The mass of {thing.id}, {mass:.3g} kg, lies outside its own range {ends[0]:.3g} to "
                    f"{ends[1]:.3g} kg."
                )
            reason = _words(_get(entry, REASON_KEYS))
        else:
            mass, low, high = mass_kg_of(entry, 1.0 if isinstance(entry, float) or _bare(entry) else None, thing.id)
            reason = _words(entry) if isinstance(entry, str) else ""
        check_mass_kg(high, thing.id)
    except AnswerError:
        raise
    except PhysicsError as error:
        raise AnswerError(str(error)) from None
    if low == high:
        low, high = mass / ASSUMED_SPREAD, min(mass * ASSUMED_SPREAD, MAX_MASS_KG)
        reason = f"{reason} (No range given: a factor of {ASSUMED_SPREAD:g} is assumed.)".strip()
    return Mass(mass, low, high, source, reason)


def _bare(entry: str) -> bool:
    return re.fullmatch(r"\s*[\d.,\s–-]+(?:to\s*[\d.,]+)?\s*", entry) is not None


def _end(entry: dict[str, Any], keys: Sequence[str], unit_kg: float, what: str) -> float | None:
    for key in keys:
        value = _get(entry, (key,))
        if value is not None:
            return mass_kg_of(value, 1.0 if key.endswith("kg") else unit_kg, what)[0]
    return None


def _get(entry: Any, keys: Sequence[str]) -> Any:
    """The first member of ``entry`` under one of ``keys``, whatever their case and spacing."""
    if not isinstance(entry, dict):
        return None
    by_key = {re.sub(r"\W+", "_", str(key)).strip("_").casefold(): value for key, value in entry.items()}
    return next((by_key[key] for key in keys if by_key.get(key) is not None), None)


def _words(value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(str(one) for one in value if isinstance(one, str))
    return _plain(str(value)) if isinstance(value, (str, int, float)) else ""


def _plain(text: str) -> str:
    """``text`` on one line, without what cannot be shown."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _material(words: str, name: str) -> str:
    """Key of the material that ``words`` mean, else of one in the name, else unknown."""
    for text in (words, name):
        key = text.casefold().strip()
        found = key if key in MATERIALS else words_to_material(text) if text else None
        if found:
            return found
    return "unknown"


def _seconds(value: Any, duration_s: float) -> float:
    """A time of the clip; the start where the answer gives none or one outside."""
    match = re.search(r"\d+(?:\.\d+)?", value) if isinstance(value, str) else None
    number = float(match[0]) if match else value
    if isinstance(number, (int, float)) and not isinstance(number, bool) and 0 <= number <= duration_s:
        return float(number)
    return 0.0


def _shown(text: str, length: int) -> str:
    text = _plain(text)
    return text if len(text) <= length else text[: length - 3] + "..."

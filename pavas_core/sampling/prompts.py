"""The prompt that a clip's objects say by themselves: what they are made of and what they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pavas_core.physics.names import NAMELESS

if TYPE_CHECKING:
    from pavas_core.physics.types import Impact, MovingObject

DOING = {
    "bounce": ("bouncing", "on"),
    "strike": ("hitting", ""),
    "collision": ("knocking", "against"),
    "landing": ("landing", "on"),
    "catch": ("being caught", ""),
}
"""What an object does at a contact, and the word before what it meets."""
UNKNOWN = "unknown"
PLACEHOLDER = "{objects}"
"""What stands for the composed words in a prompt that its user writes."""


def filled_prompt(text: str, objects: Sequence[MovingObject], impacts: Sequence[Impact] = ()) -> str:
    """``text`` with its placeholder replaced by the composed words; a text without one stays as it is."""
    return text.replace(PLACEHOLDER, compose_prompt(objects, impacts)).strip().strip(",").strip()


def compose_prompt(objects: Sequence[MovingObject], impacts: Sequence[Impact] = ()) -> str:
    """Objects as a caption would name them: ``rubber ball bouncing on wood, hammer hitting steel``.

    What an object does is its action where a detector named one, else its most frequent contact; of what is not known
    nothing is said. Empty where nothing moves. Mass and speed are left to the Phy-Adapter.
    """
    names = {thing.id: thing.name for thing in objects}
    phrases = [_phrase(thing, impacts, names) for thing in objects]
    return ", ".join(dict.fromkeys(phrase for phrase in phrases if phrase))


def _phrase(thing: MovingObject, impacts: Sequence[Impact], names: dict[str, str]) -> str:
    words = [thing.name.strip()]
    if thing.material != UNKNOWN and thing.material not in thing.name.lower():
        words.insert(0, thing.material)
    own = [impact for impact in impacts if impact.object_id == thing.id]
    if thing.action.strip():
        words.append(thing.action.strip())
    elif own:
        contact, _ = Counter(impact.contact for impact in own).most_common(1)[0]
        other, _ = Counter(_met(impact, names) for impact in own if impact.contact == contact).most_common(1)[0]
        doing, preposition = DOING[contact]
        words.append(doing)
        if other and contact != "catch":
            words += [preposition, other]
    phrase = " ".join(word for word in words if word).replace("_", " ")
    return "" if phrase == NAMELESS else phrase


def _met(impact: Impact, names: dict[str, str]) -> str:
    """Name of the other object, else the surface's material, else nothing."""
    if impact.partner is not None:
        return names.get(impact.partner, "")
    return "" if impact.surface == UNKNOWN else impact.surface

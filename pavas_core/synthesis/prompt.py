"""A few words on what moves and what it hits, such as ``rubber ball on wooden floor``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pavas_core.physics.lasting import manner_of
from pavas_core.physics.names import NAMELESS
from pavas_core.physics.types import Body, Scene

from .materials import is_made_of, split_words, words_to_material
from .shapes import knows_shape

_ONTO = re.compile(
    r"\b(?:on(?:to)?|upon|against|at|into|in|over|across|hit(?:s|ting)?|str(?:ikes?|iking)|meet(?:s|ing)?)\b",
    re.IGNORECASE,
)
_AND = re.compile(r"[,;+&]|\b(?:and|with)\b", re.IGNORECASE)
_PLACE_WORDS = "floor ground surface wall ceiling stair step court"
_FILLER_WORDS = (
    "a an the of its his her their some small large big heavy light old new falling dropped dropping bouncing bounce "
    "fall land landing rolling swinging tapping knocking jumping running walking throwing kicking sound made from"
)
_PLACES = frozenset(_PLACE_WORDS.split())
_FILLERS = frozenset(_FILLER_WORDS.split())


@dataclass(frozen=True)
class Prompt:
    """What a prompt says about the physics."""

    materials: dict[str, str]
    """Material key by the object's words (``ball``), in order; ``*`` where only a material was named."""
    actions: dict[str, str]
    """``rolls`` or ``slides`` by the object's words, where the prompt says so; ``*`` where only that was said."""
    surface: str
    """Material key of what is hit, or ``unknown``."""
    unknown_words: tuple[str, ...]
    """Words that say nothing to the engine, as written in singular and lower case."""


def parse_prompt(text: str) -> Prompt:
    """Read ``<objects> on <surface>``: objects are separated by commas or ``and``.

    In each part a material word (``wooden``) or a thing usually made of one (``bottle``) gives the material and a thing
    of known shape its shape. Nothing is guessed: words that fit nowhere come back in ``unknown_words``.
    """
    parts = _ONTO.split(text, maxsplit=1)
    materials: dict[str, str] = {}
    actions: dict[str, str] = {}
    unknown: list[str] = []
    for phrase in _AND.split(parts[0]):
        words = [word for word in split_words(phrase) if word not in _FILLERS and not manner_of(word)]
        key = words_to_material(" ".join(words)) if words else None
        things = [word for word in words if not is_made_of(word)]
        name = " ".join(filter(_understood, things)) or "*"
        if key or any(map(knows_shape, things)):
            materials[name] = key or "unknown"
        if manner := manner_of(phrase):
            actions[name] = manner
        unknown += [word for word in things if not _understood(word)]
    surface = "unknown"
    if len(parts) > 1:
        words = [word for word in split_words(parts[1]) if word not in _FILLERS]
        surface = words_to_material(" ".join(words)) or "unknown"
        unknown += [word for word in words if word not in _PLACES and not _understood(word)]
    return Prompt(materials, actions, surface, tuple(unknown))


def apply_prompt(scene: Scene, text: str) -> tuple[Scene, str, tuple[str, ...]]:
    """The scene with the prompt's materials and actions on its objects, the surface for ``floor`` and the words not
    understood.

    Words go to the objects whose name contains one of them. A prompt about a single thing that names none of the
    objects speaks of all of them; of several things, the only one that names none is what nobody has named yet.
    """
    prompt = parse_prompt(text)
    said = dict.fromkeys([*prompt.materials, *prompt.actions])
    if not said:
        return scene, prompt.surface, prompt.unknown_words
    bodies = list(scene.bodies)
    unknown = list(prompt.unknown_words)
    meant = {words: [index for index, body in enumerate(bodies) if _names(body) & set(words.split())] for words in said}
    strange = [words for words, named in meant.items() if not named]
    if len(meant) == 1 and strange:
        meant[strange[0]] = list(range(len(bodies)))
    elif len(strange) == 1:
        meant[strange[0]] = [i for i, body in enumerate(bodies) if _names(body) == {NAMELESS}]
    for words, named in meant.items():
        for index in named:
            bodies[index] = _described(bodies[index], words, prompt)
        if not named:
            unknown += words.split()
    return replace(scene, bodies=tuple(bodies)), prompt.surface, tuple(dict.fromkeys(unknown))


def _understood(word: str) -> bool:
    return words_to_material(word) is not None or knows_shape(word)


def _names(body: Body) -> set[str]:
    return set(split_words(" ".join([body.object.name, *body.object.aliases])))


def _described(body: Body, words: str, prompt: Prompt) -> Body:
    """``body`` with what the prompt says of ``words``, which join its aliases, where the engine reads its shape."""
    thing = body.object
    aliases = thing.aliases if words == "*" or words in (thing.name, *thing.aliases) else (*thing.aliases, words)
    key = prompt.materials.get(words, "unknown")
    material = thing.material if key == "unknown" else key
    action = prompt.actions.get(words, thing.action)
    return replace(body, object=replace(thing, material=material, aliases=aliases, action=action))

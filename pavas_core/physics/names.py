"""Which objects a name means."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pavas_core.errors import PhysicsError
from pavas_core.physics.types import MovingObject

NAMELESS = "object"
"""What a detector without words calls a thing."""


def slug(name: str) -> str:
    """``name`` in lower case with single hyphens: ``Red ball`` -> ``red-ball``."""
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-")


def find_objects(name: str, objects: Sequence[MovingObject]) -> tuple[tuple[MovingObject, ...], int]:
    """The objects that ``name`` means and how exactly (0 = by id, 1 = by alias, 2 = by name).

    An id means one object; an alias or a name may mean several. Where the clip holds a single object that nobody has
    named yet, any name means it (exactness 3). Raises PhysicsError, listing the known objects, where nothing fits.
    """
    wanted = slug(name)
    keys = (
        lambda one: (one.id,),
        lambda one: one.aliases,
        lambda one: (one.name,),
    )
    for exactness, names in enumerate(keys):
        found = tuple(one for one in objects if wanted and wanted in map(slug, names(one)))
        if found:
            return found, exactness
    if wanted and len(objects) == 1 and slug(objects[0].name) == NAMELESS:
        return tuple(objects), 3
    raise PhysicsError(f"There is no object {name.strip()!r}: {known_objects(objects)}.")


def known_objects(objects: Sequence[MovingObject]) -> str:
    """What there is, for messages."""
    if not objects:
        return "nothing moves in this clip"
    shown = [one.id if slug(one.name) in one.id else f"{one.id} ({one.name})" for one in objects]
    return f"there {'is' if len(shown) == 1 else 'are'} {', '.join(shown)}"

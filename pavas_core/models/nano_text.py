"""pavas-nano's prompt: materials and surface as rows of zeros and ones, from the words that the modal engine knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TEXT_ROWS = 8
"""Seven things and, last, the surface."""


@dataclass(frozen=True)
class Thing:
    """What a prompt says of one object: keys of the material table and of the shapes; empty = not said."""

    material: str = ""
    family: str = ""


def materials() -> tuple[str, ...]:
    """Material keys in the order of their columns."""
    from pavas_core.synthesis.materials import MATERIALS

    return tuple(key for key in MATERIALS if key != "unknown")


def families() -> tuple[str, ...]:
    """Shape families in the order of their columns."""
    from pavas_core.synthesis.shapes import FAMILIES

    return tuple(FAMILIES)


def text_dim() -> int:
    """Columns: a thing's material and family, the surface's material, and that there is a thing or a surface."""
    return 2 * len(materials()) + len(families()) + 2


def text_tokens(things: Sequence[Thing], surface: str) -> Tensor:
    """float (TEXT_ROWS, text_dim); all zeros where nothing is said. Things beyond the seventh are left out."""
    stuff, shapes = materials(), families()
    rows = torch.zeros(TEXT_ROWS, text_dim())
    for row, thing in zip(rows[:-1], things, strict=False):
        if thing.material in stuff:
            row[stuff.index(thing.material)] = 1.0
        if thing.family in shapes:
            row[len(stuff) + shapes.index(thing.family)] = 1.0
        row[-2] = float(bool(thing.material or thing.family))
    if surface in stuff:
        rows[-1, len(stuff) + len(shapes) + stuff.index(surface)] = 1.0
        rows[-1, -1] = 1.0
    return rows


def named_materials(tokens: Tensor) -> tuple[frozenset[str], frozenset[str]]:
    """Materials that rows of a prompt name: of things, and of the surface."""
    stuff, shapes = materials(), len(families())
    things = tokens[:-1, : len(stuff)].any(dim=0)
    ground = tokens[-1, len(stuff) + shapes : 2 * len(stuff) + shapes] > 0
    return (
        frozenset(key for key, named in zip(stuff, things, strict=True) if named),
        frozenset(key for key, named in zip(stuff, ground, strict=True) if named),
    )


def prompt_tokens(text: str) -> tuple[Tensor, tuple[str, ...]]:
    """Rows of a prompt, and the words that say nothing to the network.

    ``parse_prompt`` reads what lies between commas, so that each part may say what its things lie on or hit; the first
    surface that is understood is the one.
    """
    from pavas_core.synthesis.materials import MATERIALS
    from pavas_core.synthesis.prompt import parse_prompt
    from pavas_core.synthesis.shapes import knows_shape, shape_family

    things: list[Thing] = []
    unknown: list[str] = []
    surface = ""
    for part in re.split(r"[,;\n]", text):
        prompt = parse_prompt(part)
        for words, key in prompt.materials.items():
            shaped = any(knows_shape(word) for word in words.split())
            family = shape_family(words, MATERIALS[key]) if shaped else ""
            things.append(Thing("" if key == "unknown" else key, family))
        surface = surface or ("" if prompt.surface == "unknown" else prompt.surface)
        unknown += prompt.unknown_words
    return text_tokens(things, surface), tuple(dict.fromkeys(unknown))

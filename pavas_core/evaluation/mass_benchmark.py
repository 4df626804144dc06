"""How well masses are told: errors over the cited things of the table of everyday objects.

The min-ratio error of the mass-estimation literature (Standley et al., *image2mass*, CoRL 2017) is the mean over things
of min(estimate / truth, truth / estimate): 1 is perfect, and a thing without an estimate counts 0.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.errors import PavasError
from pavas_core.estimation.masses import Entry, everyday_objects
from pavas_core.evaluation.statistics import Figure, bootstrap, mean
from pavas_core.physics.names import slug
from pavas_core.physics.types import Mass, MovingObject, ObjectSet
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from pavas_core.estimation.language.vlm import Vlm

log = logging.getLogger("pavas")

UNCITED = ("manufacturers' product data", "middle of the balls")
"""How the sources of rows begin that no single publication says."""
BATCH = 8
"""Things a model is asked for at once."""

PROMPT = """Estimate the usual mass in kilograms of each of these everyday things, as used by adults:

{objects}

Answer with JSON only, no other text, one entry for each thing, with the names as above:
[{{"object": "name", "mass_kg": number, "low_kg": number, "high_kg": number}}]"""


@dataclass(frozen=True)
class MassScore:
    """Errors of one set of estimates."""

    min_ratio: Figure
    """Mean of min(estimate / truth, truth / estimate), with its bootstrap interval."""
    log_error: float
    """Mean of |ln(estimate / truth)| over the things that have an estimate."""
    within_twice: float
    """Share of all things that are estimated within a factor of two."""
    covered: float
    """Share of the estimated things whose true mass lies in the estimate's own range."""
    answered: int
    total: int


def cited_objects() -> tuple[Entry, ...]:
    """The rows of the table whose mass a named publication says."""
    return tuple(entry for entry in everyday_objects().values() if not entry.source.startswith(UNCITED))


def score(estimates: Mapping[str, Mass], entries: Sequence[Entry]) -> MassScore:
    """Errors of ``estimates`` (by name) against ``entries``. Raises PavasError where there is no estimate at all."""
    known = [(entry, estimates[entry.name]) for entry in entries if entry.name in estimates]
    if not known:
        raise PavasError("There is no estimate of any thing of the table: name things as the table does.")
    logs = {entry.name: math.log(mass.mass_kg / entry.mass_kg) for entry, mass in known}
    ratios = [math.exp(-abs(logs[entry.name])) if entry.name in logs else 0.0 for entry in entries]
    return MassScore(
        bootstrap(ratios, mean),
        mean([abs(value) for value in logs.values()]),
        sum(abs(value) <= math.log(2) for value in logs.values()) / len(entries),
        mean([mass.low_kg <= entry.mass_kg <= mass.high_kg for entry, mass in known]),
        len(known),
        len(entries),
    )


def table_by_size(entries: Sequence[Entry]) -> dict[str, Mass]:
    """Masses without names, by size alone: a power law through all other rows of the table, never the thing's own."""
    sized = [entry for entry in everyday_objects().values() if entry.size_m]
    found = {}
    for entry in entries:
        if not entry.size_m:
            continue
        others = [(math.log(one.size_m or 1.0), math.log(one.mass_kg)) for one in sized if one.name != entry.name]
        sizes, masses = np.array(others).T
        slope, offset = np.polyfit(sizes, masses, 1)
        spread = float(np.std(masses - slope * sizes - offset))
        middle = float(slope) * math.log(entry.size_m) + float(offset)
        low, mass, high = (math.exp(middle + step * 1.64 * spread) for step in (-1, 0, 1))
        found[entry.name] = Mass(mass, low, high, "size")
    return found


def table_by_words(entries: Sequence[Entry]) -> dict[str, Mass]:
    """What the table itself says to the names, which is the truth by construction where a name is found."""
    from pavas_core.estimation.masses import default_masses

    objects = as_objects(entries)
    masses = default_masses(objects).masses
    return {entry.name: masses[thing.id] for entry, thing in zip(entries, objects.objects, strict=True)}


def answers_of_text(text: str, entries: Sequence[Entry], source: str = "text") -> dict[str, Mass]:
    """The masses that any model's text gives of ``entries``. Raises AnswerError for contradictions."""
    from pavas_core.estimation.language.vlm_text import read_masses

    objects = as_objects(entries)
    masses, _ = read_masses(text, objects, source=source)
    names = {thing.id: thing.name for thing in objects.objects}
    return {names[name]: mass for name, mass in masses.masses.items()}


def answers_of_model(vlm: Vlm, entries: Sequence[Entry], *, runtime: Runtime | None = None) -> dict[str, Mass]:
    """What a language model answers to the names alone, eight at a time; things it does not answer are left out."""
    from pavas_core.estimation.language.vlm import answer
    from pavas_core.estimation.language.vlm_text import AnswerError, fill_prompt

    runtime = runtime or Runtime()
    found: dict[str, Mass] = {}
    for start in range(0, len(entries), BATCH):
        some = entries[start : start + BATCH]
        runtime.step("Asking for masses", start, len(entries))
        question = fill_prompt(PROMPT, {"objects": "\n".join(f"- {entry.name}" for entry in some)})
        text = answer(
            vlm, (), question, runtime=Runtime(check_cancelled=runtime.check_cancelled, device=runtime.device)
        )
        try:
            found |= answers_of_text(text, some, f"vlm:{vlm.name}")
        except AnswerError as error:
            log.warning("An answer cannot be used (%s)", error)
    runtime.step("Asking for masses", len(entries), len(entries))
    return found


def as_objects(entries: Sequence[Entry]) -> ObjectSet:
    """The rows as objects of a clip."""
    things = tuple(MovingObject(f"{slug(entry.name)}-1", entry.name) for entry in entries)
    return ObjectSet(things, 1, 1, 1.0, None, "table")

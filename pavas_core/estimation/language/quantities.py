"""Masses in words: ``about 600 g``, ``2-3 lb``, ``one and a half tonnes``."""

from __future__ import annotations

import math
import re

from pavas_core.errors import PhysicsError
from pavas_core.estimation.masses import UNITS_KG
from pavas_core.physics.validate import check_mass_kg

_MORE_UNITS_KG = {
    **dict.fromkeys(("mg", "milligram", "milligrams"), 1e-6),
    **dict.fromkeys(("ton", "tons", "metric ton", "metric tons"), 1e3),
    **dict.fromkeys(("stone", "stones"), 6.35029318),
}
ALL_UNITS_KG = UNITS_KG | _MORE_UNITS_KG
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBER_WORDS = {word: float(value) for value, word in enumerate(_ONES)} | {
    word: 10.0 * value for value, word in enumerate(_TENS, start=2)
}
_MULTIPLES = {"dozen": 12.0, "hundred": 100.0, "thousand": 1000.0, "million": 1e6}
_FRACTIONS = {"half": 0.5, "quarter": 0.25, "third": 1 / 3, "tenth": 0.1}
_WORD = "|".join(sorted([*_NUMBER_WORDS, *_MULTIPLES, *_FRACTIONS], key=len, reverse=True))
_PART = "|".join(_FRACTIONS)
_WORDED = re.compile(
    rf"\b(?:an?\s+(?=hundred|thousand|dozen|{_PART}))?(?:{_WORD})s?\b"
    rf"(?:[\s-]+and\s+(?:an?\s+)?(?:{_PART})s?\b|(?<=hundred)[\s-]+and\s+(?:{_WORD})\b|[\s-]+(?:an?\s+)?(?:{_WORD})s?\b)*",
    re.IGNORECASE,
)
_NUMBER = r"(?:\d{1,3}(?:[, ]\d{3})+(?:\.\d+)?|\d+[.,]\d+|\d+\.?|\.\d+)(?:e[+-]?\d+)?"
_UNIT = "|".join(sorted(map(re.escape, ALL_UNITS_KG), key=len, reverse=True))


def _one(name: str) -> str:
    """Pattern of one number with its unit, if any."""
    return (
        rf"(?P<{name}>{_NUMBER})(?:\s*/\s*(?P<{name}_of>\d+))?"
        rf"(?:[\s-]*(?:an?\s+|of\s+an?\s+)?(?P<{name}_unit>{_UNIT})\b\.?)?"
    )


_QUANTITY = re.compile(
    rf"(?<![\w.])(?P<sign>[-\u2212])?{_one('first')}"
    rf"(?:\s*(?P<join>-|–|—|\bto\b|\band\b|±|\+/-|\+-)\s*{_one('second')})?(?![\w])",
    re.IGNORECASE,
)


def find_masses_kg(text: str, unit_kg: float | None = None) -> list[tuple[float, float, float]]:
    """(mass, low, high) in kilograms of every quantity of ``text`` that has a unit of mass, in order.

    Where there is no unit, ``unit_kg`` kilograms are meant; None skips such numbers. A range stands for its geometric
    mean, since errors of masses are factors. A single value is its own range. Raises PhysicsError for a mass that is
    negative, zero or beyond all reason.
    """
    found = []
    for match in _QUANTITY.finditer(_digits(text)):
        unit = match["second_unit"] or match["first_unit"]
        if unit is None and unit_kg is None:
            continue
        usual_kg = ALL_UNITS_KG[unit.casefold()] if unit else unit_kg
        assert usual_kg is not None
        first_unit = match["first_unit"]
        first = _value(match["first"], match["first_of"]) * (
            ALL_UNITS_KG[first_unit.casefold()] if first_unit else usual_kg
        )
        if match["sign"]:
            first = -first
        if match["second"] is None:
            low = high = mass = check_mass_kg(first, repr(text[:60]))
        else:
            second = _value(match["second"], match["second_of"]) * usual_kg
            if match["join"] in {"±", "+/-", "+-"}:
                mass = check_mass_kg(first, repr(text[:60]))
                low, high = check_mass_kg(max(first - second, first / 1e3), repr(text[:60])), first + second
            else:
                low, high = sorted((first, second))
                mass = math.sqrt(check_mass_kg(low, repr(text[:60])) * check_mass_kg(high, repr(text[:60])))
        found.append((mass, low, high))
    return found


def mass_kg_of(value: object, unit_kg: float | None, what: str) -> tuple[float, float, float]:
    """(mass, low, high) in kilograms that ``value`` (a number, or words with one quantity) means.

    Raises PhysicsError where it means none or several.
    """
    if isinstance(value, bool) or value is None:
        raise PhysicsError(f"The mass of {what} is missing: give kilograms.")
    if isinstance(value, (int, float)):
        if unit_kg is None:
            raise PhysicsError(f"The mass of {what}, {value:g}, has no unit: give kilograms.")
        mass = check_mass_kg(float(value) * unit_kg, what)
        return mass, mass, mass
    if isinstance(value, (list, tuple)) and len(value) == 2:
        ends = sorted(mass_kg_of(one, unit_kg, what)[0] for one in value)
        return math.sqrt(ends[0] * ends[1]), ends[0], ends[1]
    found = find_masses_kg(value, unit_kg) if isinstance(value, str) else []
    if len(set(found)) != 1:
        raise PhysicsError(f"The mass of {what}, {value!r:.60}, is not one number of kilograms: write it like 0.6.")
    return found[0]


def _value(number: str, divisor: str | None) -> float:
    number = number.replace(" ", "")
    if re.fullmatch(r"(?!0,)\d{1,3}(,\d{3})+(\.\d+)?(e.*)?", number, re.IGNORECASE):
        number = number.replace(",", "")
    value = float(number.replace(",", "."))
    if divisor is not None:
        value = value / float(divisor) if float(divisor) else math.inf
    return value


def _digits(text: str) -> str:
    """``text`` with number words as digits: ``half a kilogram`` -> ``0.5 a kilogram``."""
    text = text.replace("½", " 0.5").replace("¼", " 0.25").replace("¾", " 0.75")
    text = _WORDED.sub(lambda match: f"{_worded(match.group()):g}", text)
    return re.sub(rf"(?<!\d )(?<!of )\ban?\s+(?=(?:{_UNIT})\b)", "1 ", text, flags=re.IGNORECASE)


def _worded(words: str) -> float:
    total, part = 0.0, 0.0
    for word in re.findall(r"[a-z]+", words.casefold()):
        if word not in _NUMBER_WORDS | _MULTIPLES | _FRACTIONS:
            word = word.removesuffix("s")
        if word in _NUMBER_WORDS:
            part += _NUMBER_WORDS[word]
        elif word in _FRACTIONS:
            # ``three quarters`` but ``two and a half``
            and_more = re.search(rf"and\s+(?:an?\s+)?{word}", words, re.IGNORECASE)
            part = part + _FRACTIONS[word] if and_more or not part else part * _FRACTIONS[word]
        elif word in _MULTIPLES:
            part = (part or 1.0) * _MULTIPLES[word]
            if word != "hundred":
                total, part = total + part, 0.0
    return total + part

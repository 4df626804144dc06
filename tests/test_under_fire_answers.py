"""Hundreds of broken answers of language models: each is read to something possible, or refused in one sentence."""

from __future__ import annotations

import math
import random

import pytest

from pavas_core.estimation.language import vlm_text
from pavas_core.physics.types import MAX_MASS_KG
from pavas_core.physics.validate import check_mass

COUNT = 400
OBJECTS = (
    '```json\n[\n  {"object": "red rubber ball", "action": "bounces", "material": "rubber", "first_seen_s": 0.4},\n'
    '  {"object": "claw hammer", "action": "strikes", "material": "steel", "first_seen_s": 1}\n]\n```',
    "Sure! Two things move:\n1. **Red rubber ball** (rubber): bouncing\n2. Claw hammer (steel): striking a board",
    "{'moving_objects': ['red rubber ball', 'claw hammer',]}",
    '<think>the camera pans...</think>[{"object": "red rubber ball"}, {"object": "claw hammer"}] Anything else?',
)
MASSES = (
    '[{"object": "red rubber ball", "mass_kg": 0.6, "low_kg": 0.4, "high_kg": 0.7, "reason": "size 7, hollow"},\n'
    ' {"object": "claw hammer", "mass_kg": "500 g", "low_kg": 0.4, "high_kg": 0.9, "reason": "steel head"}]',
    "The red rubber ball weighs about 600 g. The claw hammer weighs half a kilogram, maybe 1.1 lb.",
    '{"red rubber ball": "0.4-0.7 kg", "claw hammer": {"mass": 0.5, "unit": "kg"}}',
    "- red rubber ball: 0.6 kg\n- claw hammer: between 400 g and 900 g",
)
JUNK = (
    "NaN", "Infinity", "-1", "1e999", "0", "null", "true", "{}", "[]", "[[[[", "}}}}", '"', "'", "\\", "\\u12", "\x00",
    "\u202e", "“", "½", "kg", " tonnes", "-", "–", "±", ",", ":", "//", "/*", "```", "<think>", "</think>", "\n", "\t",
    "\u4e5d", "\uff19", "\U0001f3c0",
    "claw hammer", "red rubber ball", "object", "mass_kg", "9" * 400, "(" * 50, " " * 200, "1/0 kg",
)  # fmt: skip


def broken(rng: random.Random, text: str) -> str:
    """``text`` with one to four of the things done to it that happen to answers."""
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        kind = rng.randrange(8)
        if kind == 0:
            text = text[:at]  # cut off
        elif kind == 1:
            text = text[:at] + text[to:]  # a hole
        elif kind == 2:
            text = text[:to] + text[at:to] + text[to:]  # said twice
        elif kind == 3:
            text = text[:at] + rng.choice(JUNK) + text[at:]
        elif kind == 4:
            text = text[:at] + rng.choice(JUNK) + text[at + 1 :]
        elif kind == 5:
            old = rng.choice('"{}[]:,. 0123456789')
            text = text.replace(old, rng.choice(JUNK))
        elif kind == 6:
            text = rng.choice(OBJECTS + MASSES) + rng.choice(("\n", " ", "")) + text
        else:
            text = "".join(rng.sample(text.splitlines(True), len(text.splitlines(True))))
    return text


def read_or_refused(parse, text):
    """What was read, or None where it was refused in one sentence."""
    try:
        return parse(text)
    except vlm_text.AnswerError as error:
        refusal = error
    for said in (str(refusal), str(vlm_text.unusable("answer", refusal, text))):
        assert is_one_sentence(said), said
    return None


def objects_of(text, most=4):
    return vlm_text.parse_objects(text, 640, 360, 5.0, max_objects=most)


def is_one_sentence(said: str) -> bool:
    return said.endswith(".") and "\n" not in said and "\x00" not in said and len(said) < 2000


@pytest.mark.parametrize("start", range(0, COUNT, 50))
def test_objects_of_broken_answers(start):
    outcomes = set()
    for seed in range(start, start + 50):
        rng = random.Random(seed)
        text = broken(rng, rng.choice(OBJECTS))
        found = read_or_refused(objects_of, text)
        outcomes.add("refused" if found is None else "read")
        if found is None:
            continue
        assert len(found.objects) <= 4
        assert len({one.id for one in found.objects}) == len(found.objects)
        for one in found.objects:
            assert 0 < len(one.name) <= vlm_text.MAX_NAME, seed
            assert any(letter.isalpha() for letter in one.name), seed
            assert 0 <= one.time_s <= 5, seed
            assert one.box is None
    assert outcomes == {"read", "refused"}


TWO = vlm_text.parse_objects('["red rubber ball", "claw hammer"]', 640, 360, 5.0)


@pytest.mark.parametrize("start", range(0, COUNT, 50))
def test_masses_of_broken_answers(start):
    outcomes = set()
    for seed in range(start, start + 50):
        rng = random.Random(1000 + seed)
        text = broken(rng, rng.choice(MASSES))
        found = read_or_refused(lambda words: vlm_text.parse_masses(words, TWO), text)
        outcomes.add("refused" if found is None else "read")
        if found is None:
            continue
        assert set(found.masses) == {"red-rubber-ball-1", "claw-hammer-1"}, seed
        for name, mass in found.masses.items():
            check_mass(mass, name)
            assert math.isfinite(mass.mass_kg), seed
            assert 0 < mass.low_kg <= mass.mass_kg <= mass.high_kg <= MAX_MASS_KG, (seed, mass)
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize(
    "text", ["", " ", "\x00" * 50, "[" * 5000, "{" * 5000, '{"a":' * 2000, "9" * 20000, "- " * 3000, "a" * 100000]
)
def test_monstrous_answers_are_refused(text):
    assert read_or_refused(lambda words: vlm_text.parse_masses(words, TWO), text) is None
    found = read_or_refused(objects_of, text)
    assert found is None or found.objects == ()


@pytest.mark.parametrize(
    "text",
    [
        '[{"object": "red rubber ball", "mass_kg": 0.6}]',
        '[{"object": "blue ball", "mass_kg": 0.6}, {"object": "claw hammer", "mass_kg": 0.5}]',
        '[{"object": "red rubber ball"}, {"object": "claw hammer"}]',
        '[{"object": "red rubber ball", "mass_kg": "light"}, {"object": "claw hammer", "mass_kg": "heavy"}]',
        "The red rubber ball is lighter than the claw hammer, which weighs 0.5 kg.",
        "Both weigh 0.5 kg.",
        '[{"object": "red rubber ball", "mass_kg": 0}, {"object": "claw hammer", "mass_kg": 0.5}]',
        '[{"object": "red rubber ball", "mass_kg": NaN}, {"object": "claw hammer", "mass_kg": 0.5}]',
    ],
)
def test_a_mass_that_is_not_there_is_not_made_up(text):
    with pytest.raises(vlm_text.AnswerError):
        vlm_text.parse_masses(text, TWO)

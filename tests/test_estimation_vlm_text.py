"""Models' answers, good and bad, as values; never a silent guess."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pavas_core.errors import PhysicsError
from pavas_core.estimation.language import vlm_text
from pavas_core.estimation.language.loose_json import find_values
from pavas_core.estimation.language.quantities import find_masses_kg


def objects(text: str, **options):
    return vlm_text.parse_objects(text, 640, 360, 5.0, **options)


BALL_AND_HAMMER = objects('[{"object": "red ball"}, {"object": "hammer", "material": "steel"}]')


@pytest.mark.parametrize(
    ("words", "kilograms"),
    [
        ("about 600 g", 0.6), ("0,6 kg", 0.6), ("1,200 kg", 1200), ("a pound", 0.45359237), ("1/2 lb", 0.226796185),
        ("half a kilogram", 0.5), ("one and a half tonnes", 1500), ("twenty-five grams", 0.025), ("70-kg", 70),
        ("three quarters of a pound", 0.340194), ("two hundred and fifty grams", 0.25), ("1e-3 kg", 1e-3),
        ("500 g to 1 kg", 0.5**0.5), ("between two and three kilograms", 6**0.5), ("0.6 ± 0.1 kg", 0.6),
    ],
)  # fmt: skip
def test_a_mass_in_words(words, kilograms):
    ((mass, low, high),) = find_masses_kg(words)
    assert mass == pytest.approx(kilograms, rel=1e-4)
    assert low <= mass <= high


def test_numbers_without_a_unit_are_no_masses():
    assert find_masses_kg("5 apples in 2 baskets") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('```json\n[{"object": "red ball", "action": "rolls", "material": "rubber",},]\n```', [("red ball", "rubber")]),
        ('Sure! Here: [{"object": "dog"}] Hope it helps.', [("dog", "flesh")]),
        ("{'objects': ['a dog', 'a drum']}", [("a dog", "flesh"), ("a drum", "unknown")]),
        ("1. **Red ball** (rubber): bouncing\n2. hammer - strikes", [("Red ball", "rubber"), ("hammer", "unknown")]),
        ('<think>[{"object": "cat"}]</think>[{"object": "red ball"}]', [("red ball", "unknown")]),
        ('[{"object": "red ball"}, {"object": "ham', [("red ball", "unknown")]),
        ('[{"object": "red ball"}, {"object": "Red  Ball"}]', [("red ball", "unknown")]),
        ("[]", []),
        ("Nothing is moving in this video.", []),
    ],
)  # fmt: skip
def test_objects_of_an_answer(text, expected):
    found = [(one.name, one.material) for one in objects(text).objects]
    assert [name for name, _ in found] == [name for name, _ in expected]
    for (_, material), (_, wanted) in zip(found, expected, strict=True):
        assert wanted in {"unknown", material}


@pytest.mark.parametrize("text", ["", "I see a ball.", '[{"object": ""}]', '[{"obj', "[1, 2, 3"])
def test_answers_without_objects_are_refused(text):
    with pytest.raises(vlm_text.AnswerError):
        objects(text)


def test_more_objects_than_asked_for_are_left_out():
    assert len(objects('["a", "b", "c"]', max_objects=2).objects) == 2


@pytest.mark.parametrize(
    "text",
    [
        '[{"object": "red ball", "mass_kg": 0.6}, {"object": "hammer", "mass_kg": "500 g"}]',
        '{"red ball": "600 g", "hammer": 0.5}',
        "The red ball weighs about 600 g. The hammer weighs 0.5 kg.",
        "- red ball: 0.6 kg\n- hammer: half a kilogram",
        '[{"id": "red-ball-1", "mass_g": 600}, {"id": "hammer-1", "weight": "0.5 kg", "low_kg": 0.4, "high_kg": 0.6}]',
        '[{"object": "red ball", "mass_kg": 0.6}, {"object": "dog", "mass_kg":9}, {"object": "hammer", "mass_kg": .5}]',
        '[{"object": "red ball", "mass_kg": 0.6}, {"object": "hammer", "mass_kg": 0.5, "reason": "an ordin',
    ],
)
def test_masses_of_an_answer(text):
    masses = vlm_text.parse_masses(text, BALL_AND_HAMMER).masses
    assert masses["red-ball-1"].mass_kg == pytest.approx(0.6)
    assert masses["hammer-1"].mass_kg == pytest.approx(0.5)
    assert all(one.low_kg < one.mass_kg < one.high_kg for one in masses.values())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[{"object": "red ball", "mass_kg": 0.6}]', "no mass for hammer-1"),
        ('[{"object": "red ball", "mass_kg": -1}, {"object": "hammer", "mass_kg": 1}]', "above 0"),
        ('[{"object": "red ball", "mass_kg": 1e9}, {"object": "hammer", "mass_kg": 1}]', "at most"),
        ('{"red ball": 1, "hammer": "heavy"}', "not one number"),
        ('[{"object": "red ball", "mass_kg": 1}, {"object": "red ball", "mass_kg": 9}]', "two masses"),
        ('[{"object": "red ball", "mass_kg": 5, "low_kg": 1, "high_kg": 2}]', "outside its own range"),
        ("They are light.", "no mass for red-ball-1, hammer-1"),
    ],
)
def test_masses_that_cannot_be_used_are_refused(text, complaint):
    with pytest.raises(vlm_text.AnswerError, match=complaint):
        vlm_text.parse_masses(text, BALL_AND_HAMMER)


def test_one_retry_with_the_error_then_a_report_with_the_text():
    asked = []

    def answer(earlier, complaint):
        asked.append((earlier, complaint))
        return "no idea" if len(asked) == 1 else '["ball"]'

    found, text = vlm_text.ask(answer, objects, "answer")
    assert [one.name for one in found.objects] == ["ball"]
    assert text == '["ball"]'
    assert asked[0] == (None, None)
    assert asked[1][0] == "no idea"
    assert "no list of objects" in asked[1][1]
    with pytest.raises(vlm_text.AnswerError, match="still no idea"):
        vlm_text.ask(lambda *_: "still no idea", objects, "answer")


def test_prompts_are_filled_and_keep_their_braces():
    filled = vlm_text.fill_prompt('{count} {unknown} [{{"a": {count}}}]', {"count": 3})
    assert filled == '3 {unknown} [{"a": 3}]'
    assert '{"object"' in vlm_text.fill_prompt(vlm_text.MASS_PROMPT, {"objects": vlm_text.described(BALL_AND_HAMMER)})


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="[]{}\",:'0123456789.-eE abkgl/*\\\n<>`", max_size=120) | st.text(max_size=120))
def test_any_text_is_read_or_refused(text):
    find_values(text)
    for parse in (objects, lambda words: vlm_text.parse_masses(words, BALL_AND_HAMMER)):
        with contextlib.suppress(PhysicsError):
            parse(text)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400))
def test_an_answer_cut_anywhere_gives_complete_entries_or_an_error(length):
    text = "Here: " + str(
        [{"object": f"thing {index}", "action": "falls", "first_seen_s": index} for index in range(6)]
    )
    try:
        found = objects(text[:length])
    except vlm_text.AnswerError:
        return
    names = [one.name for one in found.objects]
    assert names == [f"thing {index}" for index in range(len(names))]

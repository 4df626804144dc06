"""Damaged inputs by the hundred: each is read or refused in one sentence, and nothing is written.

Seeds are fixed, so that a failure can be run again. A hang would exceed the watchdog of each test.
"""

from __future__ import annotations

import faulthandler
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import pytest

from pavas_core.errors import PavasError
from pavas_core.physics.overrides import apply_edits
from pavas_core.physics.serialise import load_scene, save_scene
from pavas_core.video.clip import iter_frames, open_clip, read_audio
from tests.physics_scenes import make_scene
from tests.video_files import clicks, make_video

WATCHDOG_S = 300


@pytest.fixture(autouse=True)
def watchdog():
    """End the run with every stack shown if a test hangs."""
    faulthandler.dump_traceback_later(WATCHDOG_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def damaged(content: bytes, count: int, seed: int, *, head: int = 4096) -> Iterator[bytes]:
    """``count`` versions of ``content``: bits flipped (mostly in its head), cut, doubled, zeroed or replaced."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(content)
        for _ in range(chance.choice([1, 1, 2, 8])):
            if not data:
                break
            place = chance.randrange(min(head, len(data)) if chance.random() < 0.7 else len(data))
            kind = chance.random()
            if kind < 0.5:
                data[place] ^= 1 << chance.randrange(8)
            elif kind < 0.6:
                data[place] = chance.choice([0, 255])
            elif kind < 0.75:
                del data[place:]
            elif kind < 0.85:
                data[place:place] = data[place : place + chance.randrange(1, 64)]
            elif kind < 0.95:
                del data[place : place + chance.randrange(1, 64)]
            else:
                end = place + chance.randrange(1, 512)
                data[place:end] = chance.randbytes(len(data[place:end]))
        yield bytes(data)


def survive(path: Path, versions: Iterator[bytes], read: Callable[[Path], object]) -> tuple[int, int]:
    """Read every version from ``path``; how many were read and refused. Fails on any other ending."""
    read_well = refused = 0
    around = {one.name for one in path.parent.iterdir()} | {path.name}
    for number, version in enumerate(versions):
        path.write_bytes(version)
        try:
            read(path)
            read_well += 1
        except PavasError as error:
            message = str(error)
            assert message.strip(), number
            assert "\n" not in message, f"version {number}: {message!r}"
            assert "Traceback" not in message
            refused += 1
        assert path.read_bytes() == version, "the input is never changed"
    assert {one.name for one in path.parent.iterdir()} == around, "nothing is written beside it"
    return read_well, refused


def watch_whole(path: Path) -> None:
    """Every picture and the sound of a clip."""
    clip = open_clip(path)
    for frame in iter_frames(clip):
        assert frame.image.shape == (clip.height, clip.width, 3)
    sound = read_audio(clip)
    assert sound is None or sound.waveform.ndim == 2


@pytest.mark.parametrize(
    ("suffix", "codec", "audio_codec", "count"),
    [
        ("mp4", "libx264", "aac", 140),
        ("mkv", "libx264", "libopus", 80),
        ("webm", "libvpx", "libopus", 60),
        ("avi", "mpeg4", "pcm_s16le", 60),
    ],
)
def test_damaged_clips(tmp_path, suffix, codec, audio_codec, count):
    source = make_video(
        tmp_path / f"whole.{suffix}",
        range(0, 600, 40),
        tick=Fraction(1, 25) if suffix == "avi" else Fraction(1, 1000),
        codec=codec,
        audio=clicks([0.2], 0.6),
        audio_codec=audio_codec,
    )
    versions = damaged(source.read_bytes(), count, seed=len(suffix) + count)
    _, refused = survive(tmp_path / f"clip.{suffix}", versions, watch_whole)
    assert refused > 0, "some damage cannot be overlooked"


def test_damaged_physics_files(tmp_path):
    path = save_scene(make_scene(), tmp_path / "scene.json")
    (arrays,) = [one for one in tmp_path.iterdir() if one != path]
    text, content = path.read_bytes(), arrays.read_bytes()
    read_well, refused = survive(path, damaged(text, 300, seed=3, head=len(text)), load_scene)
    assert refused > 100
    assert read_well > 0, "a digit changed is another value"
    path.write_bytes(text)
    _, refused = survive(arrays, damaged(content, 200, seed=4), lambda _: load_scene(path))
    assert refused > 50


def test_hostile_edits():
    """Values of every wrong kind, in every place of a document of edits."""
    scene = make_scene()
    good = {
        "objects": {"ball-1": {"mass_kg": 2.0, "material": "steel", "speed_scale": 2.0}},
        "impacts": {scene.impacts[0].id: {"time_s": 0.5}},
    }
    apply_edits(scene, good)
    wrong = [None, True, -1, 0, 1e308, float("nan"), float("inf"), "", "x" * 70_000, [], {}, [[]], {"a": 1}, "ball-1"]

    def everywhere(value: object, into: object) -> Iterator[object]:
        yield value
        if isinstance(into, dict):
            for key in into:
                for changed in everywhere(value, into[key]):
                    yield {**into, key: changed}
            yield {**into, str(value)[:50]: value}

    def outcome(given: object) -> str:
        try:
            apply_edits(scene, given)
        except PavasError as error:
            return str(error)
        return "taken"

    said = [
        outcome(given) for value in wrong for edits in everywhere(value, good) for given in (edits, json.dumps(edits))
    ]
    said += [outcome(text.decode(errors="replace")) for text in damaged(json.dumps(good).encode(), 300, seed=5)]
    assert len(said) >= 500
    assert all(text.strip() and "\n" not in text for text in said)
    assert 10 < said.count("taken") < len(said) / 2


def test_damaged_weights(tmp_path):
    import torch
    from safetensors.torch import save_file

    from pavas_core.weights.contents import identify
    from pavas_core.weights.reading import read_tensors

    def tell(path: Path) -> None:
        checkpoint = read_tensors(path)
        identify(checkpoint.shapes, path.name)

    tensors = {f"joint_blocks.{k}.x.weight": torch.randn(4, 3) for k in range(3)} | {
        "latent_mean": torch.zeros(1, 1, 4)
    }
    save_file(tensors, tmp_path / "a.safetensors", metadata={"config": "{}"})
    torch.save(tensors, tmp_path / "b.pth")
    torch.save(tensors, tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    for name, count in (("a.safetensors", 150), ("b.pth", 100), ("c.pth", 100)):
        source = (tmp_path / name).read_bytes()
        _, refused = survive(tmp_path / f"damaged-{name}", damaged(source, count, seed=count, head=1024), tell)
        assert refused > count // 4


def test_the_scene_is_unchanged_by_refused_edits():
    scene = make_scene(tracks=False)
    before = repr(asdict(scene))
    with pytest.raises(PavasError):
        apply_edits(scene, {"objects": {"ball-1": {"mass_kg": -1}}})
    assert repr(asdict(scene)) == before

"""``estimate``: published models by name of file, what each stage saw, and the score of masses."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from pavas_core import cli
from pavas_core.audio import Audio
from pavas_core.estimation.masses import everyday_objects
from pavas_core.estimation.space.reconstruction import from_point_maps
from pavas_core.estimation.stage_pictures import PointWatch
from pavas_core.evaluation import mass_benchmark
from pavas_core.physics.masks import pack_masks
from pavas_core.physics.serialise import load_scene
from pavas_core.physics.types import Mass, Track, TrackSet
from pavas_core.video.clip import clip_from_frames
from pavas_core.video.save import save_video
from tests.test_models_cut3r import small
from tests.test_models_cut3r_files import save
from tests.tiny_checkpoints import save_florence, save_qwen, save_sam2_transformers

ANSWER = '[{"object": "red ball", "material": "rubber", "mass_kg": 0.6, "low_kg": 0.5, "high_kg": 0.7}]'


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A clip of a dozen pictures, and every model."""
    base = tmp_path_factory.mktemp("estimate ü")
    frames = np.full((12, 96, 160, 3), 80, np.uint8)
    for index, frame in enumerate(frames):
        frame[20 + 4 * index : 36 + 4 * index, 30:50] = (230, 40, 30)
    save_video(clip_from_frames(frames, 12.0), Audio(np.zeros((1, 48000), np.float32), 48000), base / "clip.mp4")
    save_qwen(base / "vlm", "qwen3_vl", says=ANSWER)
    save_florence(base / "florence", says="red ball<loc_180><loc_200><loc_320><loc_380>")
    save_sam2_transformers(base / "sam2", seed=3)
    with torch.no_grad():
        save(base / "cut3r.pth", small(dpt=False).state_dict())
    return base


def run(*arguments) -> int:
    return cli.main(["estimate", *map(str, arguments)])


def test_every_stage_by_its_model_and_a_picture_of_each(files, tmp_path, capsys):
    folder = tmp_path / "out"
    models = [f"--{name}={files / name}" for name in ("vlm", "florence", "sam2")]
    assert (
        run(files / "clip.mp4", *models, f"--cut3r={files / 'cut3r.pth'}", "--check", "--pictures=3", "-o", folder) == 0
    )
    said = capsys.readouterr().out
    scene = load_scene(folder / "clip.physics.json")
    (body,) = scene.bodies
    assert (body.object.id, body.mass.mass_kg, body.mass.source) == ("red-ball-1", 0.6, "vlm:vlm")
    assert body.velocity.scale_source in {"camera", "gravity"}
    for line in ("objects     vlm", "tracks      florence and sam2", "velocities  cut3r.pth", "masses      vlm"):
        assert line in said
    for stage in ("loading the language model", "detection", "segmentation and tracking", "velocity", "masses"):
        assert f"{stage}: " in said
    assert "GiB at most" in said
    pictures = {path.name: np.asarray(Image.open(path)) for path in folder.glob("*.png")}
    assert set(pictures) == {f"{name}.png" for name in (
        "1_shown", "2_boxes", "3_masks", "4_depth", "4_points", "5_speeds",
    )}  # fmt: skip
    assert (folder / "1_objects.txt").read_text().strip() == ANSWER
    assert (folder / "1_masses.txt").read_text().strip() == ANSWER
    red = (pictures["1_shown.png"].astype(int) - (230, 40, 30)).__abs__().max(-1) < 60
    assert red.sum() > 3 * 200, "every picture that was shown, with the block in it"
    # The box of the words lies at 18 to 32 % of the width and 20 to 38 % of the height, below the caption.
    blue = np.argwhere((pictures["2_boxes.png"].astype(int) - (0, 114, 178)).__abs__().max(-1) < 12)
    top, left = blue.min(axis=0) - (28, 6)
    bottom, right = blue.max(axis=0) - (28, 6)
    assert (left, top) == pytest.approx((0.18 * 160, 0.2 * 96), abs=3)
    assert (right, bottom) == pytest.approx((0.32 * 160, 0.38 * 96), abs=3)


def test_stages_without_a_model_are_made_without_weights(files, tmp_path, capsys):
    assert run(files / "clip.mp4", "--mass=*=2", "-o", tmp_path / "plain") == 0
    assert "motion, no weights" in capsys.readouterr().out
    assert not list((tmp_path / "plain").glob("*.png"))


def test_words_of_the_user_take_the_language_models_place(files, tmp_path, capsys):
    models = [f"--{name}={files / name}" for name in ("florence", "sam2")]
    assert run(files / "clip.mp4", "--objects=red ball", *models, "--mass=red ball=0.3", "-o", tmp_path / "own") == 0
    (body,) = load_scene(tmp_path / "own" / "clip.physics.json").bodies
    assert (body.object.name, body.mass.mass_kg) == ("red ball", 0.3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "There is no clip"),
        (("CLIP", "--benchmark"), "takes no clip"),
        (("CLIP", "--answers=x.txt"), "belongs to --benchmark"),
        (("--benchmark", "--answers=gone.txt"), "cannot be read"),
        (("gone.mp4",), "gone.mp4"),
        (("CLIP", "--vlm=gone"), "needs SAM 2"),
        (("CLIP", "--vlm=gone", "--sam2=gone"), "needs Florence-2"),
        (("CLIP", "--sam2=gone"), "There is no model at gone"),
        (("CLIP", "--objects=ball"), "needs SAM 2"),
        (("CLIP", "--method=equation 3"), "add --cut3r FILE"),
        (("CLIP", "--max-objects=0"), "give 1 or more"),
        (("CLIP", "--precision=fp7"), "no precision"),
    ],
)  # fmt: skip
def test_errors_are_one_sentence(files, tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    given = [str(files / "clip.mp4") if one == "CLIP" else one for one in arguments]
    if "no precision" in words:
        given.append(f"--cut3r={files / 'cut3r.pth'}")
    assert run(*given) == cli.EXIT_ERROR
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("Error: ")
    assert words in told
    assert told.endswith(".")
    assert not list(tmp_path.iterdir())


def test_the_table_has_sixty_cited_things():
    entries = mass_benchmark.cited_objects()
    assert len(entries) >= 60
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert len(entry.source) > 8
        assert entry.low_kg <= entry.mass_kg <= entry.high_kg
    assert len(entries) < len(everyday_objects())


def test_scores():
    entries = mass_benchmark.cited_objects()[:4]
    exact = {one.name: Mass(one.mass_kg, one.low_kg, one.high_kg, "t") for one in entries}
    perfect = mass_benchmark.score(exact, entries)
    assert (perfect.min_ratio.value, perfect.log_error, perfect.within_twice, perfect.covered) == (1, 0, 1, 1)
    doubled = {name: Mass(2 * one.mass_kg, one.mass_kg * 1.9, 3 * one.mass_kg, "t") for name, one in exact.items()}
    halved = {name: Mass(one.mass_kg / 2, one.low_kg / 3, one.mass_kg * 1.1, "t") for name, one in exact.items()}
    for wrong, covered in ((doubled, 0), (halved, 1)):
        found = mass_benchmark.score(wrong, entries)
        assert found.min_ratio.value == pytest.approx(0.5)
        assert found.log_error == pytest.approx(np.log(2))
        assert found.covered == covered
    some = mass_benchmark.score({entries[0].name: exact[entries[0].name]}, entries)
    assert some.min_ratio.value == 0.25
    assert some.answered == 1


def test_a_thing_is_never_weighed_by_its_own_row(monkeypatch):
    entries = mass_benchmark.cited_objects()
    before = mass_benchmark.table_by_size(entries)
    first = next(one for one in entries if one.name in before)
    from dataclasses import replace

    table = everyday_objects() | {first.name: replace(first, mass_kg=1000 * first.mass_kg)}
    monkeypatch.setattr(mass_benchmark, "everyday_objects", lambda: table)
    after = mass_benchmark.table_by_size(entries)
    assert after[first.name] == before[first.name]
    assert after != before


def test_benchmark_of_a_text_and_of_a_model(files, tmp_path, capsys, caplog):
    answers = tmp_path / "answers.txt"
    answers.write_text("basketball: 600 g\nA tennis ball weighs 0.1154 kg.\n- golf ball: 0.0455 kg\n", encoding="utf-8")
    with caplog.at_level(logging.ERROR):
        assert run("--benchmark", f"--answers={answers}", f"--vlm={files / 'vlm'}") == cli.EXIT_ERROR
    assert "no estimate of any thing" in capsys.readouterr().err
    assert run("--benchmark", f"--answers={answers}") == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("answers.txt"))
    total = len(mass_benchmark.cited_objects())
    assert f"3 of {total}" in row
    assert f"{2.5 / total:.3f}" in row


def test_a_model_is_asked_for_every_thing(tmp_path, capsys):
    says = '[{"object": "basketball", "mass_kg": 0.6}, {"object": "baseball", "mass_kg": 0.29}]'
    assert run("--benchmark", f"--vlm={save_qwen(tmp_path / 'talker', says=says)}") == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("talker"))
    assert f"2 of {len(mass_benchmark.cited_objects())}" in row


def test_world_points_from_above_and_aside():
    """A wall 4 m away, an object nearer and to the right: it is drawn right and below, then left of the wall."""
    y, x = np.meshgrid(np.arange(40) - 20, np.arange(60) - 30, indexing="ij")
    depth = np.full((40, 60), 4.0)
    mask = np.zeros((2, 40, 60), bool)
    mask[:, 15:25, 45:55] = True
    depth[mask[0]] = 2.0
    points = np.stack([x * depth / 40, y * depth / 40, depth], axis=-1)[None].repeat(2, axis=0)
    made = from_point_maps(points, [0.0, 0.1], (60, 40), source="test", scale_sigma=0.1)
    nan = np.full((2, 2), np.nan, np.float32)
    track = Track(
        "a", np.ones(2, bool), np.zeros((2, 4), np.float32), nan, nan[:, 0], np.zeros(2, bool), masks=pack_masks(mask)
    )
    tracks = TrackSet(np.array([0.0, 0.1]), 60, 40, 0.2, (track,))
    watch = PointWatch(2)
    assert len(list(watch.watch(made, tracks).views)) == 2
    picture = watch.picture().astype(int)
    side = picture.shape[0]

    def middle(part, colour):
        return np.argwhere(np.abs(part - colour).max(-1) < 8).mean(axis=0)

    above, aside = picture[:, :side], picture[:, side:]
    thing, wall = (middle(above[60:-60], colour) for colour in ((0, 114, 178), (190, 190, 190)))
    assert thing[0] > wall[0] + 50, "nearer is lower"
    assert thing[1] > wall[1] + 20, "right is right"
    thing, wall = (middle(aside[60:-60], colour) for colour in ((0, 114, 178), (190, 190, 190)))
    assert thing[1] < wall[1] - 50, "nearer is left"

"""Pictures of a scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pavas_core.audio import Audio
from pavas_core.errors import PhysicsError
from pavas_core.physics.masks import pack_masks
from pavas_core.physics.types import Scene, Track, TrackSet
from pavas_core.plots import FLASH_S, PALETTE, PLOT_SIZE, draw_overlay, overlay_frames, picture_times, plot_scene
from pavas_core.video.clip import clip_from_frames
from tests.physics_scenes import make_impact, make_scene

HEIGHT, WIDTH, FRAMES = 180, 320, 40


def filmed() -> tuple:
    """A grey clip of 2 s and a scene whose ball is a square that moves to the right, seen until 1.5 s."""
    clip = clip_from_frames(np.full((FRAMES, HEIGHT, WIDTH, 3), 128, np.uint8), 20.0)
    times_s = np.arange(FRAMES) / 20.0
    masks = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    x = 20 + 6 * np.arange(FRAMES)
    for mask, left in zip(masks, x, strict=True):
        mask[100:120, left : left + 20] = True
    visible = times_s < 1.5
    masks[~visible] = False
    boxes = np.stack([x, np.full(FRAMES, 100), x + 20, np.full(FRAMES, 120)], 1).astype(np.float32)
    track = Track(
        "ball-1",
        visible,
        np.where(visible[:, None], boxes, np.nan).astype(np.float32),
        np.where(visible[:, None], (boxes[:, :2] + boxes[:, 2:]) / 2, np.nan).astype(np.float32),
        np.full(FRAMES, 400, np.float32),
        np.zeros(FRAMES, bool),
        masks=pack_masks(masks),
    )
    base = make_scene(tracks=False)
    scene = replace(base, width=WIDTH, height=HEIGHT, tracks=TrackSet(times_s, WIDTH, HEIGHT, 2.0, (track,)))
    return clip, scene


def changed(picture: np.ndarray) -> np.ndarray:
    return (picture != 128).any(axis=-1)


def test_overlays_tint_the_object_where_it_is():
    clip, scene = filmed()
    pictures = overlay_frames(clip, scene, count=3)
    assert pictures.shape == (3, HEIGHT, WIDTH, 3)
    assert pictures.dtype == np.uint8
    picture = draw_overlay(np.full((HEIGHT, WIDTH, 3), 128, np.uint8), 0.5, replace(scene, impacts=()))
    blue = np.array(PALETTE[0])
    inside = picture[103:117, 20 + 60 + 3 : 20 + 60 + 17].astype(float)
    towards = np.abs(inside - blue).sum(axis=-1) < np.abs(128.0 - blue).sum()
    assert towards.mean() > 0.5
    assert not changed(picture[125:, 200:]).any(), "away from objects and words the picture stays"


def test_what_is_not_seen_is_not_drawn():
    _, scene = filmed()
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    late = draw_overlay(grey, 1.95, replace(scene, impacts=()))
    assert not changed(late[80:, 215:]).any(), (
        "no mask or label after the last sight at 204 pixels, only the trail up to it"
    )
    assert changed(late[105:115, 120:200]).any()
    assert (grey == 128).all(), "the clip's own picture is not written to"


def test_an_impact_flashes_at_its_place_and_time_only():
    _, scene = filmed()
    hit = make_impact("hit", "ball-1", time_s=1.8, position=(0.25, 0.8))
    scene = replace(scene, impacts=(hit,))
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    place = (slice(120, 170), slice(55, 105))
    assert changed(draw_overlay(grey, 1.8, scene)[place]).any()
    assert not changed(draw_overlay(grey, 1.8 + 1.5 * FLASH_S, scene)[place]).any()


def test_pictures_show_the_hardest_impacts_and_spread_over_the_rest():
    scene = make_scene()
    hits = [
        make_impact(str(i), "ball-1", time_s=t, energy_loss_j=e)
        for i, (t, e) in enumerate([(0.3, 1), (0.31, 9), (1.7, 5)])
    ]
    scene = replace(scene, impacts=tuple(hits))
    assert picture_times(scene, 2.0, 2) == [0.31, 1.7]
    four = picture_times(scene, 2.0, 4)
    assert {0.31, 1.7} <= set(four)
    assert np.diff([0, *four, 2.0]).max() < 1.0
    even = picture_times(replace(scene, impacts=()), 2.0, 3)
    assert len(even) == 3
    assert min(np.diff(even)) > 0.3


@pytest.mark.parametrize("count", [1, 7, 64])
def test_as_many_pictures_as_asked_for_even_more_than_the_clip_has(count):
    clip, scene = filmed()
    assert len(overlay_frames(clip, scene, count=count)) == count
    with pytest.raises(PhysicsError):
        overlay_frames(clip, scene, count=0)


def test_the_picture_nearest_in_time_is_taken():
    frames = np.zeros((20, 64, 96, 3), np.uint8)
    frames += (np.arange(20) * 10).astype(np.uint8)[:, None, None, None]
    scene = Scene(1.0, 96, 64, (), (make_impact("x", "ball-1", time_s=0.51, energy_loss_j=1),))
    picture = overlay_frames(clip_from_frames(frames, 20.0), scene, count=1)[0]
    assert np.median(picture[:, :8][40:]) == 100


def colour_columns(plot: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Columns of the first panel that hold the colour."""
    top = plot[58 + 24 :][: PLOT_SIZE[1]]
    return np.flatnonzero((np.abs(top.astype(int) - colour).max(axis=-1) < 12).any(axis=0))


def test_the_plot_has_a_curve_an_object_with_its_gap():
    scene = replace(make_scene(), impacts=())
    plot = plot_scene(scene)
    assert plot.shape == (58 + 24 + 2 * PLOT_SIZE[1], PLOT_SIZE[0], 3)
    columns = colour_columns(plot, PALETTE[0])
    x = lambda time_s: 70 + time_s / 2.0 * (PLOT_SIZE[0] - 94)  # noqa: E731
    middles = scene.bodies[0].velocity.times_s
    assert columns.min() < x(middles[0]) + 30
    # the sixth speed is unknown, so the line rests from the fifth to the seventh
    gap = (columns > x(middles[4]) + 6) & (columns < x(middles[6]) - 6)
    assert not gap.any()
    assert ((columns > x(middles[1])) & (columns < x(middles[3]))).sum() > 50


def test_sound_adds_waveform_and_spectrogram():
    scene = make_scene()
    rate = 16000
    tone = np.zeros((2, 2 * rate), np.float32)
    tone[:, rate:] = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    plain, plot = plot_scene(scene), plot_scene(scene, Audio(tone, rate))
    assert plot.shape[0] - plain.shape[0] == 2 * PLOT_SIZE[1]
    spectrogram = plot[-PLOT_SIZE[1] + 26 : -34, 70 : PLOT_SIZE[0] - 24].astype(int)
    dark = 255 * 3 - spectrogram.sum(axis=-1)
    half = dark.shape[1] // 2
    assert dark[30:, half + 20 :].sum() > 20 * dark[30:, 20 : half - 20].sum(), "silence is white, the tone is not"
    row = int(np.argmax(dark[30:, half + 40 : -10].mean(axis=1))) + 30
    expected = (np.log10(8000) - 3) / (np.log10(8000) - np.log10(50)) * dark.shape[0]
    assert row == pytest.approx(expected, abs=6), "1 kHz lies at its place on the axis"


@pytest.mark.parametrize("samples", [0, 1, 20, 1000])
def test_odd_sounds_are_drawn(samples):
    plot_scene(make_scene(), Audio(np.zeros((1, samples), np.float32), 8000))


def test_scenes_without_objects_impacts_or_speeds_are_drawn():
    scene = make_scene()
    assert plot_scene(Scene(1.0, 64, 48, (), ())).dtype == np.uint8
    unseen = [
        replace(body, velocity=replace(body.velocity, speed_mps=np.full(8, np.nan, np.float32)))
        for body in scene.bodies
    ]
    plot_scene(replace(scene, bodies=tuple(unseen), impacts=()))
    none = np.zeros(0, np.float32)
    empty = replace(
        scene.bodies[0].velocity, times_s=none.astype(float), speed_mps=none, vector_mps=none.reshape(0, 3), breaks=()
    )
    clip, filmed_scene = filmed()
    still = replace(filmed_scene, bodies=(replace(scene.bodies[0], velocity=empty),), impacts=())
    plot_scene(still)
    overlay_frames(clip, still, count=2)
    overlay_frames(clip, replace(still, tracks=None), count=2)


def test_the_same_scene_gives_the_same_picture():
    np.testing.assert_array_equal(plot_scene(make_scene()), plot_scene(make_scene()))

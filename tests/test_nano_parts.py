"""pavas-nano's codec, views and prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pavas_core.audio import Audio
from pavas_core.evaluation.onsets import match_times, pick_onsets
from pavas_core.models.nano_codec import NanoCodec
from pavas_core.models.nano_text import TEXT_ROWS, Thing, prompt_tokens, text_dim, text_tokens
from pavas_core.models.nano_visual import MOTION_DIM, REACHES, SYNC_DIM, SYNC_HZ, see, sync_steps
from pavas_core.physics.types import Track, TrackSet

RATE = 16000


def knock(gain: float = 1.0, seed: int = 705, seconds: float = 4.096) -> torch.Tensor:
    """The true sound [T] of a simulated scene with impacts, which the codec was not fitted to."""
    from pavas_core.training.examples import training_clip, true_sound

    sim = training_clip(seed)
    sound = true_sound(sim.scene, sim.played.stage.floor_material, 1)[: round(seconds * RATE)]
    return gain * torch.from_numpy(sound)


@pytest.fixture(scope="module")
def codec() -> NanoCodec:
    from pavas_core.models.nano import load_nano
    from pavas_core.runtime import Runtime

    return load_nano(Runtime()).codec


@pytest.mark.parametrize("seed", [704, 705, 709])
def test_round_trip_keeps_length_level_and_onsets(codec: NanoCodec, seed: int) -> None:
    wave = knock(seed=seed)[None]
    back = codec.decode(codec.encode(wave))[:, : wave.shape[1]]
    assert back.shape == wave.shape
    assert abs(gap_db(back, wave)) < 1.0
    true, heard = (pick_onsets(Audio(one.numpy(), RATE)) for one in (wave, back))
    assert len(true) > 0
    assert match_times(true, heard, 0.05).f1 >= 0.9


def gap_db(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(10 * torch.log10(a.square().mean() / b.square().mean()))


def test_level_is_linear_in_decibels(codec: NanoCodec) -> None:
    loud, soft = (codec.decode(codec.encode(knock(gain)[None])) for gain in (3.0, 0.3))
    assert gap_db(loud, soft) == pytest.approx(20, abs=1.5)


def test_over_full_scale_is_not_clipped(codec: NanoCodec) -> None:
    wave = knock()[None]
    wave = wave * (20.0 / wave.abs().max())
    assert float(codec.decode(codec.encode(wave)).abs().max()) > 5.0


def test_decoding_repeats_bit_for_bit(codec: NanoCodec) -> None:
    latent = codec.encode(knock(seconds=0.5)[None])
    assert torch.equal(codec.decode(latent), codec.decode(latent))


def bouncing(bounce_s: float, *, rate: float = 25.0, seconds: float = 2.048) -> Track:
    """A thing that falls steadily and rises steadily from ``bounce_s`` on."""
    times = np.arange(round(seconds * rate)) / rate
    y = 100 - 80 * np.abs(times - bounce_s)
    centroids = np.stack([np.full_like(y, 60), y], axis=1).astype(np.float32)
    boxes = np.concatenate([centroids - 5, centroids + 5], axis=1)
    seen = np.ones(len(times), bool)
    return Track("ball-1", seen, boxes, centroids, np.full(len(times), 80, np.float32), ~seen)


def tracks_of(*tracks: Track, rate: float = 25.0, seconds: float = 2.048) -> TrackSet:
    times = np.arange(round(seconds * rate)) / rate
    return TrackSet(times, 128, 128, seconds, tracks)


@pytest.mark.parametrize("bounce_s", [0.5, 1.0, 1.5])
def test_a_bounce_is_seen_when_it_happens(bounce_s: float) -> None:
    sight = see(tracks_of(bouncing(bounce_s)), None, 2.048)
    jumps = sight.sync[:, 2 * MOTION_DIM : 2 * MOTION_DIM + len(REACHES)]
    for column in range(len(REACHES)):
        peak = (int(jumps[:, column].argmax()) + 0.5) / SYNC_HZ
        assert abs(peak - bounce_s) <= 0.07


def test_motion_sees_both_directions_by_a_quarter_second() -> None:
    sight = see(tracks_of(bouncing(1.0)), None, 2.048)
    widest = sight.sync[:, 2 * MOTION_DIM + len(REACHES) - 1]
    times = (np.arange(len(widest)) + 0.5) / SYNC_HZ
    felt = times[widest > 0.2 * widest.max()]
    assert felt.min() < 0.8 < 1.2 < felt.max()


def test_coming_into_view_and_leaving_it_are_no_blows() -> None:
    track = bouncing(1.0)
    times = np.arange(len(track.visible)) / 25.0
    track.centroids[:, 1] = 20 + 40 * times
    track.visible[(times < 0.5) | (times > 1.5)] = False
    sight = see(tracks_of(track), None, 2.048)
    jumps = sight.sync[:, 2 * MOTION_DIM : 2 * MOTION_DIM + len(REACHES)]
    assert np.abs(jumps).max() < 0.05


def test_order_of_objects_does_not_matter_to_sync() -> None:
    a, b = bouncing(0.7), bouncing(1.3)
    first, second = see(tracks_of(a, b), None, 2.048), see(tracks_of(b, a), None, 2.048)
    np.testing.assert_allclose(first.sync, second.sync)
    np.testing.assert_allclose(first.objects, second.objects[::-1])


def test_no_objects_and_hidden_ones_are_zero() -> None:
    nothing = see(tracks_of(), None, 2.048)
    assert nothing.sync.shape == (64, SYNC_DIM)
    assert not nothing.sync.any()
    assert len(nothing.objects) == 0
    track = bouncing(1.0)
    track.visible[:] = False
    hidden = see(tracks_of(track), None, 2.048)
    assert not hidden.present.any()
    assert not hidden.objects.any()


@pytest.mark.parametrize("duration_s", [0.3, 0.5, 3.7, 4.096, 60.0])
def test_sync_steps_are_whole_segments_at_about_the_rate(duration_s: float) -> None:
    steps = sync_steps(duration_s)
    assert steps % 8 == 0
    assert abs(steps - duration_s * SYNC_HZ) <= 8


def test_prompt_words_become_rows_and_unknown_ones_are_named() -> None:
    rows, unknown = prompt_tokens("rubber ball and steel hammer with glimmer on wooden floor")
    assert rows.shape == (TEXT_ROWS, text_dim())
    assert rows[0].sum() == 3
    assert rows[-1].sum() == 2
    assert unknown == ("glimmer",)
    assert torch.equal(rows, text_tokens([Thing("rubber", "ball"), Thing("steel", _family("hammer"))], "wood"))


def _family(name: str) -> str:
    from pavas_core.synthesis.materials import MATERIALS
    from pavas_core.synthesis.shapes import shape_family

    return shape_family(name, MATERIALS["steel"])


def test_every_part_of_a_prompt_may_say_where_it_happens() -> None:
    rows, unknown = prompt_tokens("rubber ball bouncing on wood, steel hammer hitting stone")
    told = text_tokens([Thing("rubber", "ball"), Thing("steel", _family("hammer"))], "wood")
    assert torch.equal(rows, told)
    assert not unknown


def test_empty_prompt_is_null() -> None:
    rows, unknown = prompt_tokens("")
    assert not rows.any()
    assert not unknown

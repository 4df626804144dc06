"""Simulated clips: their truth agrees with itself and with their pictures."""

from collections import Counter
from dataclasses import replace

import av
import numpy as np
import pytest

from pavas_core.errors import PhysicsError
from pavas_core.physics.masks import unpack_mask
from pavas_core.physics.serialise import load_scene
from pavas_core.physics.types import GRAVITY_MPS2
from pavas_core.simulation.camera import CameraMotion
from pavas_core.simulation.clip_files import sound_of, write_clip
from pavas_core.simulation.dataset import write_dataset, write_example
from pavas_core.simulation.render import Painter
from pavas_core.simulation.scenes import KINDS, QUIET, STRIKES, draw_kind
from pavas_core.simulation.simulate import counterfactual, simulate

SMALL = {"width": 160, "height": 90, "frame_rate": 15.0, "duration_s": 2.0, "mask_long_side": 160}


def test_mixture_has_enough_strikes_and_enough_quiet():
    shares = Counter(draw_kind(np.random.default_rng([seed, 1])) for seed in range(3000))
    quiet = sum(shares[kind] for kind in QUIET) / 3000
    strikes = sum(shares[kind] for kind in STRIKES) / 3000
    assert quiet >= 0.20
    assert strikes / (1 - quiet) >= 0.40
    assert set(shares) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_plays_and_keeps_its_word(kind):
    seen = 0
    for seed in range(300, 304):
        sim = simulate(seed, kind=kind, **{**SMALL, "duration_s": 3.0})
        scene = sim.scene
        known = {body.object.id for body in scene.bodies}
        assert all(0.0 <= impact.time_s <= scene.duration_s for impact in scene.impacts)
        assert sorted(i.time_s for i in scene.impacts) == [i.time_s for i in scene.impacts]
        for impact in scene.impacts:
            assert impact.object_id in known
            assert impact.partner is None or impact.partner in known
            assert np.hypot(*impact.normal[:2]) == pytest.approx(1.0)
            assert min(impact.energy_loss_j, impact.impulse_ns, impact.pre_normal_mps, impact.post_normal_mps) >= 0.0
        seen += sim.has_contact
        if kind in QUIET:
            assert not sim.has_contact
        if kind in ("pan", "light", "still"):
            assert not scene.bodies
    if kind not in QUIET:
        assert seen >= 3


def test_same_seed_same_clip_other_seed_other_clip():
    first, second, other = simulate(7, **SMALL), simulate(7, **SMALL), simulate(8, **SMALL)
    assert first.scene.impacts == second.scene.impacts
    assert np.array_equal(next(first.frames()), next(second.frames()))
    assert not np.array_equal(next(first.frames()), next(other.frames()))


def free_clip():
    return simulate(320, kind="drop", **{**SMALL, "width": 320, "height": 180, "frame_rate": 60.0})


def test_track_follows_gravity_at_the_given_scale():
    sim = free_clip()
    body = sim.scene.bodies[0]
    track = sim.scene.tracks.tracks[0]
    times = sim.scene.tracks.times_s
    hits = [i.time_s for i in sim.scene.impacts if body.object.id in (i.object_id, i.partner)]
    # the part of the first fall in which the whole body is seen and already free
    speed = body.velocity.vector_mps[:, 1]
    free = np.flatnonzero(track.visible & ~track.truncated & (times < hits[0] - 0.02))
    free = free[free > 0]
    free = free[speed[free - 1] > 0.3]
    assert len(free) > 8
    steady = np.einsum("lij,lj->li", sim.scene.tracks.camera[:, :, :2], track.centroids)
    steady = steady + sim.scene.tracks.camera[:, :, 2]
    fall = np.polyfit(times[free], steady[free, 1], 2)[0] * 2 * sim.metres_per_px
    assert fall == pytest.approx(GRAVITY_MPS2, rel=0.05)


def test_velocity_agrees_with_the_track_between_frames():
    sim = simulate(330, kind="passing", **SMALL)
    track, body = sim.scene.tracks.tracks[0], sim.scene.bodies[0]
    whole = track.visible & ~track.truncated
    steady = np.einsum("lij,lj->li", sim.scene.tracks.camera[:, :, :2], track.centroids)
    steady = steady + sim.scene.tracks.camera[:, :, 2]
    step = np.diff(steady[:, 0]) * sim.metres_per_px / np.diff(sim.scene.tracks.times_s)
    both = whole[1:] & whole[:-1]
    assert both.sum() > 5
    assert np.median(step[both]) == pytest.approx(np.median(body.velocity.vector_mps[both, 0]), rel=0.03)


def test_masks_lie_on_what_is_painted():
    sim = simulate(340, kind="toss", **SMALL)
    still = replace(sim.filming, camera=CameraMotion(), noise=0.0, wall_shadow=0.0, floor_shadow=0.0, leaves=0,
                    curtain=False, television=False, exposure=0.01, blur=0.0,
                    light=replace(sim.filming.light, drift=0.0, mains=0.0, steps=(), shade_strength=0.0))  # fmt: skip
    painter = Painter(sim.played, still, 160, 90)
    empty = painter.frame(0, 0.0, 1 / 15).astype(int)
    time_s = next(
        t
        for t in np.arange(0.1, 2.0, 0.02)
        if painter.masks(float(t)).any() and not painter.masks(float(t))[:, :, :3].any()
    )
    changed = np.abs(painter.frame(0, float(time_s), 1 / 15).astype(int) - empty).max(axis=2) > 12
    mask = (painter.masks(float(time_s)) > 127).any(axis=0)
    assert (changed & mask).sum() > 0.7 * mask.sum()
    assert (changed & ~mask).sum() < 0.35 * mask.sum() + 10


def test_packed_masks_match_area_and_box():
    sim = simulate(350, kind="throw", **SMALL)
    track = sim.scene.tracks.tracks[0]
    index = int(np.nanargmax(track.area_px))
    mask = unpack_mask(track.masks, index)
    scale = sim.scene.width / track.masks.width
    assert mask.sum() * scale**2 == pytest.approx(track.area_px[index], rel=0.15)
    columns = np.flatnonzero(mask.any(axis=0))
    assert columns[0] * scale == pytest.approx(track.boxes[index, 0])


def test_camera_maps_every_frame_onto_the_first():
    sim = simulate(360, kind="pan", **{**SMALL, "width": 320, "height": 180})
    assert not sim.scene.bodies
    tracks = sim.scene.tracks
    assert tracks.camera[0] == pytest.approx(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    import cv2

    light = replace(sim.filming.light, drift=0.0, mains=0.0, shade_strength=0.0)
    plain = replace(sim.filming, noise=0.0, television=False, leaves=0, curtain=False, light=light)
    painter = Painter(sim.played, plain, 320, 180)
    first = cv2.GaussianBlur(painter.frame(0, 0.0, 0.001), (0, 0), 1.5).astype(float)
    later = next(i for i, c in enumerate(tracks.camera) if 15.0 < np.hypot(*c[:, 2]) < 80.0)
    frame = painter.frame(later, float(tracks.times_s[later]), 0.001)
    back = cv2.warpAffine(frame, tracks.camera[later], (320, 180), borderValue=(0, 0, 0))
    inside = cv2.warpAffine(np.full((180, 320), 255, np.uint8), tracks.camera[later], (320, 180)) == 255
    aligned = np.abs(cv2.GaussianBlur(back, (0, 0), 1.5) - first).mean(axis=2)[inside].mean()
    unaligned = np.abs(cv2.GaussianBlur(frame, (0, 0), 1.5) - first).mean(axis=2)[inside].mean()
    assert aligned < 0.5 * unaligned


def test_energy_loss_is_the_sum_over_both_partners():
    for seed in range(370, 390):
        sim = simulate(seed, kind="collide", **SMALL)
        masses = {body.object.id: body.mass.mass_kg for body in sim.scene.bodies}
        pairs = [(i, p) for i, p in zip(sim.scene.impacts, sim.partners, strict=True) if i.partner]
        if pairs:
            break
    for impact, partner in pairs:
        loss = 0.5 * masses[impact.object_id] * (impact.pre_speed_mps**2 - impact.post_speed_mps**2)
        loss += 0.5 * masses[impact.partner] * (partner.pre_speed_mps**2 - partner.post_speed_mps**2)
        assert impact.energy_loss_j == pytest.approx(max(0.0, loss), rel=1e-9, abs=1e-12)


def test_counterfactual_keeps_pictures_and_scales_numbers():
    sim = free_clip()
    body = sim.scene.bodies[0]
    heavier = counterfactual(sim, {body.object.id: 4.0})
    faster = counterfactual(sim, speed_scale=2.0)
    assert np.array_equal(next(heavier.frames()), next(sim.frames()))
    assert heavier.scene.tracks is sim.scene.tracks
    assert heavier.scene.bodies[0].mass.mass_kg == pytest.approx(4.0 * body.mass.mass_kg)
    assert faster.scene.time_scale == pytest.approx(0.5)
    assert faster.scene.bodies[0].velocity.speed_mps == pytest.approx(2.0 * body.velocity.speed_mps, nan_ok=True)
    assert any(i.object_id == body.object.id and i.partner is None for i in sim.scene.impacts)
    for before, mass, speed in zip(sim.scene.impacts, heavier.scene.impacts, faster.scene.impacts, strict=True):
        assert speed.impulse_ns == pytest.approx(2.0 * before.impulse_ns)
        assert speed.energy_loss_j == pytest.approx(4.0 * before.energy_loss_j)
        assert mass.pre_speed_mps == before.pre_speed_mps
        if before.object_id == body.object.id and before.partner is None:
            assert mass.impulse_ns == pytest.approx(4.0 * before.impulse_ns)
            assert mass.energy_loss_j == pytest.approx(4.0 * before.energy_loss_j)


def test_counterfactual_refuses_nonsense_by_name():
    sim = free_clip()
    with pytest.raises(PhysicsError, match="no object anvil-9"):
        counterfactual(sim, {"anvil-9": 2.0})
    with pytest.raises(PhysicsError, match=sim.scene.bodies[0].object.id):
        counterfactual(sim, {sim.scene.bodies[0].object.id: -1.0})
    with pytest.raises(PhysicsError, match="Speeds"):
        counterfactual(sim, speed_scale=float("nan"))
    with pytest.raises(PhysicsError, match="smaller factors"):
        counterfactual(sim, speed_scale=1e4)


def test_unknown_kind_and_impossible_size_are_refused():
    with pytest.raises(PhysicsError, match="no scene called rugby"):
        simulate(1, kind="rugby")
    with pytest.raises(PhysicsError, match="8x8"):
        simulate(1, width=8, height=8)


def test_written_clip_has_every_frame_at_its_time(tmp_path):
    sim = simulate(7, **{**SMALL, "frame_rate": 24.0})
    path = write_clip(sim, tmp_path / "clip.mp4")
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert not container.streams.audio
        frames = [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert [t for t, _ in frames] == pytest.approx(list(sim.scene.tracks.times_s), abs=1e-4)
    truth = list(sim.frames())
    error = np.mean([np.abs(a.astype(int) - b).mean() for (_, a), b in zip(frames, truth, strict=True)])
    assert error < 12.0


def test_written_clip_is_the_same_every_time(tmp_path):
    sim = simulate(91005, width=480, height=270)
    files = {write_clip(sim, tmp_path / f"{number}.mp4").read_bytes() for number in range(6)}
    assert len(files) == 1


def test_dataset_writes_clips_with_sound_and_truth(tmp_path):
    folder = tmp_path / "clips"
    options = {"kind": "drop", "size": (160, 90), "frame_rate": 15.0, "duration_s": 1.5}
    paths = write_dataset(folder, [380, 381], **options)
    assert [p.name for p in paths] == ["clip-000380.mp4", "clip-000381.mp4"]
    sim = simulate(380, kind="drop", width=160, height=90, frame_rate=15.0, duration_s=1.5)
    scene = load_scene(paths[0].with_suffix(".json"))
    assert scene.impacts == sim.scene.impacts
    assert len((folder / "index.jsonl").read_text().splitlines()) == 2
    with av.open(str(paths[0])) as container:
        sound = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
        rate = container.streams.audio[0].rate
    assert rate == 48000
    audio = sound_of(sim)
    first = min(i.time_s for i in sim.scene.impacts if i.pre_normal_mps > 0.5)
    assert audio.waveform.shape[0] == 2
    before, after = (
        np.abs(sound[:, max(0, int((first + d) * rate)) : int((first + d + 0.05) * rate)]).max() for d in (-0.08, 0.0)
    )
    assert after > 5 * before


def test_example_is_a_small_silent_clip_with_all_its_impacts(tmp_path):
    path = write_example(tmp_path)
    assert path.stat().st_size < 700_000
    scene = load_scene(tmp_path / "truth" / "example.json")
    names = Counter(impact.object_id for impact in scene.impacts if impact.pre_normal_mps > 0.3)
    assert names["hammer-1"] == 5
    assert names["basketball-1"] >= 6
    assert names["steel-ball-1"] >= 3
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate, stream.frames) == (1280, 720, 30, 180)
        assert not container.streams.audio

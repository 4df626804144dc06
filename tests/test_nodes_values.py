"""What the nodes do around the core: files, sounds, pictures, progress, errors."""

from __future__ import annotations

import importlib
import io
import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pavas_core.audio import Audio
from pavas_core.errors import MediaError, PavasError, PhysicsError
from pavas_core.estimation.manual_velocity import manual_velocity
from pavas_core.physics.types import MovingObject, ObjectSet, Track, TrackSet
from pavas_core.video.clip import iter_frames, read_audio
from tests import comfy_double

torch = pytest.importorskip("torch")


@pytest.fixture
def pack(monkeypatch, tmp_path):
    """(handles of the double, importer of the pack's node modules)."""
    comfy, extension = comfy_double.install(monkeypatch, tmp_path / "comfy")
    package = extension.__name__.rpartition(".")[0]
    return comfy, lambda name: importlib.import_module(f"{package}.{name}")


@pytest.mark.parametrize(
    "name", ["../secret.mp4", "/etc/passwd", "a/../../b.mp4", "[example] ../README.md", "../x [output]"]
)
def test_names_that_lead_out_of_comfyui_are_refused(pack, name):
    _, module = pack
    with pytest.raises(MediaError, match="leads out of the folder"):
        module("paths").readable_file(name)


def test_a_link_inside_input_may_not_lead_out(pack, tmp_path):
    comfy, module = pack
    (tmp_path / "outside.mp4").write_bytes(b"x")
    (comfy.input / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    with pytest.raises(MediaError, match="leads out of the folder"):
        module("paths").readable_file("link.mp4")


def test_files_of_every_folder_are_found(pack):
    comfy, module = pack
    (comfy.input / "sub").mkdir()
    (comfy.input / "sub" / "ü \u97f3.mp4").write_bytes(b"x")
    (comfy.output / "made.mp4").write_bytes(b"x")
    find = module("paths").readable_file
    assert find("sub/ü \u97f3.mp4") == comfy.input.resolve() / "sub" / "ü \u97f3.mp4"
    assert find("made.mp4 [output]") == comfy.output.resolve() / "made.mp4"
    with pytest.raises(MediaError, match=r"There is no file 'none\.mp4'"):
        find("none.mp4")


def test_fingerprint_follows_size_and_time_of_change(pack):
    comfy, module = pack
    path = comfy.input / "clip.mp4"
    path.write_bytes(b"one")
    seen = {module("paths").fingerprint(path)}
    path.write_bytes(b"three")
    seen.add(module("paths").fingerprint(path))
    import os

    os.utime(path, ns=(1, 1))
    seen.add(module("paths").fingerprint(path))
    assert len(seen) == 3
    assert not any(str(comfy.input) in one for one in seen), "fingerprints are stored in saved files"


@pytest.mark.parametrize(
    "prefix", ["../up", "/tmp/pavas-abs", "a/../../b", "", "   ", "a/" + "l" * 300, "\u97f3" * 100, "a\0b"]
)
def test_output_names_stay_inside_the_output_folder(pack, prefix):
    _, module = pack
    with pytest.raises(MediaError):
        module("paths").new_output_file(prefix, ".mp4")


def test_output_names_are_never_used_twice(pack):
    comfy, module = pack
    first, subfolder = module("paths").new_output_file("shots/take", ".mp4")
    assert (first.parent, subfolder) == (comfy.output / "shots", "shots")
    first.write_bytes(b"x")
    second, _ = module("paths").new_output_file("shots/take", ".mp4")
    assert second != first


def test_audio_goes_there_and_back(pack):
    _, module = pack
    convert = module("convert")
    samples = np.linspace(-1, 1, 2 * 480, dtype=np.float32).reshape(2, 480)
    wire = convert.comfy_audio(Audio(samples, 48000))
    assert wire["waveform"].shape == (1, 2, 480)
    assert wire["waveform"].dtype == torch.float32
    assert wire["waveform"].is_contiguous()
    back = convert.audio_of({"waveform": wire["waveform"].double(), "sample_rate": 48000.0})
    np.testing.assert_array_equal(back.waveform, samples)
    assert back.sample_rate == 48000
    wire["waveform"].zero_()
    assert samples[0, 0] == -1, "a node downstream must not write into the core's array"


@pytest.mark.parametrize(
    "audio",
    [None, {"waveform": torch.zeros(2, 1, 10), "sample_rate": 1}, {"waveform": torch.zeros(1, 10), "sample_rate": 1}],
)
def test_audio_that_is_not_one_sound_is_refused(pack, audio):
    _, module = pack
    with pytest.raises(MediaError):
        module("convert").audio_of(audio)


def test_tensor_videos_keep_rate_sound_and_pictures(pack):
    _, module = pack
    images = torch.rand(12, 20, 30, 4)
    sound = {"waveform": torch.full((1, 1, 24000), 0.25), "sample_rate": 48000}
    video = comfy_double.VideoFromComponents(comfy_double.VideoComponents(images, Fraction(24), sound))
    clip = module("convert").clip_of(video)
    assert (clip.width, clip.height, clip.frame_rate, clip.duration_s) == (30, 20, 24.0, 0.5)
    frames = list(iter_frames(clip))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(12) / 24, atol=1e-9)
    np.testing.assert_allclose(frames[3].image, images[3, ..., :3].numpy() * 255, atol=1)
    assert read_audio(clip).waveform.mean() == pytest.approx(0.25, abs=1e-3)


def test_progress_and_cancel_reach_comfyui(pack):
    comfy, module = pack
    runtime = module("host").comfy_runtime()
    runtime.step("tracking", 3, 10)
    assert comfy.progress == [(3, 10)]
    comfy.cancelled = True
    with pytest.raises(comfy_double.Interrupted):
        runtime.step("tracking", 4, 10)


def test_a_missing_package_is_named_with_the_command_that_installs_it(pack, monkeypatch):
    _, module = pack
    monkeypatch.setitem(sys.modules, "av", None)
    images = torch.zeros(4, 8, 8, 3)
    video = comfy_double.VideoFromComponents(comfy_double.VideoComponents(images, Fraction(4)))
    audio = {"waveform": torch.zeros(1, 1, 100), "sample_rate": 48000}
    with pytest.raises(PavasError) as refusal:
        module("video").PavasSaveVideo.execute(video, audio, "clip", False, 0.0, "auto", False)
    sentence = str(refusal.value)
    assert sentence.startswith("The Python package av is missing: run ")
    assert f'"{sys.executable}" -m pip install -r "{comfy_double.ROOT / "requirements.txt"}"' in sentence


def test_broken_files_are_refused_before_the_graph_runs_on(pack):
    comfy, module = pack
    (comfy.input / "broken.mp4").write_bytes(b"not a video at all" * 100)
    node = module("video").PavasLoadVideo
    assert node.validate_inputs("broken.mp4") is True
    with pytest.raises(MediaError) as refusal:
        node.execute("broken.mp4", 0.0, 0.0)
    assert "\n" not in str(refusal.value)
    assert "There is no file" in node.validate_inputs("nothing.mp4")


def test_known_sizes_are_read_and_refused_by_name(pack):
    _, module = pack
    read = module("velocity").known_sizes
    assert read("ball = 0.22\n\ncup=0.08 m") == {"ball": 0.22, "cup": 0.08}
    assert read("") == {}
    for text in ("ball", "ball = big", "ball = -1", "= 0.2", "ball = nan", "ball = inf"):
        with pytest.raises(PhysicsError, match="known_size"):
            read(text)


def _two_balls() -> ObjectSet:
    times = np.arange(0, 2.01, 0.1)
    track = Track(
        "ball-1",
        np.ones(21, bool),
        np.zeros((21, 4), np.float32),
        np.stack([np.arange(21), np.full(21, 7)], 1).astype(np.float32),
        np.ones(21, np.float32),
        np.zeros(21, bool),
    )
    return ObjectSet(
        (
            MovingObject("ball-1", "ball"),
            MovingObject("ball-2", "ball"),
            MovingObject("cup-1", "cup", aliases=("mug",)),
        ),
        100,
        50,
        2.0,
        TrackSet(times, 100, 50, 2.0, (track,)),
    )


def test_hand_drawn_speed_jumps_where_a_time_is_given_twice():
    velocities = manual_velocity("ball-1 = 0:0 1:4 1:3 1.5:3\nmug = 0:1 2:1", _two_balls())
    ball, cup = velocities.velocities
    assert (ball.object_id, cup.object_id) == ("ball-1", "cup-1")
    speeds = dict(zip(np.round(ball.times_s, 2).tolist(), ball.speed_mps.tolist(), strict=True))
    assert speeds[0.45] == pytest.approx(1.8)
    assert speeds[0.95] == pytest.approx(3.8)
    assert speeds[1.05] == pytest.approx(3.0)
    assert np.isnan(speeds[1.65])
    (jump,) = ball.breaks
    assert (jump.time_s, jump.pre_mps, jump.post_mps) == (1.0, (0.0, 4.0, 0.0), (0.0, -3.0, 0.0))
    assert jump.position_px == (10.0, 7.0)
    assert cup.breaks == ()


@pytest.mark.parametrize(
    ("curves", "cause"),
    [
        ("", "no speed curve"),
        ("ball = 0:0 1:1", "several objects"),
        ("dog = 0:0 1:1", "no object 'dog'"),
        ("cup 0:0", "has no ="),
        ("cup = 0:0", "at least two points"),
        ("cup = 0:0 1:fast", "no seconds:metres-a-second pair"),
        ("cup = 0:0 1:400", "400 m/s"),
        ("cup = 0:0 1:nan", "nan m/s"),
        ("cup = 0:0 9:1", "9 s: give a time of the clip"),
        ("cup = 1:0 0:1", "must rise"),
        ("cup = 1:0 1:1 1:2", "must rise"),
    ],
)
def test_hand_drawn_speed_that_makes_no_sense_is_refused_by_name(curves, cause):
    with pytest.raises(PhysicsError, match=cause):
        manual_velocity(curves, _two_balls())


def test_masks_follow_the_tracks_in_the_pictures_proportions():
    from pavas_core.estimation.tracking.mask_pictures import union_masks
    from pavas_core.physics.masks import pack_masks

    left, right = np.zeros((3, 10, 20), bool), np.zeros((3, 10, 20), bool)
    left[0, :5, :10] = True
    right[1, 5:, 10:] = True
    base = _two_balls().tracks.tracks[0]
    tracks = TrackSet(
        np.array([0.0, 0.1, 0.2]),
        200,
        100,
        0.3,
        tuple(replace(base, object_id=name, masks=pack_masks(masks)) for name, masks in (("a", left), ("b", right))),
    )
    both = union_masks(tracks, long_side=40)
    assert both.shape == (3, 20, 40)
    assert both.sum((1, 2)).tolist() == [200, 200, 0]
    assert both[0, :10, :20].all()
    assert both[1, 10:, 20:].all()
    assert union_masks(tracks, ["b"], long_side=40).sum((1, 2)).tolist() == [0, 200, 0]
    timed = union_masks(tracks, ["b"], long_side=40, times_s=[0.0, 0.04, 0.06, 0.14, 0.16, 5.0])
    assert timed.any((1, 2)).tolist() == [False, False, True, True, False, False]
    with pytest.raises(PhysicsError, match="no track of 'c': there are a, b"):
        union_masks(tracks, ["c"])
    with pytest.raises(PhysicsError, match="no masks"):
        union_masks(replace(tracks, tracks=(base,)))


def _write_clip(target, seconds: float = 2.0) -> None:
    import av

    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(round(20 * seconds)):
            picture = np.full((48, 64, 3), index * 5, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())


@pytest.mark.parametrize("in_memory", [False, True])
def test_trims_of_files_and_of_bytes_are_honoured(pack, in_memory):
    comfy, module = pack
    source = io.BytesIO() if in_memory else str(comfy.input / "clip.mp4")
    _write_clip(source)
    if in_memory:
        source.seek(100)
    clip = module("convert").clip_of(comfy_double.VideoFromFile(source, start_time=0.5, duration=1.0))
    assert (clip.start_s, clip.duration_s) == (0.5, 1.0)
    first = next(iter_frames(clip))
    assert first.time_s == pytest.approx(0, abs=1e-6)
    assert abs(float(first.image.mean()) - 50) < 5


def test_a_graph_from_file_to_file(pack):
    comfy, module = pack
    _write_clip(str(comfy.input / "clip.mp4"))
    video = module("video")
    (clip,) = video.PavasLoadVideo.execute("clip.mp4", 0.0, 0.0).args
    click = torch.zeros(1, 1, 96000)
    click[..., 48000] = 0.5
    saved = video.PavasSaveVideo.execute(
        clip, {"waveform": click, "sample_rate": 48000}, "shots/take", False, 0.0, "auto", True
    )
    written, name = saved.args
    path = Path(written.get_stream_source())
    assert path == comfy.output / "shots" / path.name
    assert name == f"shots/{path.name}"
    assert saved.ui["images"] == [{"filename": path.name, "subfolder": "shots", "type": "output"}]
    assert "pictures copied" in saved.ui["text"][0]
    sound = read_audio(module("convert").clip_of(written))
    assert np.abs(sound.waveform).argmax() / sound.sample_rate == pytest.approx(1.0, abs=0.005)


def test_the_workflow_is_stored_unless_switched_off(pack):
    _, module = pack
    save = module("video")
    hidden = SimpleNamespace(prompt={"1": {"class_type": "PavasLoadVideo"}}, extra_pnginfo={"workflow": {"nodes": []}})
    tags = save._workflow_metadata(hidden)
    assert {name: json.loads(text) for name, text in tags.items()} == {
        "prompt": hidden.prompt,
        "workflow": {"nodes": []},
    }
    sys.modules["comfy.cli_args"].args.disable_metadata = True
    assert save._workflow_metadata(hidden) is None

"""The command line, from a file to files."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pavas_core import cli, pipeline
from pavas_core.audio import Audio
from pavas_core.commands import foley
from pavas_core.physics.overrides import apply_edits
from pavas_core.physics.serialise import load_scene
from pavas_core.physics.types import MovingObject, ObjectSet
from pavas_core.runtime import Runtime
from pavas_core.video.clip import clip_from_frames, open_clip, read_audio
from pavas_core.video.save import save_video

ROOT = Path(__file__).resolve().parents[1]
RATE_HZ, SECONDS, RADIUS_PX, FLOOR_PX, PX_PER_M = 30, 2.5, 12, 200, 160.0


def ball_height_m(time_s: float) -> float:
    """Height of a ball dropped from 0.9 m that keeps 0.8 of its speed at each bounce."""
    fall_s = (2 * 0.9 / 9.81) ** 0.5
    speed, since = 9.81 * fall_s, time_s - fall_s
    if since < 0:
        return 0.9 - 9.81 / 2 * time_s**2
    while True:
        speed *= 0.8
        flight_s = 2 * speed / 9.81
        if since < flight_s:
            return speed * since - 9.81 / 2 * since**2
        since -= flight_s


def film_ball(path: Path, place_px, seconds: float) -> Path:
    """A bright ball at ``place_px(time_s)`` before a still, textured wall; a quiet hum as its sound."""
    rng = np.random.default_rng(5)
    wall = np.repeat(np.repeat(rng.integers(60, 110, (30, 40)), 8, 0), 8, 1).astype(np.uint8)
    wall[FLOOR_PX + RADIUS_PX :] = 30
    rows, columns = np.ogrid[:240, :320]
    frames = np.repeat(np.stack([wall] * 3, axis=-1)[None], round(RATE_HZ * seconds), axis=0)
    for index, frame in enumerate(frames):
        x, y = place_px(index / RATE_HZ)
        frame[(rows - y) ** 2 + (columns - x) ** 2 <= RADIUS_PX**2] = (240, 160, 60)
    hum = 0.1 * np.sin(2 * np.pi * 220 * np.arange(round(48000 * seconds)) / 48000, dtype=np.float32)
    save_video(clip_from_frames(frames, RATE_HZ), Audio(hum[None].astype(np.float32), 48000), path)
    return path


@pytest.fixture(scope="module")
def bounce(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "bounce ü.mp4"
    return film_ball(path, lambda time_s: (60 + 70 * time_s, FLOOR_PX - ball_height_m(time_s) * PX_PER_M), SECONDS)


@pytest.fixture(scope="module")
def scene(bounce):
    return pipeline.estimate_scene(open_clip(bounce))


@pytest.fixture
def known(monkeypatch, scene):
    """Spare the estimate: the scene that the clip really gave, with the edits of the command line."""
    monkeypatch.setattr(pipeline, "estimate_scene", lambda clip, options, runtime: apply_edits(scene, options.edits))


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_the_clip_gives_one_ball_and_its_bounces(scene):
    assert [body.object.id for body in scene.bodies] == ["ball-1"]
    assert scene.bodies[0].velocity.scale_source == "gravity"
    fall_s = (2 * 0.9 / 9.81) ** 0.5
    times = [fall_s, fall_s + 1.6 * fall_s, fall_s + (1.6 + 1.28) * fall_s]
    assert [one.time_s for one in scene.impacts][:3] == pytest.approx(times, abs=0.02)


def test_foley_writes_a_video_whose_sound_has_the_bounces(bounce, tmp_path, capsys):
    out = tmp_path / "new" / "out.mp4"
    physics = tmp_path / "new" / "physics.json"
    assert cli.main(["foley", str(bounce), "-o", str(out), "--mass", "ball=0.6", "--physics-json", str(physics)]) == 0
    assert names(out.parent) == ["out.mp4", "physics.json", "physics.npz"]
    scene = load_scene(physics)
    assert scene.bodies[0].mass.mass_kg == 0.6
    audio = read_audio(open_clip(out))
    level = np.abs(audio.waveform).max(axis=0)
    for impact in scene.impacts[:3]:
        start = round(impact.time_s * audio.sample_rate)
        assert level[start : start + 2400].max() > 20 * np.median(level[: round(0.3 * audio.sample_rate)])
    printed = capsys.readouterr().out
    for words in ("ball-1", "0.6 kg", "manual", "gravity", scene.impacts[0].id, str(out), str(physics)):
        assert words in printed


def test_what_rolls_is_said_and_heard(tmp_path, caplog, capsys):
    clip = film_ball(tmp_path / "along.mp4", lambda time_s: (40 + 120 * time_s, FLOOR_PX), 1.5)
    command = ["foley", str(clip), "--action", "ball=rolls"]
    assert cli.main([*command, "-o", str(tmp_path / "rolls.wav"), "--physics-json", str(tmp_path / "rolls.json")]) == 0
    said = re.search(r"ball-1 rolls from (\d+\.\d\d) to (\d+\.\d\d) s\.", capsys.readouterr().out)
    assert said
    assert float(said[1]) < 0.1
    assert float(said[2]) > 1.4
    assert load_scene(tmp_path / "rolls.json").bodies[0].object.action == "rolls"
    assert cli.main(["foley", str(clip), "-o", str(tmp_path / "passes.wav")]) == 0
    assert soundfile.read(tmp_path / "rolls.wav")[0].any()
    assert not soundfile.read(tmp_path / "passes.wav")[0].any()
    assert not caplog.records
    assert cli.main([*command, "-o", str(tmp_path / "nano.wav"), "--engine", "nano"]) == 0
    assert "use --engine modal to hear what rolls or slides" in caplog.text


def test_numbers_of_the_command_line_reach_the_physics(bounce, tmp_path, scene):
    path = tmp_path / "x.json"
    arguments = [
        "foley",
        str(bounce),
        "-o",
        str(tmp_path / "x.wav"),
        "--physics-json",
        str(path),
        "--known-size",
        "ball=0.3",
    ]
    arguments += ["--mass", "*=2 lb", "--material", "ball=steel", "--speed-scale", "2", "--time-scale", "0.5"]
    assert cli.main(arguments) == 0
    found = load_scene(path)
    body = found.bodies[0]
    assert body.mass.mass_kg == pytest.approx(0.9072, rel=1e-3)
    assert body.object.material == "steel"
    assert body.velocity.scale_source == "known_size"
    assert found.time_scale == 0.5
    # four times the speed: twice for the time scale, twice for the speed scale, and as the size is to the estimate's
    ratio = body.velocity.metres_per_px / scene.bodies[0].velocity.metres_per_px * 4
    assert found.impacts[0].pre_normal_mps == pytest.approx(scene.impacts[0].pre_normal_mps * ratio, rel=0.1)


@pytest.mark.usefixtures("known")
def test_a_single_object_s_stem_is_the_mix_and_settings_lie_beside(bounce, tmp_path):
    assert cli.main(["foley", str(bounce), "-o", str(tmp_path / "x.wav"), "--stems", "--float", "--seed", "7"]) == 0
    assert names(tmp_path) == ["x.wav", "x.wav.json", "x_stem_ball-1.wav"]
    mix, _ = soundfile.read(tmp_path / "x.wav")
    stem, _ = soundfile.read(tmp_path / "x_stem_ball-1.wav")
    np.testing.assert_allclose(stem, mix, atol=1e-6)
    assert mix.shape == (round(SECONDS * 48000), 2)
    settings = json.loads((tmp_path / "x.wav.json").read_text(encoding="utf-8"))
    assert settings["sound"]["seed"] == 7
    assert settings["clip"] == bounce.name


@pytest.mark.usefixtures("known")
def test_takes_differ_and_the_same_seed_does_not(bounce, tmp_path):
    arguments = ["foley", str(bounce), "--mono", "--sample-rate", "16000", "-o"]
    assert cli.main([*arguments, str(tmp_path / "a.flac"), "--takes", "2", "--seed", "3"]) == 0
    assert cli.main([*arguments, str(tmp_path / "b.flac"), "--seed", "4"]) == 0
    first, second, again = (soundfile.read(tmp_path / name)[0] for name in ("a_take1.flac", "a_take2.flac", "b.flac"))
    assert first.shape == (round(SECONDS * 16000),)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, again)


@pytest.mark.usefixtures("known")
def test_speed_scale_makes_it_louder_and_keep_original_keeps_the_hum(bounce, tmp_path):
    peaks = []
    for scale in ("1", "2"):
        path = tmp_path / f"{scale}.wav"
        assert cli.main(["foley", str(bounce), "-o", str(path), "--float", "--speed-scale", scale]) == 0
        peaks.append(np.abs(soundfile.read(path)[0]).max())
    assert peaks[1] > 1.6 * peaks[0]
    path = tmp_path / "under.mkv"
    assert cli.main(["foley", str(bounce), "-o", str(path), "--keep-original", "-6"]) == 0
    audio = read_audio(open_clip(path))
    quiet = audio.waveform[:, : round(0.3 * audio.sample_rate)]
    assert np.sqrt(np.mean(quiet**2)) == pytest.approx(0.1 / 2**0.5 / 2, rel=0.1)


@pytest.mark.usefixtures("known")
def test_physics_writes_json_tables_and_pictures(bounce, tmp_path, scene):
    from PIL import Image

    assert cli.main(["physics", str(bounce), "-o", str(tmp_path / "p"), "--pictures", "2"]) == 0
    stem = bounce.stem
    assert names(tmp_path / "p") == sorted(
        f"{stem}.{rest}"
        for rest in (
            "physics.json", "physics.npz", "impacts.csv", "speeds.csv", "plot.png", "frame-01.png", "frame-02.png"
        )
    )  # fmt: skip
    assert len(load_scene(tmp_path / "p" / f"{stem}.physics.json").impacts) == len(scene.impacts)
    with (tmp_path / "p" / f"{stem}.impacts.csv").open(encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [one.id for one in scene.impacts]
    with Image.open(tmp_path / "p" / f"{stem}.frame-01.png") as picture:
        assert picture.size == (320, 240)
    with Image.open(tmp_path / "p" / f"{stem}.plot.png") as picture:
        assert picture.size[1] > 1000, "the hum brings waveform and spectrogram"


def test_simulate_writes_clips_and_truth(tmp_path):
    arguments = ["simulate", "-o", str(tmp_path / "s"), "--seed", "3", "--size", "160x120", "--fps", "12"]
    assert cli.main([*arguments, "--duration-s", "1"]) == 0
    assert names(tmp_path / "s") == ["clip-000003.json", "clip-000003.mp4", "clip-000003.npz", "index.jsonl"]
    assert open_clip(tmp_path / "s" / "clip-000003.mp4").width == 160


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["foley", "nothing.mp4"], "nothing.mp4 does not exist"),
        (["foley", "CLIP", "-o", "x.txt"], "end it in .mp4"),
        (["foley", "CLIP", "-o", "x.wav", "--keep-original", "0"], "--keep-original"),
        (["foley", "CLIP", "-o", "x.mp4", "--float"], "--float needs a .wav"),
        (["foley", "CLIP", "-o", "x.mp4", "--physics-json", "x.txt"], "in .json"),
        (["foley", "CLIP", "-o", "x.mp4", "--takes", "0"], "0 takes"),
        (["foley", "CLIP", "-o", "x.mp4", "--room", "cave"], "cave"),
        (["foley", "CLIP", "-o", "x.mp4", "--speed-scale", "fast"], "'fast'"),
        (["foley", "CLIP", "-o", "x.mp4", "--speed-scale", "0"], "speed scale"),
        (["foley", "CLIP", "-o", "x.mp4", "--time-scale", "nan"], "--time-scale"),
        (["foley", "CLIP", "-o", "x.mp4", "--sensitivity", "0"], "--sensitivity"),
        (["foley", "CLIP", "-o", "x.mp4", "--metres-per-px", "-1"], "--metres-per-px"),
        (["foley", "CLIP", "-o", "x.mp4", "--metres-per-px", "1e-12"], "--metres-per-px"),
        (["foley", "CLIP", "-o", "x.mp4", "--gain", "nan"], "gain of nan dB"),
        (["foley", "CLIP", "-o", "x.mp4", "--gain", "1e9"], "gain of 1e+09 dB"),
        (["foley", "CLIP", "-o", "x.mp4", "--keep-original", "-900"], "gain of -900 dB"),
        (["foley", "CLIP", "-o", "x.mp4", "--engine", "nano", "--steps", "3"], "--steps is for published networks"),
        (["foley", "CLIP", "-o", "x.mp4", "--negative-prompt", "hum"], "--negative-prompt is for published"),
        (["foley", "CLIP", "-o", "x.mp4", "--known-size", "ball"], "'ball'"),
        (["foley", "CLIP", "-o", "x.mp4", "--known-size", "ball=0"], "size of ball"),
        (["foley", "CLIP", "-o", "x.mp4", "--start-s", "99"], "99"),
        (["foley", "CLIP", "-o", "x.mp4", "--mass", "cup=1"], "no object 'cup': there is ball-1"),
        (["foley", "CLIP", "-o", "x.mp4", "--mass", "ball=-1"], "mass of ball is -1 kg"),
        (["foley", "CLIP", "-o", "x.mp4", "--material", "ball=qwert"], "no material 'qwert'"),
        (["foley", "CLIP", "-o", "CLIP"], "choose another name"),
        (["physics", "CLIP", "-o", "p", "--pictures", "0"], "0 pictures"),
        (["evaluate", "--processes", "0"], "--processes is 0"),
        (["simulate", "-o", "s", "--count", "0"], "0 clips"),
        (["simulate", "-o", "s", "--kind", "qwert"], "qwert"),
        (["simulate", "-o", "s", "--size", "0x0"], "0x0 pixels"),
        (["simulate", "-o", "s", "--size", "99999x99999"], "99999x99999 pixels"),
        (["simulate", "-o", "s", "--fps", "0"], "0 frames a second"),
        (["simulate", "-o", "s", "--duration-s", "0"], "and 0 s"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(bounce, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    before = bounce.read_bytes()
    assert cli.main([str(bounce) if one == "CLIP" else one for one in arguments]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.startswith("Error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert bounce.read_bytes() == before
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("stage", ["sound", "save video"])
def test_stopping_leaves_no_half_written_file(bounce, tmp_path, monkeypatch, capsys, stage):
    import contextlib

    def stop(at: str, done: int, total: int) -> None:
        if at == stage and done > 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(foley, "progress", lambda: contextlib.nullcontext(Runtime(on_progress=stop)))
    out = tmp_path / "out.mp4"
    out.write_bytes(b"an older file")
    assert cli.main(["foley", str(bounce), "-o", str(out)]) == 130
    assert names(tmp_path) == ["out.mp4"]
    assert out.read_bytes() == b"an older file"
    assert capsys.readouterr().err.count("\n") == 1


def run(arguments: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Python in another process, told nothing of the repository."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_ctrl_c_in_a_real_process(bounce, tmp_path):
    """The signal arrives while the pictures are being written."""
    code = (
        "import os, runpy, signal, sys\n"
        "from pavas_core import runtime\n"
        "def step(self, stage, done, total):\n"
        "    if stage == 'save video' and done > 3: os.kill(os.getpid(), signal.SIGINT)\n"
        "runtime.Runtime.step = step\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"sys.argv = ['pavas_core', 'foley', {str(bounce)!r}, '-o', {str(tmp_path / 'out.mp4')!r}]\n"
        "runpy.run_module('pavas_core', run_name='__main__', alter_sys=True)\n"
    )
    done = run(["-c", code], ROOT)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1].startswith("Stopped")
    assert "Traceback" not in done.stderr
    assert names(tmp_path) == []


def test_by_module_and_by_path_from_anywhere(tmp_path):
    """Also isolated, as with an embedded Python, and through a folder with a space and other scripts in its name."""
    place = tmp_path / "nodes ü \u97f3"
    place.mkdir()
    (place / "pavas_core").symlink_to(ROOT / "pavas_core", target_is_directory=True)
    (tmp_path / "audio.py").write_text("raise SystemExit('a file of the current folder was imported')")
    for arguments, cwd in (
        (["-m", "pavas_core"], ROOT),
        ([str(ROOT / "pavas_core")], tmp_path),
        ([str(place / "pavas_core")], tmp_path),
        (["-I", str(ROOT / "pavas_core")], tmp_path),
        (["-I", str(ROOT / "pavas_core" / "__main__.py")], tmp_path),
    ):
        done = run([*arguments, "foley", "nichts ü.mp4"], cwd)
        assert (done.returncode, done.stdout) == (2, "")
        assert "nichts ü.mp4 does not exist" in done.stderr
        assert done.stderr.count("\n") == 1


def test_help_needs_no_library(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "from pavas_core.cli import main\n"
        "try: main(['foley', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(sorted({'numpy', 'cv2', 'av', 'scipy', 'torch', 'PIL', 'tqdm'} & set(sys.modules)))\n"
    )
    assert run(["-c", code, str(ROOT)], tmp_path).stdout.endswith("[]\n")


def test_a_missing_library_is_named_with_its_cure(monkeypatch, capsys, bounce):
    monkeypatch.setitem(sys.modules, "av", None)
    assert cli.main(["foley", str(bounce)]) == 2
    printed = capsys.readouterr().err
    assert f'"{sys.executable}" -m pip install -r' in printed
    assert "av" in printed


def test_a_prompt_names_what_has_no_name(bounce):
    clip = open_clip(bounce)
    scene = pipeline.estimate_scene(clip, pipeline.PhysicsOptions(prompt="a tennis ball on a wooden floor"))
    body = scene.bodies[0]
    assert body.mass.source == "table:tennis ball"
    assert body.object.material == "rubber"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("leather ball and steel hammer on wood", [(), (), ("hammer",)]),
        ("tennis ball and a drumstick", [("tennis ball",), ("tennis ball",), ("drumstick",)]),
        ("a tennis ball", [("tennis ball",), ("tennis ball",), ()]),
        ("a hammer", [("hammer",)] * 3),
        ("hammer, axe", [(), (), ()]),
        ("tennis ball and basketball", [(), (), ()]),
        ("steel", [(), (), ()]),
    ],
)
def test_a_prompt_calls_balls_and_the_rest_by_what_it_speaks_of(prompt, expected):
    things = tuple(MovingObject(f"{name}-{i}", name) for name, i in (("ball", 1), ("ball", 2), ("object", 1)))
    named = pipeline.named_by_prompt(ObjectSet(things, 64, 48, 1.0), prompt)
    assert [one.aliases for one in named.objects] == expected


def test_the_environment_report_names_versions_and_nothing_private(capsys):
    assert cli.main(["environment"]) == 0
    said = capsys.readouterr().out
    lines = dict(line.split(": ", 1) for line in said.splitlines())
    assert lines["numpy"] == np.__version__
    assert "libavcodec" in lines["FFmpeg"]
    assert "cpu" in lines["devices"]
    assert str(Path.home()) not in said
    assert str(ROOT) not in said

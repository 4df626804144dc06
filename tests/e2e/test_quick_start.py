"""The quick-start template on a real server: what it makes, what re-runs after an edit, how it stops and refuses."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import av
import numpy as np
import pytest

from pavas_core.audio import Audio
from pavas_core.evaluation.onsets import pick_onsets
from tests.e2e.comfy_client import Graph

BEFORE_MASS = {"PavasLoadVideo", "PavasDetectMotion", "PavasTrackMotion", "PavasPlanarVelocity"}
FROM_SYNTHESIS = {"PavasSynthesizeImpacts", "PavasSaveVideo"}
FROM_EDITOR = FROM_SYNTHESIS | {"PavasPhysicsEditor", "PavasPhysicsPreview", "PreviewAny"}
FROM_MASS = FROM_EDITOR | {"PavasManualMass", "PavasCombinePhysics"}


def run_all(comfy, graph: Graph):
    run = comfy.run(graph)
    assert run.error is None, run.error["exception_message"]
    return run


def saved(comfy, graph: Graph, run, class_type: str = "PavasSaveVideo") -> Path:
    """The file a save node reported."""
    (shown,) = run.outputs[graph.node(class_type)]["images"]
    assert shown["type"] == "output"
    return comfy.base / "output" / shown["subfolder"] / shown["filename"]


def sound_of(path: Path) -> tuple[np.ndarray, int]:
    """(mono samples from the first picture's time on, sample rate)."""
    mono = av.AudioResampler(format="fltp", layout="mono")
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = [(frame.pts * frame.time_base, mono.resample(frame)) for frame in container.decode(stream)]
        rate = stream.rate
    start = round(float(frames[0][0]) * rate)
    samples = np.concatenate([part.to_ndarray()[0] for _, parts in frames for part in parts])
    return (np.pad(samples, (start, 0)) if start > 0 else samples[-start:]), rate


def video_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]


def video_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return float(stream.duration * stream.time_base)


def test_quick_start_makes_a_video_that_sounds_at_its_impacts(comfy, quick_start):
    editor = quick_start.node("PavasPhysicsEditor")
    physics = quick_start.add("PavasSavePhysics", scene=[editor, 0], filename_prefix="e2e/first")
    run = run_all(comfy, quick_start)
    path = saved(comfy, quick_start, run)
    example = comfy.base / "custom_nodes" / comfy.folder / "workflows" / "clips" / "example.mp4"
    assert video_packets(path) == video_packets(example), "the pictures are copied untouched"

    scene = json.loads((comfy.base / "output" / run.outputs[physics]["text"][0]).read_text())
    impacts = scene["value"]["impacts"]
    hard_s = [impact["time_s"] for impact in impacts if impact["pre_normal_mps"] >= 0.5]
    assert hard_s, "the example clip has impacts"
    samples, rate = sound_of(path)
    onsets_s = pick_onsets(Audio(samples[None].astype(np.float32), rate))
    for time_s in hard_s:
        assert np.abs(onsets_s - time_s).min() < 0.05, f"no onset at the impact at {time_s:.3f} s"
    for onset_s in onsets_s:
        assert min(abs(impact["time_s"] - onset_s) for impact in impacts) < 0.05, (
            f"a sound from nothing at {onset_s:.3f} s"
        )

    with av.open(str(path)) as container:
        stored = json.loads(container.metadata["prompt"])
    for name, node in quick_start.items():
        assert stored[name]["inputs"] == node["inputs"], "the graph travels with the file"
    assert str(example.resolve().parent) not in json.dumps(stored), "but no folder of this machine does"
    assert run.outputs[quick_start.node("PavasPhysicsPreview")]["images"]
    assert quick_start.classes(run.progress) >= {"PavasDetectMotion"}


@pytest.mark.parametrize(
    ("edit", "reruns"),
    [
        (("PavasManualMass", "masses", "* = 2.5"), FROM_MASS),
        (("PavasPhysicsEditor", "edits", '{"objects": {"*": {"mass_kg": 3}}}'), FROM_EDITOR),
        (("PavasSynthesizeImpacts", "seed", 7), FROM_SYNTHESIS),
        (("PavasSynthesizeImpacts", "room", "large"), FROM_SYNTHESIS),
        (("PavasSaveVideo", "filename_prefix", "e2e/renamed"), {"PavasSaveVideo"}),
    ],
)
def test_an_edit_reruns_only_what_depends_on_it(comfy, quick_start, edit, reruns):
    run_all(comfy, quick_start)
    class_type, name, value = edit
    assert quick_start.inputs(class_type)[name] != value
    quick_start.inputs(class_type)[name] = value
    run = run_all(comfy, quick_start)
    assert quick_start.classes(run.executed) == reruns
    assert quick_start.classes(run.cached) == quick_start.classes(quick_start) - reruns
    assert not BEFORE_MASS & quick_start.classes(run.executed)


def test_a_heavier_object_sounds_louder(comfy, quick_start):
    energies = []
    for mass_kg in (0.05, 5):
        quick_start.inputs("PavasManualMass")["masses"] = f"* = {mass_kg}"
        samples, _ = sound_of(saved(comfy, quick_start, run_all(comfy, quick_start)))
        energies.append(float(np.square(samples.astype(float)).sum()))
    assert energies[1] > 4 * energies[0]


def test_seed_changes_the_sound_and_repeats_it(comfy, quick_start):
    sounds = {}
    for take, seed in enumerate((1, 2, 1)):
        quick_start.inputs("PavasSynthesizeImpacts")["seed"] = seed
        quick_start.inputs("PavasSaveVideo")["filename_prefix"] = f"e2e/take{take}"
        samples, _ = sound_of(saved(comfy, quick_start, run_all(comfy, quick_start)))
        sounds.setdefault(seed, []).append(samples)
    np.testing.assert_array_equal(*sounds[1])
    assert not np.array_equal(sounds[1][0], sounds[2][0])


def test_a_trim_is_honoured_by_our_nodes_and_by_core_nodes(comfy, quick_start):
    quick_start.inputs("PavasLoadVideo").update(start_s=0.5, duration_s=1.0)
    loaded = quick_start.node("PavasLoadVideo")
    parts = quick_start.add("GetVideoComponents", video=[loaded, 0])
    rebuilt = quick_start.add("CreateVideo", images=[parts, 0], fps=[parts, 2])
    quick_start.add("SaveVideo", video=[rebuilt, 0], filename_prefix="e2e/core", format="mp4", codec="h264")
    run = run_all(comfy, quick_start)
    assert video_seconds(saved(comfy, quick_start, run)) == pytest.approx(1.0, abs=0.05)
    assert video_seconds(saved(comfy, quick_start, run, "SaveVideo")) == pytest.approx(1.0, abs=0.05)


def test_a_video_made_of_images_works_like_a_file(comfy, quick_start):
    loaded = quick_start.node("PavasLoadVideo")
    parts = quick_start.add("GetVideoComponents", video=[loaded, 0])
    rebuilt = quick_start.add("CreateVideo", images=[parts, 0], fps=[parts, 2])
    for name, node in quick_start.items():
        if name not in (parts, rebuilt) and node["inputs"].get("video") == [loaded, 0]:
            node["inputs"]["video"] = [rebuilt, 0]
    run = run_all(comfy, quick_start)
    samples, _ = sound_of(saved(comfy, quick_start, run))
    assert np.abs(samples).max() > 1e-3


def test_saved_physics_loads_and_sounds_the_same(comfy, quick_start):
    editor = quick_start.node("PavasPhysicsEditor")
    physics = quick_start.add("PavasSavePhysics", scene=[editor, 0], filename_prefix="pavas/e2e")
    run = run_all(comfy, quick_start)
    first, _ = sound_of(saved(comfy, quick_start, run))

    name = run.outputs[physics]["text"][0]
    again = Graph()
    loaded = again.add("PavasLoadPhysics", file=f"{name} [output]")
    sound = again.add("PavasSynthesizeImpacts", **quick_start.inputs("PavasSynthesizeImpacts") | {"scene": [loaded, 0]})
    clip = again.add("PavasLoadVideo", **quick_start.inputs("PavasLoadVideo"))
    again.add(
        "PavasSaveVideo",
        **quick_start.inputs("PavasSaveVideo")
        | {"video": [clip, 0], "audio": [sound, 0], "filename_prefix": "e2e/from file"},
    )
    second, _ = sound_of(saved(comfy, again, run_all(comfy, again)))
    np.testing.assert_array_equal(first, second)
    choices = comfy.get("/object_info/PavasLoadPhysics")["PavasLoadPhysics"]["input"]["required"]["file"][1]["options"]
    assert f"{name} [output]" in choices


def test_masks_and_stems_feed_core_nodes(comfy, quick_start):
    loaded, tracked = quick_start.node("PavasLoadVideo"), quick_start.node("PavasTrackMotion")
    mask = quick_start.add("PavasTracksToMask", tracks=[tracked, 0], object_ids="", long_side=128, video=[loaded, 0])
    image = quick_start.add("MaskToImage", mask=[mask, 0])
    pictures = quick_start.add("SaveImage", images=[image, 0], filename_prefix="e2e/mask")
    synthesis = quick_start.node("PavasSynthesizeImpacts")
    stems = quick_start.add("SaveAudio", audio=[synthesis, 1], filename_prefix="e2e/stem")
    run = run_all(comfy, quick_start)
    with av.open(str(saved(comfy, quick_start, run))) as container:
        assert len(run.outputs[pictures]["images"]) == container.streams.video[0].frames
    mixed, _ = sound_of(saved(comfy, quick_start, run))
    parts = [
        sound_of(comfy.base / "output" / one["subfolder"] / one["filename"])[0] for one in run.outputs[stems]["audio"]
    ]
    together = np.sum([part[: min(map(len, parts))] for part in parts], axis=0)
    count = min(len(together), len(mixed))
    assert np.corrcoef(together[:count], mixed[:count])[0, 1] > 0.95, "the stems add up to the mix (AAC apart)"


def test_cancel_stops_within_a_second_and_the_next_run_works(comfy, quick_start):
    make_long_clip(comfy.base / "input" / "long clip.mp4")
    quick_start.inputs("PavasLoadVideo")["file"] = "long clip.mp4"
    detect = quick_start.node("PavasDetectMotion")
    run = comfy.run(quick_start, interrupt_at=detect)
    assert run.interrupted
    assert run.error is None
    assert run.executed[-1] == detect
    assert run.seconds < seconds_allowed(), f"took {run.seconds:.2f} s to stop"
    quick_start.inputs("PavasLoadVideo")["file"] = "[example] example.mp4"
    run_all(comfy, quick_start)


def seconds_allowed() -> float:
    """A second, and more where the machine does other work."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def make_long_clip(path: Path) -> None:
    """Thirty seconds of 720p with a square that moves to and fro, so that detection takes a while."""
    texture = np.random.default_rng(0).integers(60, 200, (90, 160, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for index in range(750):
            picture = texture.copy()
            x = round(540 + 500 * np.sin(index / 10))
            picture[300:400, x : x + 100] = (250, 40, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())


def test_files_that_are_no_video_are_refused_in_one_sentence(comfy, quick_start):
    folder = comfy.base / "input"
    example = comfy.base / "custom_nodes" / comfy.folder / "workflows" / "clips" / "example.mp4"
    (folder / "text.mp4").write_text("this is not a video\n" * 50)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut short.mp4").write_bytes(example.read_bytes()[:2000])
    for name in ("text.mp4", "empty.mp4", "cut short.mp4"):
        quick_start.inputs("PavasLoadVideo")["file"] = name
        run = comfy.run(quick_start)
        assert run.error is not None, name
        assert run.error["node_type"] == "PavasLoadVideo"
        assert run.error["exception_type"].endswith("MediaError"), run.error["exception_type"]
        assert len(run.error["exception_message"].strip().splitlines()) == 1, run.error["exception_message"]
        assert name in run.error["exception_message"]


@pytest.mark.parametrize("name", ["../outside.mp4", "missing.mp4", "[example] ../README.md"])
def test_files_outside_or_missing_are_refused_before_running(comfy, quick_start, name):
    (comfy.base / "outside.mp4").write_bytes(b"x")
    quick_start.inputs("PavasLoadVideo")["file"] = name
    status, reply = comfy.post("/prompt", {"prompt": quick_start})
    assert status == 400
    (error,) = reply["node_errors"][quick_start.node("PavasLoadVideo")]["errors"]
    assert "leads out of the folder" in error["details"] or "There is no file" in error["details"]


def test_nothing_is_saved_outside_the_output_folder(comfy, quick_start):
    quick_start.inputs("PavasSaveVideo")["filename_prefix"] = "../escaped"
    run = comfy.run(quick_start)
    assert "leads out of the folder" in run.error["exception_message"]
    assert not list(comfy.base.glob("escaped*"))


def test_impossible_edits_name_the_value(comfy, quick_start):
    good = copy.deepcopy(quick_start.inputs("PavasManualMass"))
    quick_start.inputs("PavasManualMass")["masses"] = "* = -1"
    run = comfy.run(quick_start)
    assert run.error["node_type"] == "PavasManualMass"
    assert "-1" in run.error["exception_message"]
    quick_start.inputs("PavasManualMass").update(good)
    run_all(comfy, quick_start)


def test_bypassing_the_editor_keeps_the_estimate(comfy, quick_start):
    """What the frontend sends for a bypassed node: its consumers linked to its input."""
    plain, _ = sound_of(saved(comfy, quick_start, run_all(comfy, quick_start)))
    editor = quick_start.node("PavasPhysicsEditor")
    source = quick_start.pop(editor)["inputs"]["scene"]
    for node in quick_start.values():
        for name, value in node["inputs"].items():
            if value == [editor, 0]:
                node["inputs"][name] = source
    quick_start.inputs("PavasSaveVideo")["filename_prefix"] = "e2e/bypassed"
    bypassed, _ = sound_of(saved(comfy, quick_start, run_all(comfy, quick_start)))
    np.testing.assert_array_equal(plain, bypassed)


def test_the_pack_folder_stays_as_it_was(comfy):
    """Runs last in this file: no file may appear in the pack."""
    assert comfy.files_of_pack() == comfy.files_at_start

"""Vision-language models from folder to answer, by the library's own loading code on tiny checkpoints."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pavas_core.errors import Cancelled, PavasError, WeightsError
from pavas_core.estimation.language import vlm
from pavas_core.estimation.language.vlm_text import AnswerError
from pavas_core.estimation.result_cache import ResultCache
from pavas_core.physics.types import MovingObject, ObjectSet
from pavas_core.runtime import Runtime
from pavas_core.video.clip import Frame, clip_from_frames
from tests.tiny_checkpoints import save_qwen

FAMILIES = ("qwen2_5_vl", "qwen3_vl")
ANSWER = '[{"object": "red ball", "action": "falls", "mass_kg": 0.6, "low_kg": 0.5, "high_kg": 0.7, "reason": "usual"}]'
SHORT = {"pictures": 3, "max_new_tokens": 12}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders by family, of models that say nothing sensible and of models that answer."""
    base = tmp_path_factory.mktemp("vlm")
    silent = {family: save_qwen(base / f"{family} silent", family) for family in FAMILIES}
    speaking = {family: save_qwen(base / f"{family} speaking", family, says=ANSWER) for family in FAMILIES}
    return silent, speaking


@pytest.fixture(params=FAMILIES)
def babbling(request, folders):
    return vlm.load_vlm(folders[0][request.param])


@pytest.fixture(params=FAMILIES)
def speaking(request, folders):
    return vlm.load_vlm(folders[1][request.param])


@pytest.fixture
def clip():
    """Two seconds whose pictures, 128 wide and 64 high, get lighter."""
    frames = np.zeros((40, 64, 128, 3), np.uint8)
    frames[:] = (np.arange(40) * 6)[:, None, None, None]
    return clip_from_frames(frames, 20.0)


def recorded(model, monkeypatch):
    """What the network is given, call by call."""
    calls = []
    generate = model.model.generate
    monkeypatch.setattr(model.model, "generate", lambda **given: calls.append(given) or generate(**given))
    return calls


def test_pictures_are_those_in_the_middle_of_equal_spans(clip):
    frames = vlm.sample_frames(clip, 4)
    assert [frame.time_s for frame in frames] == pytest.approx([0.25, 0.75, 1.25, 1.75])
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [30, 90, 150, 210]
    assert len(vlm.sample_frames(clip_from_frames(np.zeros((3, 8, 8, 3), np.uint8), 20.0), 12)) == 3
    with pytest.raises(PavasError, match="give 2 to 64"):
        vlm.sample_frames(clip, 1)


def test_pictures_are_sampled_by_time_where_frames_come_unevenly(tmp_path):
    from fractions import Fraction

    import av

    from pavas_core.video.clip import open_clip

    path = tmp_path / "uneven.mkv"
    # 20 pictures in the first second, one a second after that: by number, most would be of the first second.
    stamps = [50 * index for index in range(20)] + [1000, 2000, 3000, 4000]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=20)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "bgr0"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, stamp in enumerate(stamps):
            picture = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 10 * index, np.uint8), format="rgb24")
            picture.pts, picture.time_base = stamp, Fraction(1, 1000)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    shown = [frame.time_s for frame in vlm.sample_frames(open_clip(path), 4)]
    assert shown[1:] == pytest.approx([1.0, 2.0, 3.0], abs=0.6)
    assert sum(time_s < 1 for time_s in shown) == 1


def test_the_network_gets_every_picture_upright_in_order_after_its_time(babbling, clip, monkeypatch):
    calls = recorded(babbling, monkeypatch)
    frames = vlm.sample_frames(clip, 3)
    vlm.answer(babbling, frames, "What moves?", max_new_tokens=1)
    (given,) = calls
    merge = babbling.processor.image_processor.merge_size
    grids = given["image_grid_thw"].tolist()
    assert [time for time, _, _ in grids] == [1, 1, 1]
    assert all(across == 2 * down for _, down, across in grids), "the pictures are twice as wide as high"
    patches = given["pixel_values"].split([down * across for _, down, across in grids])
    levels = [float(one.float().mean()) * 127.5 + 127.5 for one in patches]
    assert levels == pytest.approx([float(frame.image.mean()) for frame in frames], abs=1.5)
    text = babbling.processor.tokenizer.decode(given["input_ids"][0])
    tokens = [down * across // merge**2 for _, down, across in grids]
    shown = "".join(
        f"{frame.time_s:.2f} s:<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>"
        for frame, count in zip(frames, tokens, strict=True)
    )
    assert text == f"<|im_start|>user\n{shown}What moves?<|im_end|>\n<|im_start|>assistant\n"


def test_left_of_the_picture_is_left_for_the_network(babbling, monkeypatch):
    calls = recorded(babbling, monkeypatch)
    image = np.zeros((64, 128, 3), np.uint8)
    image[:, :64] = 255
    vlm.answer(babbling, (Frame(0.0, image),), "?", max_new_tokens=1)
    _, down, across = calls[0]["image_grid_thw"][0].tolist()
    merge = babbling.processor.image_processor.merge_size
    light = calls[0]["pixel_values"].float().mean(-1).reshape(down // merge, across // merge, merge, merge)
    by_place = light.permute(0, 2, 1, 3).reshape(down, across)
    assert (by_place[:, : across // 2] > 0.5).all()
    assert (by_place[:, across // 2 :] < -0.5).all()


def test_the_same_clip_gives_the_same_words_though_the_checkpoint_samples(babbling, clip, folders):
    assert babbling.model.generation_config.do_sample
    frames = vlm.sample_frames(clip, 3)
    first = [vlm.answer(babbling, frames, "What moves?", max_new_tokens=24) for _ in range(3)]
    assert len(set(first)) == 1
    assert len(first[0]) > 8
    again = vlm.load_vlm(next(one for one in folders[0].values() if one.name == babbling.name))
    assert vlm.answer(again, frames, "What moves?", max_new_tokens=24) == first[0]
    assert again.fingerprint == babbling.fingerprint


def test_objects_and_masses_of_a_model_that_answers(speaking, clip, tmp_path, monkeypatch):
    cache, calls = ResultCache(tmp_path), recorded(speaking, monkeypatch)
    objects, seen = vlm.detect_vlm(clip, speaking, cache=cache, **SHORT)
    assert [(one.id, one.action, one.box) for one in objects.objects] == [("red-ball-1", "falls", None)]
    assert objects.source == f"vlm:{speaking.name}"
    assert seen.text == ANSWER
    assert len(seen.frames) == 3
    masses, _ = vlm.estimate_masses_vlm(clip, objects, speaking, cache=cache, **SHORT)
    mass = masses.masses["red-ball-1"]
    assert (mass.mass_kg, mass.low_kg, mass.high_kg, mass.reason) == (0.6, 0.5, 0.7, "usual")
    assert len(calls) == 2

    vlm.detect_vlm(clip, speaking, cache=cache, **SHORT)
    assert len(calls) == 2, "the answer is kept"
    vlm.detect_vlm(clip, speaking, cache=cache, renew=True, **SHORT)
    vlm.detect_vlm(clip, speaking, cache=cache, prompt="Name what moves.", **SHORT)
    assert len(calls) == 4, "asked anew, and for another prompt"
    asked = speaking.processor.tokenizer.decode(calls[-1]["input_ids"][0])
    assert "Name what moves." in asked
    assert cache.clear() == 3


def test_one_retry_with_the_complaint_then_the_models_own_words(babbling, clip, tmp_path, monkeypatch):
    calls, cache = recorded(babbling, monkeypatch), ResultCache(tmp_path)
    frames = vlm.sample_frames(clip, 3)
    with pytest.raises(AnswerError, match="cannot be used") as error:
        vlm.detect_vlm(clip, babbling, cache=cache, **SHORT)
    assert len(calls) == 2
    first, second = (babbling.processor.tokenizer.decode(call["input_ids"][0]) for call in calls)
    assert first.count("<|im_start|>user") == 1
    assert second.startswith(first)
    assert second.count("<|im_start|>user") == 2
    assert "could not be used: The answer holds no list of objects." in second
    question = first.split("<|vision_end|>")[-1].split("<|im_end|>")[0]
    said = vlm.answer(babbling, frames, question, max_new_tokens=12)
    assert f"assistant\n{said}" in second
    assert calls[1]["image_grid_thw"].shape[0] == 3, "the pictures are shown again"
    shown = str(error.value).split("it reads ", 1)[1]
    assert len(shown) > 12
    assert cache.size_bytes() == 0, "what cannot be used is not kept"


def test_a_token_that_is_cancelled_is_the_last(babbling, clip):
    steps = []

    def on_progress(stage, done, total):
        steps.append((stage, done))
        if stage.startswith("Reading") and done == 3:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        vlm.answer(
            babbling, vlm.sample_frames(clip, 3), "?", max_new_tokens=200, runtime=Runtime(on_progress=on_progress)
        )
    assert max(done for stage, done in steps if stage.startswith("Reading")) == 3


def test_without_objects_nothing_is_asked(speaking, clip, monkeypatch):
    calls = recorded(speaking, monkeypatch)
    masses, _ = vlm.estimate_masses_vlm(clip, ObjectSet((), 128, 64, 2.0), speaking)
    assert masses.masses == {}
    assert calls == []


def test_a_mass_for_an_object_that_the_answer_does_not_name_is_not_guessed(speaking, clip):
    things = ObjectSet((MovingObject("hammer-1", "hammer"),), 128, 64, 2.0)
    with pytest.raises(AnswerError, match="no mass for hammer-1"):
        vlm.estimate_masses_vlm(clip, things, speaking, **SHORT)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_precisions(folders, clip, precision):
    model = vlm.load_vlm(folders[1]["qwen3_vl"], precision=precision)
    assert str(model.model.dtype) == {"bf16": "torch.bfloat16", "fp32": "torch.float32"}[precision]
    assert vlm.detect_vlm(clip, model, **SHORT)[1].text == ANSWER


def test_which_folders_are_models(folders, tmp_path):
    assert all(vlm.is_vlm_folder(folder) for folder in folders[0].values())
    assert not vlm.is_vlm_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert not vlm.is_vlm_folder(tmp_path)


def test_folders_that_cannot_be_loaded_are_told(tmp_path):
    with pytest.raises(WeightsError, match=r"holds no config\.json"):
        vlm.load_vlm(tmp_path)
    folder = save_qwen(tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"holds no \.safetensors file"):
        vlm.load_vlm(folder)
    (folder / "pytorch_model.bin").rename(weights)

    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match="cannot be loaded"):
        vlm.load_vlm(folder)

    from safetensors.torch import load_file, save_file

    weights.write_bytes(content)
    tensors = load_file(weights)
    gone = next(name for name in tensors if "layers.1" in name)
    save_file({name: value for name, value in tensors.items() if name != gone}, weights, {"format": "pt"})
    with pytest.raises(WeightsError, match="lacks the weight"):
        vlm.load_vlm(folder)
    weights.write_bytes(content)

    config = json.loads((folder / "config.json").read_text())
    own_code = {"model_type": "strange_vlm", "auto_map": {"AutoModelForImageTextToText": "modeling.Strange"}}
    (folder / "config.json").write_text(json.dumps(config | own_code))
    (folder / "modeling.py").write_text("raise SystemExit('code of the checkpoint was run')")
    with pytest.raises(WeightsError, match="without code of their own"):
        vlm.load_vlm(folder)
    (folder / "config.json").write_text(json.dumps(config))

    (folder / "chat_template.json").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(WeightsError, match="has no chat template"):
        vlm.load_vlm(folder)

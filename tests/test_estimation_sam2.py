"""SAM 2 by both libraries on tiny random checkpoints: what is asked arrives, what comes out lies where it should."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pavas_core.errors import PavasError, WeightsError
from pavas_core.estimation.masks import sam2_package, sam2_transformers
from pavas_core.estimation.masks.sam2 import load_segmenter
from pavas_core.estimation.masks.segmenter import MEMORY_FRAMES, Prompt
from pavas_core.runtime import Runtime
from tests.tiny_checkpoints import SAM2_OVERRIDES, save_sam2_official, save_sam2_transformers

SIZE = 128
"""Of the networks' own pictures."""
HEIGHT, WIDTH = 60, 200
BOX = (20.0, 12.0, 90.0, 48.0)
POINTS, LABELS = ((150.0, 6.0), (30.0, 45.0)), (1, 0)

needs_package = pytest.mark.skipif(not sam2_package.is_installed(), reason="the sam2 package is not installed")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    base = tmp_path_factory.mktemp("sam2")
    found = {"transformers": save_sam2_transformers(base / "folder", seed=3)}
    if sam2_package.is_installed():
        found["package"] = save_sam2_official(base / "renamed.pt", seed=3)
    return found


@pytest.fixture(scope="module")
def loaded(files):
    made = {"transformers": load_segmenter(files["transformers"], precision="fp32")}
    if "package" in files:
        made["package"] = sam2_package.load_file(files["package"], precision="fp32", overrides=SAM2_OVERRIDES)
    return made


@pytest.fixture(params=["transformers", pytest.param("package", marks=needs_package)])
def segmenter(request, loaded):
    return loaded[request.param]


def pictures(count, seed=0):
    """A bright rectangle that moves over noise, in pictures far wider than high."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (count, HEIGHT, WIDTH, 3)).astype(np.uint8)
    for index, image in enumerate(images):
        image[12:48, 20 + index : 90 + index] = (240, 220, 30)
    return list(images)


def mask_of_box():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    x0, y0, x1, y1 = (int(value) for value in BOX)
    mask[y0:y1, x0:x1] = True
    return mask


def session(segmenter, images):
    return segmenter.sessions(images, 1, Runtime())[0]


def parts(segmenter):
    """(prompt encoder, image encoder) of either library."""
    module = segmenter.module
    named = ("prompt_encoder", "vision_encoder") if hasattr(module, "vision_encoder") else None
    return tuple(getattr(module, name) for name in named or ("sam_prompt_encoder", "image_encoder"))


def listened(module):
    """What a module is given, and the hook to take off again."""
    heard = []
    handle = module.register_forward_pre_hook(
        lambda _, given, named: heard.append((given, dict(named))), with_kwargs=True
    )
    return heard, handle


def asked_points(heard):
    """Points [n, 2] and labels [n] that the prompt encoder was last given."""
    named = next(one for _, one in reversed(heard) if one.get("points", one.get("input_points")) is not None)
    points = named.get("points")
    if points is None:
        points = named["input_points"], named["input_labels"]
    return points[0].reshape(-1, 2).numpy(), points[1].reshape(-1).tolist()


@pytest.mark.parametrize(
    ("prompt", "points", "labels"),
    [
        (Prompt(box=BOX), [BOX[:2], BOX[2:]], [2, 3]),
        (Prompt(points=POINTS, labels=LABELS), POINTS, [1, 0]),
        (Prompt(points=POINTS[:1]), POINTS[:1], [1]),
        (Prompt(box=BOX, points=POINTS, labels=LABELS), [BOX[:2], BOX[2:], *POINTS], [2, 3, 1, 0]),
    ],
)
def test_a_prompt_arrives_where_it_lies_in_the_networks_picture(segmenter, prompt, points, labels):
    heard, handle = listened(parts(segmenter)[0])
    try:
        mask = session(segmenter, pictures(2)).prompt(1, prompt)
    finally:
        handle.remove()
    assert mask.shape == (HEIGHT, WIDTH)
    assert mask.dtype == bool
    found, kinds = asked_points(heard)
    known = [index for index, kind in enumerate(kinds) if kind >= 0]
    expected = np.array(points) * [SIZE / WIDTH, SIZE / HEIGHT]
    np.testing.assert_allclose(found[known], expected, atol=1e-3)
    assert [kinds[index] for index in known] == labels


def test_the_network_sees_the_whole_picture_squashed_and_upright(segmenter):
    heard, handle = listened(parts(segmenter)[1])
    try:
        session(segmenter, pictures(2)).prompt(0, Prompt(box=BOX))
    finally:
        handle.remove()
    given, named = heard[0]
    seen = (given[0] if given else named["pixel_values"])[0]
    assert seen.shape == (3, SIZE, SIZE)
    red_over_blue = (seen[0] * 0.229 + 0.485 - seen[2] * 0.225 - 0.406).numpy()
    rows, columns = np.flatnonzero((red_over_blue > 0.4).any(1)), np.flatnonzero((red_over_blue > 0.4).any(0))
    edges = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    expected = np.array(BOX) * [SIZE / WIDTH, SIZE / HEIGHT, SIZE / WIDTH, SIZE / HEIGHT]
    np.testing.assert_allclose(edges, expected, atol=1.5)


def test_a_mask_goes_in_and_comes_out_in_its_place(segmenter):
    mask = mask_of_box()
    found = session(segmenter, pictures(3)).prompt(0, Prompt(mask=mask))
    assert (found & mask).sum() / (found | mask).sum() > 0.9


def test_backwards_is_forwards_through_the_film_run_backwards(segmenter):
    images = pictures(9)
    prompt = Prompt(mask=mask_of_box())
    back, forth = session(segmenter, images), session(segmenter, images[::-1])
    np.testing.assert_array_equal(back.prompt(6, prompt), forth.prompt(2, prompt))
    there = [back.step(place, True) for place in (5, 4, 3, 2, 1, 0)]
    mirrored = [forth.step(8 - place, False) for place in (5, 4, 3, 2, 1, 0)]
    assert any(mask.any() and not mask.all() for mask in there)
    for one, other in zip(there, mirrored, strict=True):
        assert (one != other).mean() < 0.002


def test_objects_share_what_the_network_sees(segmenter):
    images = pictures(4)
    heard, handle = listened(parts(segmenter)[1])
    try:
        sessions = segmenter.sessions(images, 3, Runtime())
        for one in sessions:
            one.prompt(0, Prompt(box=BOX))
        for place in (1, 2, 3):
            for one in sessions:
                one.step(place, False)
    finally:
        handle.remove()
    assert len(heard) == len(images)


def tensor_bytes(value, seen):
    """Bytes of all tensors that are kept in ``value``."""
    if isinstance(value, torch.Tensor):
        storage = value.untyped_storage()
        if storage.data_ptr() in seen:
            return 0
        seen.add(storage.data_ptr())
        return storage.nbytes()
    if isinstance(value, dict):
        return sum(tensor_bytes(one, seen) for one in value.values())
    if isinstance(value, (list, tuple, set)):
        return sum(tensor_bytes(one, seen) for one in value)
    if hasattr(value, "__dict__") and not isinstance(value, (torch.nn.Module, SimpleNamespace)):
        return tensor_bytes(vars(value), seen)
    return 0


def test_memory_stops_growing_with_the_film(segmenter, monkeypatch):
    assert MEMORY_FRAMES >= 16
    for module in (sam2_package, sam2_transformers):
        monkeypatch.setattr(module, "MEMORY_FRAMES", 16)
    length = 36
    images = pictures(length)
    one = session(segmenter, images)
    one.prompt(0, Prompt(mask=mask_of_box()))
    held = []
    for place in range(1, length):
        one.step(place, False)
        if place in (20, length - 1):
            held.append(tensor_bytes(getattr(one, "session", None) or one._state, set()))
    assert held[0] > 0
    assert held[1] <= 1.02 * held[0]


def test_the_same_again(segmenter):
    images = pictures(3)
    runs = []
    for _ in range(2):
        one = session(segmenter, images)
        runs.append([one.prompt(0, Prompt(box=BOX)), one.step(1, False), one.step(2, False)])
    np.testing.assert_array_equal(*runs)


def test_a_prompt_needs_something():
    with pytest.raises(PavasError, match="box, a point or a mask"):
        Prompt()
    with pytest.raises(PavasError, match="1 points have 2 labels"):
        Prompt(points=((1.0, 2.0),), labels=(1, 0))


def test_one_encoding_of_places_for_pictures_and_prompts(tmp_path, files):
    """Files of transformers 4 hold it once; version 5 would draw the prompts' one at random."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "old"
    folder.mkdir()
    for path in files["transformers"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("prompt_encoder.shared_embedding.positional_embedding", None)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    places = tensors["shared_image_embedding.positional_embedding"]
    model = load_segmenter(folder, precision="fp32").module
    torch.testing.assert_close(model.prompt_encoder.shared_embedding.positional_embedding, places, rtol=0, atol=0)
    tensors.pop("memory_encoder.projection.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks the weight memory_encoder\.projection\.weight"):
        load_segmenter(folder)


def test_what_is_no_checkpoint_is_refused(tmp_path, files):
    with pytest.raises(WeightsError, match="no SAM 2 in the format of transformers"):
        load_segmenter(tmp_path)
    with pytest.raises(WeightsError, match="no SAM 2 checkpoint"):
        load_segmenter(tmp_path / "gone.pt")
    cut = tmp_path / "cut"
    cut.mkdir()
    for path in files["transformers"].iterdir():
        content = path.read_bytes()
        (cut / path.name).write_bytes(content[: len(content) // 2] if path.suffix == ".safetensors" else content)
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_segmenter(cut)


@needs_package
def test_official_files_that_are_broken_or_others_are_refused(tmp_path, files):
    cut = tmp_path / "cut.pt"
    cut.write_bytes(files["package"].read_bytes()[:100000])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_segmenter(cut)
    torch.save({"model": {"weight": torch.ones(2)}}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="is no SAM 2 checkpoint"):
        load_segmenter(tmp_path / "other.pt")
    state = torch.load(files["package"], weights_only=True)["model"]
    state.pop("sam_mask_decoder.iou_token.weight")
    torch.save({"model": state}, tmp_path / "less.pt")
    with pytest.raises(WeightsError, match="not a whole SAM 2 checkpoint"):
        load_segmenter(tmp_path / "less.pt")

    class Bomb:
        def __reduce__(self):
            return (Path.write_text, (tmp_path / "exploded", "!"))

    torch.save({"model": state, "other": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_segmenter(tmp_path / "bomb.pt")
    assert not (tmp_path / "exploded").exists()


@needs_package
@pytest.mark.parametrize("version", ["sam2", "sam2.1"])
def test_every_published_size_is_told_by_its_tensors(version, monkeypatch):
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    # The package reads numbers out of this while it builds; only the weights shall stay without memory.
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))

    root = Path(importlib.import_module("sam2").__path__[0])
    for variant in sam2_package.VARIANTS.values():
        path = root / "configs" / version / f"{version}_hiera_{variant}.yaml"
        config = OmegaConf.load(path).model.image_encoder.trunk
        with torch.device("meta"):
            trunk = instantiate(config)
        state = {f"image_encoder.trunk.{name}": value for name, value in trunk.state_dict().items()}
        state["memory_encoder.out_proj.weight"] = torch.ones(1)
        if version == "sam2.1":
            state["no_obj_embed_spatial"] = torch.ones(1)
        assert sam2_package._config_file(state, "x") == path


@needs_package
def test_older_files_and_safetensors_load(tmp_path, files, loaded):
    older = sam2_package.load_file(save_sam2_official(tmp_path / "2.pt", version="sam2"), overrides=SAM2_OVERRIDES)
    assert session(older, pictures(2)).prompt(0, Prompt(box=BOX)).shape == (HEIGHT, WIDTH)
    from safetensors.torch import save_file

    save_file(torch.load(files["package"], weights_only=True)["model"], tmp_path / "same.safetensors")
    same = sam2_package.load_file(tmp_path / "same.safetensors", overrides=SAM2_OVERRIDES)
    images = pictures(2)
    np.testing.assert_array_equal(
        session(same, images).prompt(0, Prompt(box=BOX)), session(loaded["package"], images).prompt(0, Prompt(box=BOX))
    )


@needs_package
def test_hydra_stays_as_it_was(monkeypatch):
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    def first_import():
        for name in [name for name in sys.modules if name.split(".")[0] == "sam2"]:
            monkeypatch.delitem(sys.modules, name)
        sam2_package._predictor_class()

    GlobalHydra.instance().clear()
    first_import()
    assert not GlobalHydra.instance().is_initialized()
    initialize_config_module("hydra.conf", version_base="1.2")
    try:
        first_import()
        assert GlobalHydra.instance().is_initialized()
    finally:
        GlobalHydra.instance().clear()


def test_without_the_package_its_cure_is_told(tmp_path, monkeypatch):
    torch.save({"model": {}}, tmp_path / "sam2.1_hiera_tiny.pt")
    monkeypatch.setattr(sam2_package, "is_installed", lambda: False)
    with pytest.raises(WeightsError, match=r"--no-build-isolation --no-deps sam2.*or choose a SAM 2 folder"):
        load_segmenter(tmp_path / "sam2.1_hiera_tiny.pt")
    monkeypatch.setattr(sam2_package, "is_installed", lambda: True)

    def broken(name):
        raise ImportError("undefined symbol")

    monkeypatch.setattr(sam2_package.importlib, "import_module", broken)
    with pytest.raises(WeightsError, match="cannot be imported"):
        load_segmenter(tmp_path / "sam2.1_hiera_tiny.pt")

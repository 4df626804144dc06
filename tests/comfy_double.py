"""The few pieces of ComfyUI that the nodes touch, for tests without a ComfyUI checkout.

It only records: schemas keep what they were given, folders lie below a temporary directory. How the real
thing behaves is tested in ``tests/e2e``, which also compares both versions' schemas with the golden file.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Socket:
    """A declared input or output."""

    io_type: str
    id: str
    options: dict[str, Any]


class SocketType:
    """``io.Int`` and its like."""

    def __init__(self, io_type: str):
        self.io_type = io_type

    def Input(self, id: str, **options: Any) -> Socket:
        return Socket(self.io_type, id, options)

    def Output(self, id: str, **options: Any) -> Socket:
        return Socket(self.io_type, id, options)


@dataclass
class Schema:
    """The fields of ComfyUI 0.3.64's schema that the pack uses."""

    node_id: str
    display_name: str
    category: str
    description: str
    inputs: list[Socket]
    outputs: list[Socket]
    is_output_node: bool = False
    hidden: list[str] = field(default_factory=list)


class NodeOutput:
    """What a node returned."""

    def __init__(self, *args: Any, ui: Any = None):
        self.args = args
        self.ui = ui


class UploadType(Enum):
    video = "video_upload"


class FolderType(str, Enum):
    output = "output"
    temp = "temp"


@dataclass
class VideoComponents:
    images: Any
    frame_rate: Fraction
    audio: Any = None


class VideoInput:
    """ComfyUI's base: pictures only; its stream source would encode them."""

    def get_stream_source(self) -> Any:
        raise AssertionError("the pictures should have been read, not encoded")


class VideoFromFile(VideoInput):
    def __init__(self, file: Any, *, start_time: float = 0, duration: float = 0):
        self.file, self.trim = file, (float(start_time), float(duration))

    def get_stream_source(self) -> Any:
        return self.file

    def get_active_trim_window(self) -> tuple[float, float]:
        return self.trim


class VideoFromComponents(VideoInput):
    def __init__(self, components: VideoComponents):
        self.components = components

    def get_components(self) -> VideoComponents:
        return self.components


class PreviewImage:
    def __init__(self, images: Any, cls: Any = None):
        self.values = [{"filename": f"{index}.png"} for index in range(len(images))]


@dataclass
class Comfy:
    """Handles of the double: folders, and what the nodes reported."""

    input: Path
    output: Path
    temp: Path
    progress: list[tuple[int, int]] = field(default_factory=list)
    cancelled: bool = False
    loaded: list[Any] = field(default_factory=list)
    """Networks in the order they were loaded on the device."""
    unloaded: int = 0
    """How often everything was unloaded."""
    said: list[str] = field(default_factory=list)
    """Lines shown on nodes' faces."""
    models: Path = Path()
    """ComfyUI's models folder."""
    user: Path = Path()


class ModelPatcher:
    """ComfyUI's handle on a network; the double computes where the network is."""

    def __init__(self, model: Any, load_device: Any, offload_device: Any):
        self.model = model
        model.device = offload_device  # as ComfyUI does, which networks that only tell their device refuse


class Interrupted(BaseException):
    """ComfyUI's interruption, which recent versions derive from BaseException."""


def install(monkeypatch, base: Path) -> tuple[Comfy, ModuleType]:
    """Put the double into ``sys.modules`` and load the pack as ComfyUI would: (handles, ``nodes.extension``)."""
    comfy = Comfy(base / "input", base / "output", base / "temp", models=base / "models", user=base / "user")
    for folder in (comfy.input, comfy.output, comfy.temp, comfy.models):
        folder.mkdir(parents=True)

    names = ["Int", "Float", "String", "Boolean", "Combo", "Video", "Audio", "Image", "Mask", "Latent"]
    io = SimpleNamespace(
        **{name: SocketType(name.upper()) for name in names},
        Custom=SocketType,
        Schema=Schema,
        ComfyNode=type("ComfyNode", (), {"hidden": SimpleNamespace(prompt=None, extra_pnginfo=None, unique_id="1")}),
        Hidden=SimpleNamespace(unique_id="UNIQUE_ID"),
        NodeOutput=NodeOutput,
        UploadType=UploadType,
        FolderType=FolderType,
    )
    ui = SimpleNamespace(
        PreviewText=lambda value: {"text": (value,)},
        PreviewVideo=lambda values: {"images": values, "animated": (True,)},
        PreviewImage=PreviewImage,
        SavedResult=lambda filename, subfolder, type: {"filename": filename, "subfolder": subfolder, "type": type},
    )
    latest = _module(
        "comfy_api.latest",
        io=io,
        ui=ui,
        ComfyExtension=object,
        Input=SimpleNamespace(Video=VideoInput),
        InputImpl=SimpleNamespace(VideoFromFile=VideoFromFile, VideoFromComponents=VideoFromComponents),
        Types=SimpleNamespace(VideoComponents=VideoComponents),
    )

    class ProgressBar:
        def __init__(self, total: int):
            self.total = total

        def update_absolute(self, value: int, total: int) -> None:
            comfy.progress.append((value, total))

    def throw_if_interrupted() -> None:
        if comfy.cancelled:
            raise Interrupted

    def load_models_gpu(patchers: list[Any], memory_required: int = 0, force_full_load: bool = False) -> None:
        comfy.loaded.extend(patcher.model for patcher in patchers)

    def unload_all_models() -> None:
        comfy.unloaded += 1

    known_folders: dict[str, tuple[list[str], set[str]]] = {}

    def add_model_folder_path(name: str, folder: str) -> None:
        paths, _ = known_folders.setdefault(name, ([], set()))
        if folder not in paths:
            paths.append(folder)

    def annotated_filepath(name: str) -> tuple[str, str | None]:
        for mark, folder in (("[output]", comfy.output), ("[input]", comfy.input), ("[temp]", comfy.temp)):
            if name.endswith(mark):
                return name[: -len(mark)], str(folder)
        return name, None

    def get_save_image_path(prefix: str, output: str, width: int, height: int) -> tuple[str, str, int, str, str]:
        folder = Path(output) / Path(prefix).parent
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder), Path(prefix).name, 1, Path(prefix).parent.as_posix(), prefix

    modules = {
        "comfy_api": _module("comfy_api", latest=latest),
        "comfy_api.latest": latest,
        "comfy": _module("comfy"),
        "comfy.utils": _module("comfy.utils", ProgressBar=ProgressBar),
        "comfy.ops": _module("comfy.ops", manual_cast=None),
        "comfy.model_patcher": _module("comfy.model_patcher", ModelPatcher=ModelPatcher),
        "comfy.model_management": _module(
            "comfy.model_management",
            throw_exception_if_processing_interrupted=throw_if_interrupted,
            get_torch_device=lambda: "cpu",
            unet_offload_device=lambda: "cpu",
            should_use_bf16=lambda device: False,
            should_use_fp16=lambda device: False,
            load_models_gpu=load_models_gpu,
            unload_all_models=unload_all_models,
            soft_empty_cache=lambda: None,
        ),
        "comfy.cli_args": _module("comfy.cli_args", args=SimpleNamespace(disable_metadata=False)),
        "folder_paths": _module(
            "folder_paths",
            get_input_directory=lambda: str(comfy.input),
            get_output_directory=lambda: str(comfy.output),
            get_temp_directory=lambda: str(comfy.temp),
            get_user_directory=lambda: str(comfy.user),
            models_dir=str(comfy.models),
            folder_names_and_paths=known_folders,
            supported_pt_extensions={".safetensors", ".pth", ".pt"},
            add_model_folder_path=add_model_folder_path,
            annotated_filepath=annotated_filepath,
            get_save_image_path=get_save_image_path,
        ),
    }
    prompt_server = SimpleNamespace(send_progress_text=lambda text, node_id: comfy.said.append(text))
    modules["server"] = _module("server", PromptServer=SimpleNamespace(instance=prompt_server))
    modules["comfy"].utils = modules["comfy.utils"]
    modules["comfy"].ops = modules["comfy.ops"]
    modules["comfy"].model_management = modules["comfy.model_management"]
    modules["comfy"].model_patcher = modules["comfy.model_patcher"]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return comfy, _load_pack(monkeypatch)


def _module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(members)
    return module


def _load_pack(monkeypatch) -> ModuleType:
    """The pack's ``nodes.extension``, loaded the way ComfyUI loads a folder whose name is no Python name."""
    name = "/custom nodes/PAVAS Físik"
    for loaded in [key for key in sys.modules if key == name or key.startswith(name + ".")]:
        monkeypatch.delitem(sys.modules, loaded)
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    pack = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, pack)
    spec.loader.exec_module(pack)
    pack._register_core()
    return importlib.import_module(name + ".nodes.extension")

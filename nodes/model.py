"""Load a sound model, and download the published ones."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from pavas_core.errors import PavasError
from pavas_core.weights.catalogue import download_command, entries, entry, networks, with_companions
from pavas_core.weights.companions import COMPANION_ROLES

from . import model_folders
from .host import comfy_runtime, say_on_node, says_what_is_missing, survives_full_memory
from .model_folders import AUTO
from .paths import fingerprint
from .wires import Model, node_schema, precision_input

NANO = "pavas-nano-1"
NANO_WEIGHTS = Path(__file__).resolve().parents[1] / "pavas_core" / "models" / "weights" / f"{NANO}.safetensors"
"""Where :mod:`pavas_core.models.nano` keeps them; it needs torch and is not imported to declare a node."""
NO_ADAPTER = "No trained Phy-Adapter: mass and speed do not change this model's sound."


TOO_MUCH = 1.5
"""Times the cfg_strength a model is meant for."""


def say_what_suits(cls, model, cfg_strength: float) -> None:
    """Tell, on the node that samples, what of the model or of its guidance will not sound as expected."""
    lines = [NO_ADAPTER] if model.adapter is None else []
    usual = model.usual_cfg_strength
    if usual is not None and cfg_strength > TOO_MUCH * usual:
        lines.append(f"{model.name} is meant for cfg_strength {usual:g}: {cfg_strength:g} makes it too loud.")
    say_on_node(cls, "\n".join(lines))


def _model_names(found) -> list[str]:
    in_the_box = [NANO] if NANO_WEIGHTS.is_file() else []
    return in_the_box + model_folders.names(found, "network")


def missing_model(name: str) -> str:
    """What to do about a model that is in no folder, in one sentence."""
    folder = model_folders.model_folders()[0]
    try:
        known = entry(name)
    except PavasError:
        return f"There is no model {name!r}: put its file into {folder}, or choose another."
    return (
        f"{known.file} ({known.size}, licence {known.licence.id}) is not in {folder}: get it and what it needs with "
        f"the node Download Models (PAVAS), or with {download_command([known.id], folder)}."
    )


class PavasLoadModel(io.ComfyNode):
    """A sound network with everything it needs."""

    @classmethod
    def define_schema(cls):
        found = model_folders.files()

        def companion(role: str, what: str) -> io.Combo.Input:
            return io.Combo.Input(
                role,
                options=[AUTO, *model_folders.names(found, role)],
                default=AUTO,
                tooltip=f"{what}; auto = one that fits.",
            )

        return node_schema(
            node_id="PavasLoadModel",
            display_name="Load PAVAS Model",
            category="PAVAS/model",
            description=(
                "Loads a sound network from models/pavas or models/mmaudio with the files it needs. What a file is, is "
                "told by its tensors, whatever its name."
            ),
            search_aliases=["mmaudio", "load model", "foley model", "video to audio", "checkpoint"],
            inputs=[
                io.Combo.Input("file", options=_model_names(found), tooltip="The sound network."),
                io.Combo.Input(
                    "adapter",
                    options=[AUTO, *model_folders.names(found, "adapter")],
                    default=AUTO,
                    tooltip="Phy-Adapter that lets mass and speed steer the sound; auto = the one in the file, if any.",
                ),
                precision_input("Of network and encoders; auto = what suits this device, fp8 = smallest."),
                companion("vae", "Latent to mel spectrogram"),
                companion("vocoder", "Mel spectrogram to sound"),
                companion("clip", "Encoder of pictures and prompt"),
                companion("synchformer", "Encoder of motion"),
            ],
            outputs=[
                Model.Output("model", display_name="model", tooltip="For the other PAVAS model nodes."),
                io.String.Output("summary", display_name="summary", tooltip="What was loaded, from which files."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, file):
        if file is None or file in _model_names(model_folders.files()):
            return True
        return missing_model(file)

    @classmethod
    def fingerprint_inputs(cls, file, adapter, precision, vae, vocoder, clip, synchformer):
        found = model_folders.files()
        paths = (model_folders.path_of(name, found) for name in (file, adapter, vae, vocoder, clip, synchformer))
        return [fingerprint(path) for path in paths if path is not None]

    @classmethod
    @says_what_is_missing
    @survives_full_memory
    def execute(cls, file, adapter, precision, vae, vocoder, clip, synchformer):
        if file == NANO:
            from pavas_core.models.nano import load_nano

            model = load_nano(comfy_runtime())
            return io.NodeOutput(model, f"network: {NANO}, in the box\nPhy-Adapter: yes\nsound: {model.sample_rate} Hz")
        from pavas_core.models.published import load_published

        found, folders = model_folders.files(), model_folders.model_folders()
        network = model_folders.path_of(file, found)
        if network is None:
            raise PavasError(missing_model(file))
        asked = dict(zip(COMPANION_ROLES, (vae, vocoder, clip, synchformer), strict=True))
        named = {role: path for role, name in asked.items() if (path := model_folders.path_of(name, found)) is not None}
        model = load_published(
            network,
            adapter=model_folders.path_of(adapter, found),
            precision=precision,
            files=found,
            folders=folders,
            named=named,
            runtime=comfy_runtime(),
        )
        say_on_node(cls, model.summary)
        return io.NodeOutput(model, model.summary)


class PavasDownloadModels(io.ComfyNode):
    """Published files, got when asked and when their licences are accepted."""

    @classmethod
    def define_schema(cls):
        return node_schema(
            node_id="PavasDownloadModels",
            display_name="Download Models (PAVAS)",
            category="PAVAS/model",
            description=(
                "Downloads published weights into models/pavas, checks them and goes on where an earlier download "
                "stopped. Nothing is downloaded before the licences are accepted, and never by another node."
            ),
            search_aliases=["download weights", "get models", "mmaudio download", "licence"],
            is_output_node=True,
            inputs=[
                io.Combo.Input(
                    "what",
                    options=[f"{name} and all it needs" for name in networks()] + [one.id for one in entries()],
                    default=f"{networks()[-1]} and all it needs",
                    tooltip="A network with its VAE, vocoder, CLIP and Synchformer, or a single file.",
                ),
                io.Boolean.Input(
                    "accept_licences",
                    default=False,
                    tooltip="Tick after reading them (help page); MMAudio and CLIP allow no commercial use.",
                ),
            ],
            outputs=[
                io.String.Output("files", display_name="files", tooltip="Where the files are, one a line."),
            ],
        )

    @classmethod
    @says_what_is_missing
    def execute(cls, what, accept_licences):
        from pavas_core.weights.download import download

        name, with_all, _ = what.partition(" and all it needs")
        chosen = with_companions([name]) if with_all else [entry(name)]
        accepted = [one.licence.id for one in chosen] if accept_licences else []
        folder, runtime = model_folders.model_folders()[0], comfy_runtime()
        paths = [download(one, folder, accepted=accepted, runtime=runtime) for one in chosen]
        return io.NodeOutput("\n".join(str(path) for path in paths))

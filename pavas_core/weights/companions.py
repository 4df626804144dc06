"""The files a published network works with, picked by what fits, or by the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pavas_core.errors import WeightsError
from pavas_core.weights.catalogue import entry, missing
from pavas_core.weights.contents import ROLES, Contents, identify
from pavas_core.weights.folders import Found, of_role
from pavas_core.weights.reading import read_shapes

DEFAULT_NETWORK = "large_44k_v2"
COMPANION_ROLES = ("vae", "vocoder", "clip", "synchformer")


@dataclass(frozen=True)
class Companions:
    """One file of every role beside the network's."""

    vae: Path
    vocoder: Path
    clip: Path
    synchformer: Path

    def __str__(self) -> str:
        return ", ".join(f"{role}: {getattr(self, role).name}" for role in COMPANION_ROLES)


def contents_of(path: Path) -> Contents:
    """What a file holds, from its tensors' names and shapes alone. Raises WeightsError."""
    return identify(read_shapes(path).shapes, path.name)


def network_named(name: str, files: Sequence[Found], folders: Sequence[Path]) -> Path:
    """The network of that path, name in the folders or name in the catalogue; the first one there for no name.

    Raises WeightsError, with the command that gets it, where it is not there.
    """
    if name and Path(name).is_file():
        return Path(name)
    networks = of_role(files, "network")
    for found in networks:
        if not name or found.name == name:
            return found.path
    known = entry(name or DEFAULT_NETWORK)
    for found in networks:
        if found.path.name == known.file:
            return found.path
    raise missing("network", known.variant, f"The network {known.id}", folders)


def choose(
    network: Path,
    contents: Contents,
    files: Sequence[Found],
    folders: Sequence[Path],
    named: Mapping[str, Path] | None = None,
) -> Companions:
    """Files to go with ``network``: those ``named`` by role, else those that fit it among ``files``.

    Of several that fit, one in the network's own folder comes first, then the largest, which is the one in full
    precision. Raises WeightsError for a role without a fitting file, and for a named file that does not fit.
    """
    named = named or {}
    latent_dim = contents.config.latent_dim
    rate = "16k" if latent_dim == 20 else "44k"

    def pick(role: str, variant: str, fits: Callable[[Contents], bool], wanted: str) -> Path:
        if role in named:
            given = contents_of(named[role])
            if given.role != role or not fits(given):
                raise WeightsError(f"{named[role].name} is {given}, and {wanted} is needed here: choose another file.")
            return named[role]
        fitting = [found.path for found in of_role(files, role) if _fits(found.path, role, fits)]
        if not fitting:
            raise missing(role, variant, f"{wanted[0].upper()}{wanted[1:]}", folders)
        return min(fitting, key=lambda path: (path.parent != network.parent, -path.stat().st_size, path.name))

    def sees_enough(clip: Contents) -> bool:
        return (clip.config.embed_dim, clip.config.text_width) == (contents.config.clip_dim, contents.config.text_dim)

    vae = pick("vae", rate, lambda it: it.config.latent_dim == latent_dim, f"a mel VAE with {latent_dim} channels")
    mel_bins = contents_of(vae).config.mel_bins
    return Companions(
        vae=vae,
        vocoder=pick(
            "vocoder", rate, lambda it: it.config.mel_bins == mel_bins, f"a BigVGAN vocoder of {mel_bins} mel bins"
        ),
        clip=pick("clip", "ViT-H-14-378", sees_enough, ROLES["clip"]),
        synchformer=pick("synchformer", "", lambda it: True, ROLES["synchformer"]),
    )


def _fits(path: Path, role: str, fits: Callable[[Contents], bool]) -> bool:
    """Whether a file does; one that turns out damaged does not."""
    try:
        contents = contents_of(path)
    except WeightsError:
        return False
    return contents.role == role and fits(contents)

"""``convert-cut3r``: the tensors of a published CUT3R file as safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from pavas_core.commands.console import print_files


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    convert = commands.add_parser(
        "convert-cut3r", help="write the tensors of a published CUT3R .pth as .safetensors", allow_abbrev=False
    )
    convert.add_argument("source", type=Path, metavar="FILE.pth", help="as published; nothing it names is run")
    convert.add_argument("target", type=Path, metavar="FILE.safetensors", help="must not exist yet")
    convert.set_defaults(command=_convert)


def _convert(options: argparse.Namespace) -> None:
    from pavas_core.models.cut3r_load import identify_cut3r
    from pavas_core.weights.cut3r_container import convert_container, read_container

    identify_cut3r(read_container(options.source), options.source.name)
    convert_container(options.source, options.target)
    print_files([options.target])

"""The command line: finds the command, runs it and tells an error in one sentence."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pavas_core import __version__
from pavas_core.commands import (
    convert_cut3r,
    environment,
    estimate,
    evaluate,
    foley,
    models,
    parity,
    physics,
    queue,
    simulate,
    train,
)
from pavas_core.errors import PavasError

COMMANDS = (foley, physics, estimate, simulate, queue, models, convert_cut3r, parity, environment, train, evaluate)
EXIT_ERROR, EXIT_STOPPED = 2, 130
REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements" / "core.txt"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0, what the command returns where it has to say more, 2 for an error told in one sentence, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # names in scripts the terminal does not know
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except PavasError as error:
        print(f"Error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pavas_core"):
            raise
        cure = f'"{sys.executable}" -m pip install -r "{REQUIREMENTS}"'
        print(f"Error: The Python package {error.name} is missing: run {cure}.", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("Stopped; nothing half-written is left.", file=sys.stderr)
        return EXIT_STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pavas_core", description="Sound that obeys the physics on screen.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser

"""``python -m pavas_core`` or ``python /path/to/pavas_core``, from any folder and with any Python."""

import signal
import sys
from pathlib import Path

if not __package__:
    # Run by path, Python looks for modules in this folder; they are in the one above.
    _here = Path(__file__).resolve().parent
    sys.path[:] = [str(_here.parent), *(entry for entry in sys.path if Path(entry or ".").resolve() != _here)]

from pavas_core.cli import main

if __name__ == "__main__":
    # A shell that starts jobs in the background tells them to ignore Ctrl-C; kill -INT shall still stop them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())

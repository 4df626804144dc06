"""Writing files so that a target is either the old one or the whole new one."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pavas_core.errors import MediaError

DISK_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EBUSY}
)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a fresh temporary path beside ``path`` and move it there at the end.

    On any error, and on Ctrl-C, the temporary file is removed and ``path`` is left as it was. The temporary name
    keeps the suffix, since writers choose the format by it. Raises MediaError where the folder is absent or read-only.
    """
    folder = path.parent
    if path.is_dir():
        raise MediaError(f"{path} is a folder, give the name of a file to write.")
    if not folder.is_dir():
        raise MediaError(f"{path.name} cannot be written because the folder {folder} does not exist, create it first.")
    temporary = folder / f".{path.stem[:80]}.{secrets.token_hex(4)}.part{path.suffix}"
    try:
        # created here and not by tempfile, so that the file gets the permissions the user's umask asks for
        temporary.open("xb").close()
    except OSError as error:
        raise MediaError(
            f"{path.name} cannot be written into {folder} ({error.strerror}), choose a folder you may write to."
        ) from error
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise  # not about this file: a caller's own
        raise MediaError(
            f"{path.name} cannot be written ({error.strerror}), check the free space and that it is not open elsewhere."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)

"""``models``: the published weights; which there are, which are here, getting and checking them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pavas_core.commands.console import print_files, progress, table
from pavas_core.errors import WeightsError


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its four actions."""
    models = commands.add_parser("models", help="published weights: list, download, verify", allow_abbrev=False)
    actions = models.add_subparsers(required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="every published file: role, size, licence, whether it is here")
    listing.set_defaults(command=_list)

    getting = actions.add_parser("download", help="get files; a network brings what it needs", allow_abbrev=False)
    getting.add_argument("names", nargs="+", metavar="NAME", help="a name from the list, such as large_44k_v2")
    getting.add_argument("--into", type=Path, metavar="FOLDER", help="default: the first folder that `where` prints")
    getting.add_argument("--alone", action="store_true", help="without the other files a network needs")
    getting.add_argument(
        "--accept-licence", action="append", default=[], metavar="ID", help="after reading it (repeatable)"
    )
    getting.set_defaults(command=_download)

    checking = actions.add_parser("verify", help="compare files here with what was published")
    checking.add_argument("names", nargs="*", metavar="NAME", help="default: all that are here")
    checking.set_defaults(command=_verify)

    where = actions.add_parser("where", help="folders that are searched, and the usable files in them")
    where.set_defaults(command=_where)

    for action in (listing, checking, where):
        action.add_argument(
            "--folder", type=Path, action="append", metavar="FOLDER", help="search here instead (repeatable)"
        )


def _folders(options: argparse.Namespace) -> Sequence[Path]:
    from pavas_core.weights.folders import default_folders

    return options.folder or default_folders()


def _here(folders: Sequence[Path], name: str) -> Path | None:
    return next((path for folder in folders if folder.is_dir() for path in sorted(folder.rglob(name))), None)


def _list(options: argparse.Namespace) -> None:
    from pavas_core.weights.catalogue import entries

    folders = _folders(options)
    rows = [["name", "role", "file", "size", "licence", "commercial", "needed by", "here"]]
    for one in entries():
        rows.append(
            [
                one.id,
                one.role,
                one.file,
                one.size,
                one.licence.id,
                "yes" if one.licence.commercial else "no",
                " ".join(one.used_by),
                str(_here(folders, one.file) or "-"),
            ]
        )
    print(table(rows))
    for licence in {one.licence.id: one.licence for one in entries()}.values():
        print(f"{licence.id}: {licence.name}, {licence.url}")


def _download(options: argparse.Namespace) -> None:
    from pavas_core.weights.catalogue import entry, with_companions
    from pavas_core.weights.download import check_accepted, download
    from pavas_core.weights.folders import default_folders

    chosen = [entry(name) for name in options.names] if options.alone else with_companions(options.names)
    check_accepted(chosen, options.accept_licence)
    folder = (options.into or default_folders()[0]).expanduser().absolute()
    with progress() as runtime:
        written = [download(one, folder, accepted=options.accept_licence, runtime=runtime) for one in chosen]
    print_files(written)


def _verify(options: argparse.Namespace) -> None:
    from pavas_core.weights.catalogue import entries, entry
    from pavas_core.weights.download import fault_of

    folders = _folders(options)
    chosen = [entry(name) for name in options.names] or list(entries())
    rows, faulty = [["name", "file", "verdict"]], []
    with progress() as runtime:
        for one in chosen:
            path = _here(folders, one.file)
            if path is None:
                if options.names:
                    rows.append([one.id, one.file, "not here"])
                    faulty.append(one.file)
                continue
            fault = fault_of(path, one, runtime)
            checked = "as published" if one.sha256 or one.md5 else "no checksum was published; size only"
            rows.append([one.id, str(path), fault or checked])
            if fault:
                faulty.append(one.file)
    print(table(rows))
    if faulty:
        raise WeightsError(f"{', '.join(faulty)} differ from what was published: delete them and download them again.")


def _where(options: argparse.Namespace) -> None:
    from pavas_core.weights.companions import contents_of
    from pavas_core.weights.folders import usable_files

    rows = [["file", "holds"]]
    folders = _folders(options)
    for found in usable_files(folders):
        try:
            rows.append([str(found.path), str(contents_of(found.path))])
        except WeightsError as error:
            rows.append([str(found.path), str(error)])
    for folder in folders:
        print(f"{folder}{'' if folder.is_dir() else ' (does not exist yet)'}")
    print(table(rows))

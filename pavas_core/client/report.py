"""A batch's outcomes as a table for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from pavas_core.client.manifest import Record
from pavas_core.video.atomic import replacing

NAME = "report.csv"


def write_report(folder: Path, records: Iterable[Record]) -> Path:
    """One row a job: clip, swept values, how it ended and its files."""
    records = list(records)
    swept = list(dict.fromkeys(name for record in records for name in record.job.values))
    path = folder / NAME
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["job", "clip", *swept, "status", "error", "files", "texts", "server", "seconds"])
        for record in records:
            end = record.outcome
            table.writerow(
                [
                    record.job.id,
                    record.job.clip,
                    *(record.job.values.get(name, "") for name in swept),
                    end.status if end else "open",
                    end.error if end else "",
                    *(
                        ["; ".join(end.files), " | ".join(end.texts), end.server, end.seconds]
                        if end
                        else ["", "", "", ""]
                    ),
                ]
            )
    return path

"""Published files: the table, downloads from a local server, checks, and what users are told."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import http.server
import re
import sys
import threading
from pathlib import Path

import pytest

from pavas_core.commands import models
from pavas_core.errors import Cancelled, WeightsError
from pavas_core.runtime import Runtime
from pavas_core.weights import catalogue, download
from pavas_core.weights.contents import ROLES

PAYLOAD = bytes(range(256)) * 40000  # 10 MB, more than one chunk of the client
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A server that answers as huggingface.co does for one file, and remembers what was asked."""

    def __init__(self):
        hub = self
        self.payload, self.requests = PAYLOAD, []
        self.stop_after: int | None = None
        """Bytes after which the server hangs up."""
        self.ranges_known = True

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_GET(self):
                asked = self.headers.get("Range") if hub.ranges_known else None
                hub.requests.append((self.path, asked))
                start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked else 0
                if self.path != f"/somebody/weights/resolve/{COMMIT}/weights.bin":
                    self.send_error(404)
                    return
                if start >= len(hub.payload):
                    self.send_error(416)
                    return
                rest = hub.payload[start:]
                self.send_response(206 if asked else 200)
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest[: hub.stop_after])

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def ranges(self):
        return [asked for _, asked in self.requests]


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture
def row(monkeypatch):
    """A row of the table that the local server has, alone in the table."""
    published = catalogue.entry("vae-44k")
    made = dataclasses.replace(
        published,
        id="test",
        file="test.bin",
        repo="somebody/weights",
        revision=COMMIT,
        path="weights.bin",
        size_bytes=len(PAYLOAD),
        md5=None,
        sha256=hashlib.sha256(PAYLOAD).hexdigest(),
    )
    monkeypatch.setattr(catalogue, "entries", lambda: (made,))
    return made


ACCEPTED = ["cc-by-nc-4.0"]


def test_the_table_is_sound():
    rows = catalogue.entries()
    assert len({one.id for one in rows}) == len(rows) == len({one.file for one in rows})
    variants = set(catalogue.networks())
    for one in rows:
        assert one.role in ROLES
        assert set(one.used_by) <= variants
        assert re.fullmatch(r"[0-9a-f]{40}", one.revision)
        assert one.md5 is None or re.fullmatch(r"[0-9a-f]{32}", one.md5)
        assert one.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", one.sha256)
        assert one.size_bytes > 1e8
        assert one.licence.url.startswith("https://")


@pytest.mark.parametrize("network", ["small_16k", "large_44k_v2"])
def test_a_network_brings_one_file_of_every_other_role(network):
    chosen = catalogue.with_companions([network])
    assert sorted(one.role for one in chosen) == ["clip", "network", "synchformer", "vae", "vocoder"]
    assert chosen[0].id == network
    rates = {one.variant for one in chosen if one.role in ("vae", "vocoder")}
    assert rates == {network.split("_")[1]}


def test_a_download_is_complete_checked_and_not_repeated(hub, row, tmp_path):
    seen = []
    runtime = Runtime(on_progress=lambda stage, done, total: seen.append((stage, done, total)))
    path = download.download(row, tmp_path / "models", accepted=ACCEPTED, runtime=runtime)
    assert path == tmp_path / "models" / "test.bin"
    assert path.read_bytes() == PAYLOAD
    assert ("downloading test.bin", len(PAYLOAD), len(PAYLOAD)) in seen
    assert seen[-1] == ("checking test.bin", len(PAYLOAD), len(PAYLOAD))
    assert [path.name for path in path.parent.iterdir()] == ["test.bin"]
    asked = len(hub.requests)
    download.download(row, tmp_path / "models", accepted=ACCEPTED)
    assert len(hub.requests) == asked


def test_a_cancelled_download_goes_on_where_it_stopped(hub, row, tmp_path):
    def cancel(stage, done, total):
        if done > len(PAYLOAD) / 10:
            raise Cancelled

    with pytest.raises(Cancelled):
        download.download(row, tmp_path, accepted=ACCEPTED, runtime=Runtime(on_progress=cancel))
    assert not (tmp_path / "test.bin").exists()
    (partial,) = tmp_path.rglob("*.part")
    received = partial.stat().st_size
    assert 0 < received < len(PAYLOAD)
    download.download(row, tmp_path, accepted=ACCEPTED)
    assert (tmp_path / "test.bin").read_bytes() == PAYLOAD
    assert hub.ranges() == [None, f"bytes={received}-"]


def test_a_connection_that_breaks_is_taken_up_again(hub, row, tmp_path):
    hub.stop_after = len(PAYLOAD) // 4
    download.download(row, tmp_path, accepted=ACCEPTED)
    assert (tmp_path / "test.bin").read_bytes() == PAYLOAD
    assert len(hub.ranges()) > 3


def test_a_connection_that_brings_nothing_is_given_up(hub, row, tmp_path):
    hub.stop_after = 0
    with pytest.raises(WeightsError, match="goes on where it stopped"):
        download.download(row, tmp_path, accepted=ACCEPTED)
    assert len(hub.ranges()) == download.ATTEMPTS


def test_a_server_without_ranges_starts_again(hub, row, tmp_path):
    hub.ranges_known = False
    part = tmp_path / ".unfinished" / f"test-{COMMIT[:12]}.part"
    part.parent.mkdir()
    part.write_bytes(b"old")
    download.download(row, tmp_path, accepted=ACCEPTED)
    assert (tmp_path / "test.bin").read_bytes() == PAYLOAD


def test_a_part_that_was_complete_is_only_checked(hub, row, tmp_path):
    part = tmp_path / ".unfinished" / f"test-{COMMIT[:12]}.part"
    part.parent.mkdir()
    part.write_bytes(PAYLOAD)
    download.download(row, tmp_path, accepted=ACCEPTED)
    assert (tmp_path / "test.bin").read_bytes() == PAYLOAD


def test_nothing_is_fetched_before_the_licence_is_accepted(hub, row, tmp_path):
    for accepted in ([], ["mit"]):
        with pytest.raises(WeightsError, match=r"no commercial use.*--accept-licence cc-by-nc-4\.0"):
            download.download(row, tmp_path, accepted=accepted)
    assert hub.requests == []


def test_a_file_unlike_the_published_one_is_not_kept(hub, row, tmp_path):
    hub.payload = PAYLOAD[:-1] + b"x"
    with pytest.raises(WeightsError, match=r"has the sha256 .* and was deleted"):
        download.download(row, tmp_path, accepted=ACCEPTED)
    assert not list(tmp_path.rglob("*.bin"))


def test_a_missing_page_is_told_with_its_address(hub, row, tmp_path):
    gone = dataclasses.replace(row, path="gone.bin")
    with pytest.raises(
        WeightsError, match=r"could not be downloaded from https://huggingface\.co/somebody/weights.*answered 404"
    ):
        download.download(gone, tmp_path, accepted=ACCEPTED)


def test_a_full_disk_is_told_before_anything_is_fetched(hub, row, tmp_path):
    huge = dataclasses.replace(row, size_bytes=10**18)
    with pytest.raises(WeightsError, match=r"needs 1000000000\.0 GB and .* left"):
        download.download(huge, tmp_path, accepted=ACCEPTED)
    assert hub.requests == []


def test_a_missing_file_names_file_folder_size_and_command():
    folder = Path("/some/models/pavas")
    told = str(catalogue.missing("vae", "44k", "The VAE of large_44k_v2", [folder]))
    assert "v1-44.pth (1.2 GB" in told
    assert str(folder) in told
    core = Path(catalogue.__file__).resolve().parents[1]
    assert f'"{sys.executable}" "{core}" models download vae-44k --into "{folder}"' in told
    assert told.count(". ") == 0


def run(*arguments):
    parser = argparse.ArgumentParser()
    models.add(parser.add_subparsers())
    options = parser.parse_args(["models", *arguments])
    options.command(options)


def test_the_command_downloads_lists_and_verifies(hub, row, tmp_path, capsys):
    into = ["--into", str(tmp_path)]
    with pytest.raises(WeightsError, match="accepted first"):
        run("download", "test", *into)
    run("download", "test", *into, "--accept-licence", "cc-by-nc-4.0")
    assert str(tmp_path / "test.bin") in capsys.readouterr().out
    run("list", "--folder", str(tmp_path))
    listed = capsys.readouterr().out
    assert str(tmp_path / "test.bin") in listed
    assert "https://creativecommons.org/licenses/by-nc/4.0/" in listed
    run("verify", "--folder", str(tmp_path))
    assert "as published" in capsys.readouterr().out
    (tmp_path / "test.bin").write_bytes(PAYLOAD[:-1])
    with pytest.raises(WeightsError, match=r"test\.bin differ from what was published"):
        run("verify", "--folder", str(tmp_path))
    assert f"has {len(PAYLOAD) - 1} bytes instead of {len(PAYLOAD)}" in capsys.readouterr().out


def test_where_tells_what_every_file_holds_and_what_is_wrong(tmp_path, capsys):
    import torch
    from safetensors.torch import save_file

    from pavas_core.models.vae import MelVae, VaeConfig

    save_file(MelVae(VaeConfig(80, 20, 16)).state_dict(), tmp_path / "a.safetensors")
    (tmp_path / "sub").mkdir()
    whole = tmp_path / "a.safetensors"
    (tmp_path / "sub" / "cut.safetensors").write_bytes(whole.read_bytes()[:-100])
    torch.save({"other": torch.ones(1)}, tmp_path / "other.pth")
    run("where", "--folder", str(tmp_path), "--folder", str(tmp_path / "nowhere"))
    told = capsys.readouterr().out
    assert "a mel VAE (custom)" in told
    assert "cut.safetensors is damaged or cut short" in told
    assert "other.pth" not in told
    assert "(does not exist yet)" in told


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(WeightsError, match=r"use one of small_16k, .*clip"):
        run("download", "huge_96k")

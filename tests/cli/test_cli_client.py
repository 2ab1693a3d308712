# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis client`: what is refused in one line, and a short performance to nobody."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from anacrusis.performer.connection import Connection

from .conftest import Capture, refused, run


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "band.wav"
    soundfile.write(path, np.full((44_100, 2), 0.1, np.float32), 44_100, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--r", "0"], "r = 0.0 is not a step ratio; it must be greater than 0 and at most 1"),
        (["--w", "-2"], "w = -2.0 is not a look-ahead; it must be at least -1"),
        (["--fade", "2"], "fade is 2.0; it must be 0 to 1 (seconds)"),
        (["--package-size", "16384"], "packet_size is 16384; it must be 128 to 13095 floats"),
        (["--loop"], "say how long with --seconds"),
        (["--seconds", "-1"], "seconds is -1.0; it must be greater than 0"),
        (["--stem", "bass", "--stem", "bass"], "give each once"),
        (["--lead-frames", "1", "--lead-samples", "1"], "give the lead once"),
        (["--serverport", "0"], "the server's port is 0; it must be 1 to 65535"),
        (["--clientport", "70000"], "ports are 0 to 65535"),
        (["--server-ip", "a..b"], "is not a host that can be resolved"),
    ],
)
def test_refused_before_anything_is_sent(capsys: Capture, song: Path, out: Path, options: list[str], says: str) -> None:
    assert says in refused(capsys, out, "client", song, "--out", out, "--clientport", 0, *options)


def test_a_file_that_is_not_there(capsys: Capture, out: Path) -> None:
    assert "no such file" in refused(capsys, out, "client", out / "x.wav", "--out", out)


def test_a_port_in_use(capsys: Capture, song: Path, out: Path) -> None:
    with Connection(client_port=0) as other:
        line = refused(capsys, out, "client", song, "--out", out, "--clientport", other.port)
        port = other.port
    assert f"port {port} is in use; stop the other server or client, or choose another port" in line


def test_a_directory_that_cannot_be_made(capsys: Capture, song: Path, out: Path) -> None:
    line = refused(capsys, out, "client", song, "--out", song / "x", "--clientport", 0)
    assert "cannot be made" in line


def test_a_performance_to_nobody(capsys: Capture, song: Path, out: Path) -> None:
    with Connection(client_port=0) as nobody:
        port = nobody.port
        options = ["--step-samples", 8192, "--seconds", 0.5, "--no-extension", "--pause-s", 0, "--clientport", 0]
        assert run("client", song, "--out", out / "a", "--serverport", port, *options, "--json") == 0
    stdout, stderr = capsys.readouterr()
    lines = stdout.splitlines()
    assert lines[0] == "2 steps of 186 ms: 0 answered, 0 late, 0.13 s concealed"
    assert lines[1].startswith(f"nothing came back from 127.0.0.1:{port}: is a server running there")
    report = json.loads(lines[-1])
    assert (report["liveness"]["steps"], report["liveness"]["silent"], report["server"]) == (2, 2, None)
    assert report["sent_to"] == f"127.0.0.1:{port}"
    assert {"context.wav", "mix.wav", "bass.wav", "report.json"} <= {path.name for path in (out / "a").iterdir()}
    heard, rate = soundfile.read(out / "a" / "bass.wav")
    assert (heard.shape, rate) == ((22_050,), 44_100)
    assert not heard.any()
    assert "Traceback" not in stderr

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis demo`, for three seconds of real time, and what it says where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from anacrusis.cli.main import main
from anacrusis.performer.demo import read_clip


def test_the_demo_plays(copying: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    options = ["--bundle", str(copying), "--threads", "1", "--stem", "bass", "--stem", "piano", "--step-frames", "8"]
    assert main(["demo", *options, "--seconds", "3", "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    report = json.loads(printed[-1])
    assert report["stems"] == ["bass", "piano"]
    assert report["liveness"]["steps"] == 4
    assert report["liveness"]["answered"] >= 3
    assert report == {**json.loads((out / "report.json").read_text()), "steps": report["steps"]}
    names = ("context.wav", "bass.wav", "piano.wav", "mix.wav", "report.json", "run.png", "server.log")
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    for name in names[:4]:
        info = soundfile.info(out / name)
        assert (info.frames, info.samplerate, info.channels) == (3 * 44100, 44100, 1)
    log = (out / "server.log").read_text()
    assert "listening on 127.0.0.1:" in log
    assert "stopped: " in log


def test_a_server_that_ends_is_said_in_its_own_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundle").mkdir()
    assert main(["demo", "--bundle", str(tmp_path / "bundle"), "--out", str(tmp_path / "out")]) == 2
    assert "is not a bundle" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


BAD = [
    (["--seconds", "0"], "must be greater than 0"),
    (["--stem", "kazoo"], "unknown stem 'kazoo'"),
    (["--seconds", "0.5"], "less than a step"),
    (["--backend", "torch-mps"], "torch-mps"),
]


@pytest.mark.parametrize(("options", "says"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_what_cannot_be_is_one_line(
    copying: Path, tmp_path: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--bundle", str(copying), "--out", str(tmp_path / "out"), *options]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("anacrusis demo: ")
    assert says in line


def test_the_clip_is_four_stems() -> None:
    clip = read_clip()
    assert (clip.samples.shape, clip.rate_hz) == ((1058400, 4), 44100)

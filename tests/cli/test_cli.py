# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: what it is given wrong it says in one line and leaves nothing; what is right it does."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from .conftest import Capture, refused, run

RATE, LENGTH = 48000, 2 * 48000  # two seconds
TINY = str(Path(__file__).resolve().parents[2] / "bundles" / "tiny-cd")
FAST = [
    "--bundle",
    TINY,
    "--backend",
    "onnxruntime",
    "--threads",
    "1",
    "--step-frames",
    "8",
    "--lead-frames",
    "1",
]  # three steps


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "band.wav"
    samples = 0.1 * np.random.default_rng(4).standard_normal((LENGTH, 2))
    soundfile.write(path, samples.astype(np.float32), RATE, subtype="FLOAT")
    return path


# -- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--r", "0"], "r = 0 is not a step ratio; it must be greater than 0 and at most 1"),
        (["--r", "1.5"], "r = 1.5 is not a step ratio"),
        (["--r", "nan"], "r = nan is not a step ratio"),
        (["--w", "-2"], "w = -2 is not a look-ahead; it must be at least -1"),
        (["--r", "0.5", "--w", "1"], "leaves no heard frame"),
        (["--step-frames", "4", "--lead-frames", "64"], "leaves no heard frame in a window of 64 frames"),
        (["--step-frames", "0"], "step is 0 samples; it must be at least 1"),
        (["--step-frames", "4", "--r", "0.25"], "give the step once, not as step_frames and r"),
        (["--fade-samples", "-1"], "fade of -1 samples; it must be 0 to"),
        (["--fade-samples", "99999999"], "fade of 99999999 samples; it must be 0 to"),
        (["--context-tail-samples", "9999999"], "context tail of 9999999 samples; it must be 0 to a frame"),
        (["--compat", "upstream", "--step-frames", "4"], "the original is paced by r and w only"),
        (["--sampler-steps", "0"], "cannot run 0 steps"),
        (["--stem", "kazoo"], "unknown stem 'kazoo'; this model writes bass, drums, guitar, piano"),
        (["--stem", "bass", "--stem", "bass"], "a stem is asked for twice"),
        (["--bundle", "nowhere"], "nowhere is not a bundle: it has no manifest.json; make one"),
        (["--mix", "{out}/nowhere/mix.wav"], "nowhere is not a directory; make it first"),
        (["--mix", "{out}/mix.xyz"], ".xyz is no audio format known here); use .wav or .flac"),
        (["--png", "{out}/nowhere/run.png"], "nowhere is not a directory; make it first"),
        (["--png", "{out}/run.xyz"], "use .png or .svg"),
        (["--out", "{out}/nowhere/x.wav"], "nowhere is not a directory; make it first"),
        (["--out", "{out}/x.xyz"], ".xyz is no audio format known here"),
        (["--out", "{out}"], "is a directory; name a file in it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_cannot_be(capsys: Capture, song: Path, out: Path, options: list[str], says: str) -> None:
    options = [option.format(out=out) for option in options]
    assert says in refused(capsys, out, "simulate", song, "--out", out / "x.wav", *options)


def with_nan() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.full(99, np.nan, np.float32), RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"not a WAV at all", "is not audio that can be read"),
        (b"", "is not audio that can be read"),
        (with_nan(), "holds samples that are not finite"),
    ],
    ids=["missing", "text", "empty", "nan"],
)
def test_a_recording_that_is_none(capsys: Capture, tmp_path: Path, out: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "in.wav"
    if content is not None:
        path.write_bytes(content)
    assert says in refused(capsys, out, "simulate", path, "--out", out / "x.wav")


def change_a_byte(bundle: Path) -> None:
    data = bytearray((bundle / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (bundle / "weights.safetensors").write_bytes(data)


def change_the_schema(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed byte": (change_a_byte, "weights.safetensors was changed or damaged (SHA-256 differs)"),
    "a newer schema": (change_the_schema, "bundle schema is 99, this version reads 1; upgrade anacrusis"),
    "a graph gone": (lambda bundle: (bundle / "embed.onnx").unlink(), "lacks embed.onnx"),
    "half a manifest": (lambda bundle: os.truncate(bundle / "manifest.json", 300), "manifest.json is not JSON"),
}


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, tiny: Path, tmp_path: Path) -> tuple[Path, str]:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny, bundle)
    change, says = BROKEN[request.param]
    change(bundle)
    return bundle, says


def test_a_bundle_that_is_broken(capsys: Capture, song: Path, out: Path, broken: tuple[Path, str]) -> None:
    bundle, says = broken
    assert says in refused(capsys, out, "simulate", song, "--out", out / "x.wav", "--bundle", bundle)


def test_doctor_says_that_a_bundle_is_broken(capsys: Capture, broken: tuple[Path, str]) -> None:
    bundle, says = broken
    assert run("doctor", "--bundle", bundle, "--json") == 1
    diagnosis = json.loads(capsys.readouterr().out)
    assert not diagnosis["healthy"]
    assert says in diagnosis["bundle_error"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing"],
        ["simulate", "in.wav"],
        ["simulate", "in.wav", "--out", "x.wav", "--backend", "tpu"],
        ["simulate", "in.wav", "--out", "x.wav", "--r", "fast"],
        ["export", "--out", "b"],
        ["export", "--out", "b", "--copying", "--seeded", "tiny"],
        ["doctor", "--jason"],
    ],
    ids=" ".join,
)
def test_what_argparse_refuses_is_bad_input_too(capsys: Capture, arguments: list[str]) -> None:
    assert run(*arguments) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.splitlines()[-1].startswith("anacrusis")
    assert "error: " in stderr


# -- done ---------------------------------------------------------------------------------------------------


def test_simulate_writes_a_stem_and_the_mix(capsys: Capture, song: Path, out: Path) -> None:
    mix = out / "mix.flac"
    assert run("simulate", song, "--out", out / "x.wav", "--mix", mix, "--json", *FAST) == 0
    stdout, stderr = capsys.readouterr()
    report = json.loads(stdout.splitlines()[-1])
    assert (report["bundle"], report["backend"], report["stems"]) == ("tiny-cd", "onnxruntime", ["bass"])
    assert (report["steps"], report["nfe"], report["step_samples"]) == (3, 2, 32768)
    assert report["files"] == [str(out / "x.wav"), str(mix)]
    assert sorted(path.name for path in out.iterdir()) == ["mix.flac", "x.wav"]
    stem, both = soundfile.info(out / "x.wav"), soundfile.info(mix)
    assert (stem.samplerate, stem.frames, stem.channels) == (RATE, LENGTH, 1)
    assert (both.samplerate, both.frames, both.channels) == (RATE, LENGTH, 2)
    audio, _ = soundfile.read(out / "x.wav")
    assert np.abs(audio).max() > 0.01
    assert "sounds like noise" in stderr  # the bundle's notice
    assert f"wrote {out / 'x.wav'}" in stdout


def test_simulate_writes_a_file_a_stem_and_a_picture(capsys: Capture, song: Path, out: Path) -> None:
    pytest.importorskip("matplotlib", reason="a plot needs matplotlib: pip install 'anacrusis[plot]'")
    stems = ["--stem", "bass", "--stem", "drums"]
    assert run("simulate", song, "--out", out / "x.wav", *stems, "--png", out / "run.png", *FAST) == 0
    assert sorted(path.name for path in out.iterdir()) == ["run.png", "x-bass.wav", "x-drums.wav"]
    bass, drums = (soundfile.read(out / f"x-{stem}.wav")[0] for stem in ("bass", "drums"))
    assert bass.shape == drums.shape == (LENGTH,)
    assert np.abs(bass - drums).max() > 0.01
    with pytest.raises(ValueError, match="Expecting value"):  # no JSON unasked
        json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_bundle_of_the_environment(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, song: Path, out: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANACRUSIS_BUNDLE", str(tmp_path / "elsewhere"))
    assert "elsewhere is not a bundle" in refused(capsys, out, "simulate", song, "--out", out / "x.wav")


def test_doctor(capsys: Capture, tiny: Path) -> None:
    assert run("doctor", "--bundle", tiny, "--json") == 0
    diagnosis = json.loads(capsys.readouterr().out)
    assert diagnosis["healthy"]
    assert diagnosis["bundle_error"] is None
    assert {rung["name"]: rung["reason"] for rung in diagnosis["rungs"]}["onnxruntime"] is None
    assert run("doctor", "--bundle", tiny) == 0
    assert "every hash matches" in capsys.readouterr().out


def test_interrupted(capsys: Capture, monkeypatch: pytest.MonkeyPatch, song: Path, out: Path) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("anacrusis.performer.simulate.simulate", interrupt)
    assert run("simulate", song, "--out", out / "x.wav", *FAST) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("anacrusis simulate: interrupted")
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["simulate", "missing.wav", "--out", "x.wav"], 2, "anacrusis simulate: missing.wav: no such file\n"),
        (
            ["export", "--model", "a.ckpt", "--codec", "c.pt", "--out", "b"],
            2,
            "anacrusis export: a.ckpt: no such file\n",
        ),
        (["--version"], 0, ""),
    ],
    ids=["simulate", "export", "version"],
)
def test_as_a_program(out: Path, arguments: list[str], code: int, says: str) -> None:
    if arguments[0] == "export":
        pytest.importorskip("torch", reason="export needs its extra: pip install 'anacrusis[export]'")
    done = subprocess.run(
        [sys.executable, "-m", "anacrusis.cli.main", *arguments], cwd=out, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, says)
    assert list(out.iterdir()) == []

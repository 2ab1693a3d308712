# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis calibrate`, and `--step auto --lead auto` of the commands that play."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from anacrusis.calib.calibration import Calibration, StepResult
from anacrusis.calib.machine import this_machine
from anacrusis.calib.store import Store
from anacrusis.calib.tail import summarise
from anacrusis.cli import auto, serve
from anacrusis.cli.auto import Playing, auto_pace, step_costs
from anacrusis.cli.main import main
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.window import Geometry

from .conftest import Capture, refused, run

FEW = ("--stems", 1, "--steps", 16, "--nfe", 1, "--repeats", 5, "--tail-seconds", 0, "--threads", 1)


def test_a_machine_is_calibrated(copying: Path, out: Path, capsys: Capture) -> None:
    file = out / "calibration.json"
    code = run("calibrate", copying, *FEW, "--backend", "onnxruntime", "--out", file, "--json")
    stdout, stderr = capsys.readouterr()
    assert code in (0, 1), stderr  # 1: so busy a machine that five cycles of a copy were too slow
    record = json.loads(stdout.splitlines()[-1])
    (one,) = record["calibrations"]
    assert record["files"] == [str(file)]
    assert (one["stems"], one["nfe"], one["rung"], one["client"]) == (1, 1, "onnxruntime", "this machine")
    assert [step["total"]["n"] for step in one["steps"]] == [5]
    assert "r* = (" in stdout
    assert Store(file).entries() == [Calibration.from_dict(one)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--stems", "9"], "9 stems at once cannot be; this model writes 1 to 4"),
        (["--nfe", "0"], "a consistency sampler cannot evaluate 0 times"),
        (["--steps", "99"], "do not fit a window of 64"),
        (["--repeats", "1"], "repeats is 1; it must be at least 5"),
        (["--client-host", "127.0.0.1:x"], "is not HOST or HOST:PORT"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_line(
    copying: Path, tmp_path: Path, out: Path, options: list[str], says: str, capsys: Capture, monkeypatch: Any
) -> None:
    monkeypatch.setattr("anacrusis.calib.machine.busy", lambda: None)
    assert main(["calibrate", str(copying), "--out", str(out / "c.json"), *options]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("anacrusis calibrate: ")
    assert says in line
    assert list(out.iterdir()) == []


def test_a_damaged_file_is_said_before_anything_is_measured(copying: Path, out: Path, capsys: Capture) -> None:
    (out / "c.json").write_text("{")
    assert run("calibrate", copying, "--out", out / "c.json") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is damaged (it is not JSON); remove" in line


def test_nothing_is_a_bundle(tmp_path: Path, out: Path, capsys: Capture) -> None:
    assert "is not a bundle" in refused(capsys, out, "calibrate", tmp_path)


# -- auto ----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANACRUSIS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "calibration.json"


def put(cache: Path, bundle: Bundle, **other: Any) -> Playing:
    """This machine plays steps of 2 with a lead of 3, and of 4 with a lead of 4; masks of 5 were trained."""
    frame_ms = 1000 * 4096 / 44_100

    def result(step: int, lead: float) -> StepResult:
        tail, none = summarise([frame_ms * step / 2] * 8), summarise([0.0] * 8)
        return StepResult(
            step,
            1,
            dict.fromkeys(("encode_ms", "denoise_ms", "decode_ms", "host_ms"), 1.0),
            tail,
            none,
            none,
            summarise([frame_ms * (lead - 0.5)] * 8),
        )

    one = Calibration(
        this_machine(),
        bundle.manifest.name,
        bundle.hash,
        "onnxruntime",
        1,
        1,
        2,
        2,
        "this machine",
        44_100,
        Geometry(4096, 64, 1536, 1536),
        (5,),
        882,
        4410,
        0.0,
        0.999,
        0.95,
        (result(2, 3), result(4, 4)),
        "2026",
        "0.1.0",
    )
    Store(cache).put([replace(one, **other)])
    return Playing(bundle.manifest.name, bundle.hash, 1)


def options(**given: Any) -> argparse.Namespace:
    names = ("step", "lead", "step_frames", "lead_frames", "step_samples", "lead_samples", "r")
    return argparse.Namespace(**{**dict.fromkeys(names), **given})


PACES = [
    ({}, (None, None)),
    ({"step": 4}, (4, None)),
    ({"step_frames": 4, "lead_frames": 2}, (4, 2)),
    ({"step": "auto", "lead": "auto"}, (2, 3)),
    ({"step": "auto"}, (2, 3)),
    ({"lead": "auto"}, (2, 3)),
    ({"step": 4, "lead": "auto"}, (4, 4)),
    ({"step_frames": 3, "lead": "auto"}, (3, 4)),
    ({"step": "auto", "lead_frames": 7}, (2, 7)),
]


@pytest.mark.parametrize(("given", "pace"), PACES, ids=["-".join(f"{k} {v}" for k, v in g.items()) for g, _ in PACES])
def test_auto_is_what_was_measured(
    cache: Path, copying: Path, given: dict[str, Any], pace: tuple[int | None, int | None]
) -> None:
    playing = put(cache, Bundle.open(copying))
    assert auto_pace(options(**given), playing) == pace


REFUSED = [
    ({"step": 4, "step_frames": 4}, "give the step once"),
    ({"lead": "auto", "lead_samples": 4}, "give the lead once"),
    ({"lead": "auto", "step_samples": 4}, "auto counts in frames: give the step as --step or --step-frames"),
    ({"lead": "auto", "r": 0.25}, "auto counts in frames"),
    ({"step": 1, "lead": "auto"}, "a step of 1 frames is not real-time here; the smallest is 2"),
    ({"step": "auto", "lead": 1}, "no step meets a lead of 1 frames"),
]


@pytest.mark.parametrize(("given", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_contradicts_it_is_refused(cache: Path, copying: Path, given: dict[str, Any], says: str) -> None:
    with pytest.raises(AnacrusisError, match=says):
        auto_pace(options(**given), put(cache, Bundle.open(copying)))


def test_without_a_calibration_the_released_pace_is_taken_and_the_reason_said(
    cache: Path, copying: Path, capsys: Capture
) -> None:
    bundle = Bundle.open(copying)
    playing = Playing(bundle.manifest.name, bundle.hash, 1)
    assert auto_pace(options(step="auto", lead="auto"), playing) == (16, 16)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("no calibration: nothing was calibrated yet; run `anacrusis calibrate copying`")
    cache.parent.mkdir()
    cache.write_text("{")
    assert auto_pace(options(step=4, lead="auto"), playing) == (4, 16)
    assert "is damaged" in capsys.readouterr().err
    assert step_costs(playing) == []
    assert auto_pace(options(step="auto"), None, "it is far away") == (16, 16)
    assert "it is far away" in capsys.readouterr().err


def test_pacing_gets_what_each_step_costs(cache: Path, copying: Path) -> None:
    playing = put(cache, Bundle.open(copying))
    costs = step_costs(playing)
    assert [samples for samples, _ in costs] == [2 * 4096, 4 * 4096]
    assert costs[0][1] == pytest.approx(4096 / 44_100, abs=1e-4)


def test_a_server_is_opened_for_the_calibrated_pace(cache: Path, copying: Path) -> None:
    bundle = Bundle.open(copying)
    put(cache, bundle)
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)

    def pace(*arguments: str) -> dict[str, Any]:
        return serve.opening_pace(parser.parse_args(arguments), bundle, "auto")

    assert pace() == {"r": 0.25}
    assert pace("--step", "auto", "--lead", "auto") == {"step_frames": 2, "lead_frames": 3}
    assert pace("--step", "8") == {"step_frames": 8, "lead_frames": None}
    assert pace("--step", "auto", "--sampler-steps", "1") == {"step_frames": 16, "lead_frames": 16}  # not measured
    with pytest.raises(AnacrusisError, match="paced by r and w only"):
        pace("--step", "auto", "--compat", "upstream")
    with pytest.raises(AnacrusisError, match="window"):
        pace("--step", "80")
    with pytest.raises(SystemExit):
        pace("--step", "often")


def test_the_demo_plays_at_the_calibrated_pace(
    cache: Path, copying: Path, out: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, Bundle.open(copying))
    plans = list[Any]()

    def no_demo(out: Path, command: list[str], plan: Any, **more: Any) -> Any:
        plans.append(plan)
        raise AnacrusisError("enough")

    monkeypatch.setattr("anacrusis.performer.demo.run_demo", no_demo)
    assert run("demo", "--bundle", copying, "--step", "auto", "--lead", "auto", "--out", out) == 2
    assert run("demo", "--bundle", copying, "--out", out) == 2
    assert [(plan.step_frames, plan.lead_frames) for plan in plans] == [(2, 3), (16, 16)]
    assert "calibrated: step 2, lead 3 frames (withholds 5 frames, as in training)" in capsys.readouterr().err


class Answering:
    """A connection to a server that says hello, after a while. host: where it is."""

    def __init__(self, bundle: Bundle, host: str = "127.0.0.1", hello: bool = True) -> None:
        from anacrusis.server.wire.extension import ServerHello

        self.server, self.now, self.sent = (host, 7000), 0.0, 0
        stems = ",".join(bundle.manifest.stems)
        said = (1, "0.1", 44_100, 4096, 262_144, stems, bundle.manifest.name, bundle.hash, "x", "loading", 7)
        self._hello = ServerHello(*said).encode() if hello else None

    def clock(self) -> float:
        return self.now

    def send(self, data: bytes) -> None:
        self.sent += 1

    def receive(self, timeout_s: float) -> bytes | None:
        self.now += timeout_s
        return b"\0" if self.sent == 2 else self._hello if self.sent > 2 else None


@pytest.mark.parametrize(
    ("host", "hello", "pace", "says"),
    [
        ("127.0.0.1", True, (2, 3), "calibrated: step 2, lead 3"),
        ("10.0.0.9", True, (16, 16), "the server is another machine; run `anacrusis calibrate` there"),
        ("127.0.0.1", False, (None, None), "the server does not say what it plays"),
    ],
)
def test_a_client_asks_the_server_what_it_plays(
    cache: Path, copying: Path, capsys: Capture, host: str, hello: bool, pace: tuple[int | None, int | None], says: str
) -> None:
    from anacrusis.performer.plan import Plan

    bundle = Bundle.open(copying)
    put(cache, bundle)
    connection: Any = Answering(bundle, host, hello)
    plan = auto.plan_with_server(options(step="auto", lead="auto"), Plan(), connection)
    assert (plan.step_frames, plan.lead_frames) == pace
    assert says in capsys.readouterr().err


def test_a_client_says_what_is_given_twice(out: Path, tmp_path: Path, capsys: Capture) -> None:
    wav = tmp_path / "a.wav"
    soundfile.write(wav, np.zeros(44_100), 44_100)
    line = refused(capsys, out, "client", wav, "--step", "4", "--step-frames", "4", "--out", out / "take")
    assert "give the step once" in line

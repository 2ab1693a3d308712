# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A second network namespace where the kernel gives one; that nothing stays behind; and a soak's own pace."""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from anacrusis.benchmarks import namespaces, net, soak
from anacrusis.benchmarks.namespaces import Namespace, NamespaceError, why_not
from anacrusis.benchmarks.net_rows import PACKAGE, rows
from anacrusis.benchmarks.pair import ServerProcess
from anacrusis.benchmarks.soak_pace import frames_or_auto, resolve
from anacrusis.engine.errors import AnacrusisError


def test_datagrams_pass_between_the_two_and_nothing_stays() -> None:
    if (reason := why_not()) is not None:
        pytest.skip(f"needs Linux, iproute2 and root: {reason}")
    try:
        with Namespace() as other, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((other.here, 0))
            sock.settimeout(30)
            code = (
                "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                "s.bind((sys.argv[1], 0)); s.sendto(b'x' * 20000, (sys.argv[2], int(sys.argv[3])))"
            )
            where = [other.there, other.here, str(sock.getsockname()[1])]
            subprocess.run([*other.prefix, sys.executable, "-c", code, *where], check=True, timeout=60)
            data, source = sock.recvfrom(65_536)
    except NamespaceError as error:
        pytest.skip(f"the kernel gives no namespace here: {error}")
    assert (len(data), source[0]) == (20_000, other.there)
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert other.name not in left


def test_what_the_system_refuses_is_said_in_one_line_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def ip(line: str) -> None:
        said.append(line)
        if line.startswith("link add"):
            raise NamespaceError("`ip link add` was refused: not here")

    monkeypatch.setattr(namespaces, "why_not", lambda: None)
    monkeypatch.setattr(namespaces, "_ip", ip)
    with pytest.raises(NamespaceError, match="not here"), Namespace():
        pytest.fail("it was not made")
    assert said[-1].startswith("netns del anacrusis-")


@pytest.mark.parametrize("reason", ["only root may make them", "network namespaces are Linux's"])
def test_without_one_the_row_stays_on_loopback(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(net, "why_not", lambda: reason)
    monkeypatch.setattr(net, "play", lambda *arguments: asked.append(arguments[-1]) or {"bundle": "none"})
    monkeypatch.setattr(net, "line", lambda record: "a row")
    options = net.build_parser().parse_args(["--losses", "--bundle", "bundles/tiny-cd", "--no-record"])
    options.bundle = Path(__file__).parents[2] / "bundles" / "tiny-cd"
    assert len(net.run(options, Path())) == 4
    assert asked == [None] * 4


def test_the_baseline_is_datagrams_lost_and_nothing_else() -> None:
    table = [row for row in rows(32_768, 32_768, 882, 44_100, 1) if row.only_loss]
    assert [row.faults.loss for row in table] == [0.0, 0.001, 0.01, 0.05]
    assert {(row.package, row.faults.burst_datagrams) for row in table} == {(PACKAGE, 1)}


def test_a_server_elsewhere_is_told_whom_it_answers() -> None:
    here = ServerProcess([], 8000)._command
    away = ServerProcess([], 8000, host="198.18.0.2", client_host="198.18.0.1", prefix=("ip", "x"))
    assert "--client_ip" not in here
    assert away._command[:2] == ["ip", "x"]
    assert away._command[away._command.index("--client_ip") + 1] == "198.18.0.1"
    assert away._command[away._command.index("--server_ip") + 1] == away.address[0] == "198.18.0.2"


# -- a soak's pace --------------------------------------------------------------------------------------------------


def options(**given: Any) -> argparse.Namespace:
    parsed = soak.build_parser().parse_args([])
    vars(parsed).update(given)
    return parsed


@pytest.mark.parametrize(
    ("given", "frames"),
    [({}, (None, None)), ({"step": 8}, (8, 8)), ({"step": 8, "lead": 2}, (8, 2))],
)
def test_frames_are_taken_as_they_are(given: dict[str, int], frames: tuple[int | None, int | None]) -> None:
    parsed = options(**given)
    assert (resolve(parsed) is None) == (not given)
    assert (parsed.step_frames, parsed.lead_frames) == frames


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"lead": 2}, "without --step"),
        ({"step": 8, "step_frames": 4}, "as --step"),
        ({"step": "auto", "bundle": Path("absent")}, "absent"),
    ],
)
def test_a_pace_that_cannot_be_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(AnacrusisError, match=why):
        resolve(options(**given))


def test_auto_without_a_calibration_says_what_to_run(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANACRUSIS_CACHE", str(tmp_path))
    with pytest.raises(AnacrusisError, match="anacrusis calibrate tiny-cd"):
        resolve(options(step="auto", lead="auto", bundle=tiny))


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("8", 8)])
def test_frames_or_auto(text: str, value: int | str) -> None:
    assert frames_or_auto(text) == value
    with pytest.raises(ValueError, match="invalid literal"):
        frames_or_auto("x")


@pytest.mark.parametrize(
    ("megabytes", "spread"),
    [([], None), ([500.0] * 8, 0.0), ([100.0, 100.0, 600.0, 600.0, 606.0, 600.0, 600.0, 600.0], 0.01)],
)
def test_memory_is_judged_after_the_first_quarter(megabytes: list[float], spread: float | None) -> None:
    assert soak.memory_spread(list(range(len(megabytes))), megabytes) == spread


def test_auto_is_what_was_calibrated(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from anacrusis.calib.choice import Candidate, Choice
    from anacrusis.calib.store import Store

    class Found:
        measured_at = "2026-01-01"

        def candidates(self) -> tuple[Candidate, ...]:
            return (Candidate(4, 3, 0.5), Candidate(8, 2, 0.3))

        def recommended(self) -> Choice:
            return Choice(8, 2, "as trained")

    asked: list[dict[str, Any]] = []
    monkeypatch.setenv("ANACRUSIS_CACHE", str(tmp_path))
    monkeypatch.setattr(Store, "find", lambda self, *where, **which: asked.append(which) or Found())
    both = options(step="auto", lead="auto", bundle=tiny, threads=1)
    assert resolve(both) == "calibrated 2026-01-01: as trained"
    assert (both.step_frames, both.lead_frames) == (8, 2)
    assert asked == [{"bundle": "tiny-cd", "rung": None, "threads": 1}]
    one = options(step=4, lead="auto", bundle=tiny, backend="onnxruntime")
    resolve(one)
    assert (one.step_frames, one.lead_frames, asked[1]["rung"]) == (4, 3, "onnxruntime")

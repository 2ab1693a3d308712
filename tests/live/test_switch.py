# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Another rung takes over mid-song, over real UDP: no sample is lost, no step is late, and the client reports it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.cli.main import build_parser, main
from anacrusis.cli.serve import build_command, upgrade_of
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.ladder import Rung, open_backend
from anacrusis.engine.standby import Wanted
from anacrusis.engine.window import Pace
from anacrusis.performer.demo import run_demo
from anacrusis.performer.events import FromServer
from anacrusis.performer.live_report import summary
from anacrusis.performer.plan import Plan
from anacrusis.server.rungs import Upgrade
from anacrusis.server.wire.extension import RungState

from .harness import WAIT_S, Duo

S = 8 * 4096  # a step, and the copying networks' period
SOUND = np.random.default_rng(5).uniform(0.1, 0.9, S).astype(np.float32)


def second(copying: Path) -> Rung:
    """The same networks, loaded anew, under another name."""

    def open_(bundle: Bundle, threads: int) -> Any:
        backend = open_backend(bundle, "onnxruntime", threads)
        backend.name = "second"
        return backend

    return Rung("second", "the same networks once more", lambda: None, open_)


@pytest.mark.parametrize("stems", [1, 3])
def test_no_sample_is_wrong_across_a_switch(copying: Path, silent: Any, stems: int) -> None:
    steps = 12
    # Prepared once the song has begun: else a busy machine may have it ready before the first step.
    upgrade = Upgrade(lambda playing: [second(copying)], after_s=1e-6, trial_steps=2)
    with Duo(copying, (steps + 2) * S, noise=silent, upgrade=upgrade) as duo:
        duo.buffer[:, 3] = np.tile(SOUND, steps + 2)
        duo.load(r=0.125, lead=S, flags=tuple(int(i < stems) for i in range(4)))
        taken_over = -1
        for k in range(1, steps + 1):
            if k == 6:  # whenever it is ready: the switch lies in the middle of what is compared
                duo.until(lambda: "playing" in states(duo))
                taken_over = said(duo)[-1].batch
            duo.step(k * S)
        assert duo.server.worker.settle(WAIT_S)
        counters = duo.server.counters
        assert (counters.late, counters.dropped, counters.failed, counters.answered) == (0, 0, 0, steps)
        assert 0 <= taken_over <= 5
        for stem in range(stems):
            played, expected = (duo.buffer[4 * S : (steps + 2) * S, channel] for channel in (stem, 3))
            np.testing.assert_allclose(played, expected, rtol=0, atol=2e-7)  # the client's crossfade rounds
        assert duo.server.report()["rung"] == "second"


def said(duo: Duo) -> list[RungState]:
    messages = [event.message for event in duo.events if isinstance(event, FromServer)]
    return [message for message in messages if isinstance(message, RungState)]


def states(duo: Duo) -> list[str]:
    return [message.state for message in said(duo)]


# `anacrusis`, with one more rung that every machine can run: the same networks once more.
WITH_A_SECOND = """
import sys
from anacrusis.engine import ladder
def open_(bundle, threads):
    backend = ladder.open_backend(bundle, "onnxruntime", threads)
    backend.name = "second"
    return backend
ladder.RUNGS = (ladder.Rung("second", "the same networks once more", lambda: None, open_), *ladder.RUNGS)
from anacrusis.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_two_processes_and_a_switch_in_the_middle(copying: Path, tmp_path: Path) -> None:
    """Nine seconds of the demo in real time, in steps so long that a busy machine keeps up."""
    rungs = ["--backend", "onnxruntime", "--upgrade-to", "second", "--upgrade-after", "1"]
    server = [sys.executable, "-c", WITH_A_SECOND, "serve", "--bundle", str(copying), "--threads", "1", *rungs]
    plan = Plan(step_frames=16, lead_frames=16, seconds=9.0)
    take, result, written = run_demo(
        tmp_path / "demo", server, plan, on_wait=lambda text: None, on_step=lambda done, total: None
    )
    live, (switch,) = result["liveness"], result["switches"]
    assert (live["steps"], live["answered"], live["late"], live["dropped"], live["malformed"]) == (6, 6, 0, 0, 0)
    assert (switch["rung"], switch["after_batch"] in range(1, 6)) == ("second", True)
    assert 1.4 < switch["at_s"] < 9.0
    assert switch["before"]["steps"] == switch["after_batch"]
    assert switch["after"]["steps"] == 6 - switch["after_batch"]
    assert switch["after"]["total_ms"]["p50"] > 0
    assert [change["state"] for change in result["rungs"]] == ["preparing", "preparing", "playing"]
    assert f"; second took over after batch {switch['after_batch']}, at " in summary(take)
    assert {"run.png", "report.json"} <= {path.name for path in written}
    assert "rung second: playing (after onnxruntime" in (tmp_path / "demo" / "server.log").read_text()


def test_two_processes_and_a_rung_that_cannot_be_had(
    copying: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """torch knows no copying networks: it says so mid-song, and nothing is late."""
    pytest.importorskip("torch", reason="needs torch: pip install 'anacrusis[torch]'")
    pace = ["--step-frames", "16", "--lead-frames", "16", "--seconds", "9", "--threads", "1"]
    rungs = ["--backend", "onnxruntime", "--upgrade-to", "torch", "--upgrade-after", "1"]
    out = tmp_path / "demo"
    assert main(["demo", "--bundle", str(copying), "--out", str(out), *pace, *rungs, "--json"]) == 0
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert result["switches"] == []
    assert [(change["state"], change["rung"]) for change in result["rungs"]] == [
        ("preparing", "torch"),
        ("refused", "torch"),
    ]
    assert "does not know this bundle's networks" in result["rungs"][1]["text"]
    live = result["liveness"]
    assert (live["answered"], live["late"], live["dropped"]) == (6, 0, 0)
    assert "rung torch: refused" in (out / "server.log").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--upgrade-to", "torch-mps"], "--upgrade-to torch-mps cannot be had here"),
        (["--upgrade-to", "torch", "--compat", "upstream"], "the original's cycle stays"),
        (["--upgrade-after", "-1"], "an upgrade -1 s into the song cannot be"),
    ],
)
def test_what_cannot_be_is_one_line(
    copying: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--bundle", str(copying), "--backend", "onnxruntime", "--serverport", "0", *options]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("anacrusis serve: ")]
    assert says in line


def test_who_names_a_rung_gets_that_one() -> None:
    parser = build_parser()
    for given, rungs in ((["--backend", "onnxruntime"], ()), (["--upgrade-to", "none"], ())):
        options = parser.parse_args(["serve", *given])
        assert upgrade_of(options, options.backend, Path("b")).candidates("torch") == rungs


def test_a_build_is_of_what_is_wanted() -> None:
    wanted = Wanted(("bass", "piano"), Pace(32768, -4096, 882), None)  # type: ignore[arg-type]
    command = build_command(Path("bundles/mine"), "tensorrt-rtx", wanted)
    options = build_parser().parse_args(command[3:])
    assert (options.command, options.bundle, options.json_progress) == ("build", Path("bundles/mine"), True)
    assert (options.library, options.stems, options.step_samples) == ("rtx", [2], 32768)
    assert (options.lead_samples, options.fade_samples) == (-4096, 882)

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What the live benchmarks compute and print, on made-up takes; one runs for a few steps. No figure is judged."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.benchmarks import net, overhead, soak
from anacrusis.benchmarks.faults import Faults
from anacrusis.benchmarks.net_rows import (
    PACKAGE,
    datagram_loss,
    fitting_rate,
    overflowing_rate,
    packets,
    rows,
    step_bytes,
)
from anacrusis.benchmarks.relay import Relay, RelayCounts
from anacrusis.benchmarks.soak_plot import plot_soak
from anacrusis.benchmarks.watch import memory_summary
from anacrusis.performer.plan import Pace
from anacrusis.performer.take import Counters, LiveStep, Take
from anacrusis.server.wire.extension import StepStatus
from anacrusis.server.wire.messages import reply_datagrams

# -- overhead -------------------------------------------------------------------------------------------------------

PARTS = [*overhead.SIDES["server"][0], overhead.APART, *overhead.SIDES["client"][0], "server sockets", "client sockets"]


def test_a_total_is_the_sum_of_a_step_s_parts_and_leaves_the_cycle_out() -> None:
    step = dict.fromkeys(PARTS, (0.001, 0.0005)) | {overhead.APART: (1.0, 1.0)}
    done = overhead.summarise([step, step])
    server, client = done["totals"]["server"], done["totals"]["client"]
    assert (server["wall_ms"]["p99"], server["cpu_ms"]["p99"], client["wall_ms"]["max"]) == (4.0, 2.0, 2.0)
    assert server["with_sockets"]["wall_ms"]["p50"] == 5.0
    assert server["goal_met"] == {"wall_ms": False, "cpu_ms": True}
    assert client["goal_met"] == {"wall_ms": True, "cpu_ms": True}
    assert set(done["parts"]) == set(PARTS)


def test_overhead_runs_and_ends_with_one_json_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "overhead.jsonl"
    small = ["--steps", "3", "--r", "0.015625", "--stems", "2", "--package", "2048"]
    assert overhead.main([*small, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    told = json.loads(said.splitlines()[-1])
    (row,) = told["results"]
    assert json.loads(out.read_text()) == row
    # 2 chunks of context, whatever the number of stems, the position twice; 3 chunks a reply, its end, its status
    assert (row["steps"], row["datagrams_up"], row["datagrams_down"]) == (3, 4, 8)
    assert (row["step_samples"], row["package"], row["nfe"], row["networks_ms"]) == (4096, 2048, 2, 20.0)
    assert set(row["parts"]) == set(PARTS)
    assert {"commit", "machine", "numpy", "threads", "stolen_share", "warm_up_steps"} <= set(row)
    assert all(part["wall_ms"]["p50"] >= 0 and part["wall_ms"]["n"] == 3 for part in row["parts"].values())
    assert sum("total" in line for line in said.splitlines()[:-1]) == 5  # and one note at the cycle's own row


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (["--steps", "0"], "at least 1"),
        (["--stems", "5", "--steps", "1"], "has 4"),
        (["--package", "20000", "--steps", "1"], "packet_size"),
        (["--r", "0.9", "--steps", "1"], "window"),
        (["--bundle", "absent"], "absent"),
    ],
)
def test_overhead_refuses_in_one_line(wrong: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert overhead.main([*wrong, "--no-record"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("overhead: ")
    assert why in said


# -- soak -----------------------------------------------------------------------------------------------------------

PACE = Pace(44_100, 262_144, 0.125, 32_768, 32_768, 882)


def take(*, steps: int = 10, statuses: bool = True) -> Take:
    """Every step answered 300 ms after it was sent, but for the last two: one late, one silent."""
    records = []
    for k in range(1, steps + 1):
        sent_s = k * 32_768 / 44_100
        step = LiveStep(k, k * 32_768, (k + 1) * 32_768, sent_s, sent_s + 0.723, {"bass": (8, 8)})
        step.first_chunk_s, step.last_chunk_s = sent_s + 0.29, sent_s + 0.3
        if statuses:
            step.status = StepStatus(k, 1, 2, 5.0, 50.0, 100.0, 49.0, 1.0, 400.0, 0, 0, 0, 0, 0)
        records.append(step)
    records[-2].late_samples, records[-2].last_chunk_s = 4410, records[-2].sent_s + 0.8
    records[-1].chunks, records[-1].last_chunk_s, records[-1].dropped = {"bass": (0, 0)}, None, True
    records[-1].concealed_samples = 32_768
    heard = np.zeros((1, steps * 32_768), np.float32)
    return Take(heard[0], heard, ("bass",), PACE, None, tuple(records), Counters())


def test_a_soak_s_record_keeps_what_was_measured_and_says_none_for_the_rest() -> None:
    counted = {"answered": 9, "late": 1, "concealed_context_samples": 100}
    memory = memory_summary([0.0, 1.0], [10.0, 11.0])
    record = soak.record_of(soak.Run(take(), counted, memory, 0.25, [0.7, 1.7], [10.0, 11.0]))
    assert (record["steps"], record["answered"], record["late"], record["dropped"]) == (10, 9, 1, 1)
    assert (record["concealed"], record["client_concealed_samples"]) == (32_868, 32_768)
    assert (record["p50_ms"], record["max_ms"]) == (pytest.approx(300.0), pytest.approx(800.0))
    assert record["compute_ms"]["p50"] == 200.0
    assert record["server"]["failed"] is None  # not in what the server counted
    assert record["warm_up_steps"] == 0
    text = "\n".join(soak.lines(record))
    assert "10 steps, 9 answered, 1 late, 1 dropped" in text
    assert "too short for a slope" in text
    assert "25.00%" in text
    json.dumps(record)


def test_a_soak_of_which_nothing_is_known_is_still_a_record() -> None:
    record = soak.record_of(soak.Run(take(statuses=False)))
    assert record["compute_ms"] is record["server"] is record["server_memory"] is record["stolen_share"] is None
    text = "\n".join(soak.lines(record))
    assert "needs psutil" in text
    assert "not known here" in text


@pytest.mark.parametrize("memory", [None, ([0.7, 1.7], [10.0, 11.0])])
def test_a_soak_is_drawn(tmp_path: Path, memory: tuple[list[float], list[float]] | None) -> None:
    pytest.importorskip("matplotlib")
    at_s, megabytes = memory or ([], [])
    run = soak.Run(take(), None, memory_summary(at_s, megabytes), None, at_s, megabytes)
    series = soak.series_of(run)
    assert series["late"] == [8]
    assert series["round_trip_ms"][-1] is None
    record = {**soak.record_of(run), "machine": "a machine", "threads": 1, "bundle": "tiny"}
    plot_soak(tmp_path / "soak.png", record, series)
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (["--stems", "5"], "1 to 4"),
        (["--minutes", "0"], "greater than 0"),
        (["--r", "2"], "step ratio"),
        (["--clip", "absent.wav"], "absent.wav"),
        (["--bundle", "absent"], "absent"),
    ],
)
def test_soak_refuses_in_one_line(wrong: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main([*wrong, "--no-record"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("soak: ")
    assert why in said


# -- net ------------------------------------------------------------------------------------------------------------


def test_bytes_on_the_wire_are_those_of_a_reply() -> None:
    for package in (PACKAGE, 288):
        sent = sum(map(len, reply_datagrams("bass", 1, np.zeros(33_650, np.float32), package)))
        assert step_bytes(33_650, package) == pytest.approx(sent, rel=5e-3)


def test_a_small_datagram_is_one_packet_and_a_large_one_is_lost_with_any_of_many() -> None:
    assert (packets(288), packets(PACKAGE)) == (1, 15)
    assert datagram_loss(0.01, 288) == pytest.approx(0.01)
    assert datagram_loss(0.01, PACKAGE) == pytest.approx(1 - 0.99**15)


def test_rates_lie_on_both_sides_of_what_is_needed() -> None:
    step, fade, budget_s, step_s = 32_768, 882, 0.7230, 0.7430
    both_ways_s = (step_bytes(step) + step_bytes(step + fade)) / fitting_rate(step, fade, 1, budget_s)
    assert both_ways_s == pytest.approx(budget_s / 1.5)
    assert overflowing_rate(step, 1, step_s) * step_s < step_bytes(step)
    # The step goes up once, whatever the number of stems; a reply comes down for each.
    three_more = fitting_rate(step, fade, 4, budget_s) - fitting_rate(step, fade, 1, budget_s)
    assert three_more == pytest.approx(3 * 1.5 * step_bytes(step + fade) / budget_s)


def test_the_table_has_every_network_and_both_sizes() -> None:
    table = rows(32_768, 32_768, 882, 44_100, 1)
    assert len({(row.name, row.package) for row in table}) == len(table)
    assert {row.package for row in table} == {PACKAGE, 288}
    assert {0.001, 0.01, 0.05} <= {row.faults.loss for row in table}
    assert {20, 80} <= {row.faults.jitter_ms for row in table}
    kinds = ("burst_datagrams", "duplicate", "reorder", "rate_bytes_per_s")
    assert all(any(getattr(row.faults, k) != getattr(Faults(), k) for row in table) for k in kinds)
    assert all(row.up().validate() and row.down().validate() for row in table)
    assert all(row.up().seed != row.down().seed for row in table)
    quick = rows(32_768, 32_768, 882, 44_100, 1, quick=True)
    assert 0 < len(quick) < len(table)
    assert set(quick) < set(table)


def test_a_row_of_the_table_is_as_wide_as_its_header() -> None:
    row = next(row for row in rows(32_768, 32_768, 882, 44_100, 1) if row.unplugged_s)
    with Relay(*[("127.0.0.1", 0)] * 4) as relay:
        counts: RelayCounts = relay.counts()
    record = net.row_of(row, take(), {"concealed_context_samples": 882, "steps_never_came": 3}, counts)
    assert (record["whole_ratio"], record["server_concealed_samples"], record["server_steps_never_came"]) == (
        0.9,
        882,
        3,
    )
    assert len(net.line(record)) == len(net.header())
    unknown = net.row_of(row, take(), None, counts)
    assert unknown["server_concealed_samples"] is None
    assert " - " in net.line(unknown)
    json.dumps(unknown)


class Cable:
    def __init__(self) -> None:
        self.said: list[str] = []

    def cut(self) -> None:
        self.said.append("cut")

    def restore(self) -> None:
        self.said.append("restore")


def test_the_cable_is_pulled_once_and_put_back() -> None:
    relay: Any = Cable()
    cable = net.Unplugged(relay, 3, 0.01)
    for done in (1, 2):
        cable.on_step(done)
    assert relay.said == []
    cable.on_step(3)
    limit_s = time.monotonic() + 30
    while len(relay.said) < 2 and time.monotonic() < limit_s:
        time.sleep(0.001)
    cable.on_step(4)
    cable.close()
    assert relay.said == ["cut", "restore"]
    steady: Any = Cable()
    net.Unplugged(steady, 3, 0.0).on_step(3)
    assert steady.said == []


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (["--steps", "1"], "at least 2"),
        (["--stems", "9"], "1 to 4"),
        (["--bundle", "absent"], "absent"),
        (["--clip", "absent.wav"], "absent.wav"),
    ],
)
def test_net_refuses_in_one_line(wrong: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert net.main([*wrong, "--no-record"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("net: ")
    assert why in said


def test_a_lead_within_the_fade_leaves_no_budget(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert net.main(["--bundle", str(tiny), "--r", str(math.nextafter(882 / 262_144, 0)), "--no-record"]) == 2
    assert "beyond the fade" in capsys.readouterr().err

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""History and RESULTS.md from made-up records: what belongs together, what moved, what was never measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anacrusis.benchmarks import history, results, tables
from anacrusis.benchmarks.transfer import Transfer

Capture = pytest.CaptureFixture[str]

WHERE = {"machine": "a machine", "cores": 2, "threads": 1, "python": "3.11", "load_1min": 0.1, "changed_files": 0}


def soak(commit: str, day: int, p99_ms: float, **more: Any) -> dict[str, Any]:
    return {
        "benchmark": "soak",
        "commit": commit,
        "date": f"2026-01-{day:02d}T00:00:00+00:00",
        "bundle": "small",
        "stems": ["bass"],
        "nfe": 2,
        "seconds": 60.0,
        "step_samples": 32_768,
        "step_ms": 743.0,
        "lead_samples": 32_768,
        "deadline_ms": 723.0,
        "steps": 80,
        "late": 0,
        "dropped": 0,
        "concealed": 0,
        "p50_ms": 300.0,
        "p95_ms": 400.0,
        "p99_ms": p99_ms,
        "max_ms": 600.0,
        **WHERE,
        **more,
    }


def net(commit: str, day: int, **more: Any) -> dict[str, Any]:
    return {**soak(commit, day, 20.0), "benchmark": "net", "name": "loss 1 %", "package": 4410, "whole_ratio": 0.95} | {
        "client_concealed_samples": 4410,
        "server_concealed_samples": None,
        **more,
    }


def written(folder: Path, records: list[dict[str, Any]]) -> Path:
    for record in records:
        with (folder / f"{record['benchmark']}.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
    return folder


def test_a_series_is_one_measurement_on_one_machine_commit_by_commit() -> None:
    records = [
        soak("bbb", 2, 450.0),
        soak("aaa", 1, 500.0),
        soak("bbb", 3, 400.0),  # the newest of a commit counts
        soak("ccc", 4, 300.0, changed_files=2),
        soak("ccc", 4, 999.0, machine="another"),
        {"benchmark": "unknown", "commit": "aaa"},
        {"benchmark": "soak", "commit": "", "p99_ms": 1.0},  # from where no git was
    ]
    found = [one for one in history.series_of(records) if one.figure == "round trip p99 ms"]
    assert [[(p.commit, p.value) for p in one.points] for one in found] == [
        [("aaa", 500.0), ("bbb", 400.0), ("ccc+", 300.0)],
        [("ccc", 999.0)],
    ]
    assert found[0].change == pytest.approx(-0.4)
    assert found[1].change is None
    assert "small" in found[0].label


def test_older_records_of_net_were_over_loopback() -> None:
    same = history.series_of([net("aaa", 1), net("bbb", 2, between="loopback")])
    assert {len(one.points) for one in same} == {2}
    other = history.series_of([net("aaa", 1), net("bbb", 2, between="network namespaces")])
    assert {len(one.points) for one in other} == {1}


@pytest.mark.parametrize(
    ("record", "keys", "value"),
    [
        ({"a": {"b": 1}}, ("a", "b"), 1.0),
        ({"a": None}, ("a", "b"), None),
        ({"a": True}, ("a",), None),
        ({"a": "1"}, ("a",), None),
    ],
)
def test_a_figure_is_a_number_or_nothing(record: dict[str, Any], keys: tuple[str, ...], value: float | None) -> None:
    assert history.at(record, keys) == value


def test_history_compares_commits_and_ends_in_json(tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    folder = written(tmp_path, [soak("aaa", 1, 500.0), soak("bbb", 2, 400.0), soak("ccc", 3, 450.0)])
    arguments = ["--results", str(folder), "--only", "p99", "--from", "aaa", "--to", "ccc"]
    assert history.main([*arguments, "--png", str(tmp_path / "h.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "-10.0%" in lines[2]
    (one,) = json.loads(lines[-1])["series"]
    assert [point[1:] for point in one["points"]] == [["aaa", 500.0], ["ccc", 450.0]]
    assert (tmp_path / "h.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--results", "absent"], "not a directory"),
        (["--only", "nothing like it"], "nothing recorded"),
        (["--from", "zzz"], "nothing recorded"),
    ],
)
def test_history_refuses_in_one_line(arguments: list[str], why: str, tmp_path: Path, capsys: Capture) -> None:
    written(tmp_path, [soak("aaa", 1, 500.0)])
    assert history.main(["--results", str(tmp_path), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line


@pytest.mark.parametrize("line", ["{", "[]", "3"])
def test_a_damaged_line_is_named(line: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "soak.jsonl").write_text(json.dumps(soak("aaa", 1, 1.0)) + "\n\n" + line + "\n")
    assert history.main(["--results", str(tmp_path)]) == 2
    assert "line 3" in capsys.readouterr().err


def table(name: str, commit: str, ours: float) -> dict[str, Any]:
    cycle = {"encode": ours, "sample": ours, "decode": ours, "host": 0.0, "compute": 3 * ours}
    both = {"ours": [cycle], "yardstick": [dict.fromkeys(cycle, 0.6)]}
    record = {
        **soak(commit, 1, 1.0),
        "benchmark": name,
        "model": "cd",
        "r": 0.25,
        "window_s": 6.0,
        "stems": 1,
        "backend": "onnxruntime",
        "yardstick_is": "a stand-in",
        "no_yardstick": None,
        "warm_up_cycles": 1,
        "stolen_share": 0.01,
        **tables.joined(both, [Transfer(0.01, 0.01)]),
    }
    return {**record, "real_time": tables.real_time(record)}


def test_the_page_shows_the_newest_and_says_what_was_never_measured(tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    records = [table("table1", "aaa", 0.3), table("table1", "bbb", 0.2), table("table2", "bbb", 0.2)]
    folder = written(tmp_path, [*records, net("aaa", 1)])
    page = tmp_path / "RESULTS.md"
    assert results.main(["--results", str(folder), "--out", str(page)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [Path(path).name for path in told["plots"]] == ["table1.png", "table2.png", "history.png"]
    text = page.read_text()
    assert "200.0 / 200.0 / 200.0 | 600.0 | 3.00 | 40 to 56" in text
    assert "300.0 / 300.0" not in text  # an older record of the same
    assert "the host stole at most 1.00%" in text
    for command in ("sweep", "profile", "soak --minutes 30"):
        assert f"Not recorded yet: `anacrusis bench {command}`." in text
    assert "| loss 1 % | 4410 | loopback | 80 | 95.0% | 0 | 0.00 | 0.10 | 300 / 20 |" in text
    assert "| 920 (aaa) | 620 (bbb) | -32.6% |" in text
    assert all(len(line.split("|")) == len(lines[0].split("|")) for lines in _tables(text) for line in lines)


def _tables(text: str) -> list[list[str]]:
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return [block for block in blocks if block and all(line.startswith("|") for line in block)]

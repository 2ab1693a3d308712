# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""calibration.json: what comes back, what is refused, and how a missing entry is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anacrusis.calib.calibration import Calibration
from anacrusis.calib.errors import CalibrationError
from anacrusis.calib.machine import this_machine
from anacrusis.calib.store import Store

from .made import MACHINE, calibration

ONE = calibration({1: 80.0, 4: 90.0, 16: 200.0}, transfer_ms=5.0)
SHA = ONE.bundle_sha256


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache" / "calibration.json")


def test_what_was_put_comes_back(store: Store) -> None:
    assert store.entries() == []
    store.check()
    store.put([ONE])
    assert store.entries() == [ONE]
    assert store.find(MACHINE, SHA, 1) == ONE
    assert [path.name for path in store.path.parent.iterdir()] == ["calibration.json"]


def test_the_file_says_what_follows_too(store: Store) -> None:
    store.put([ONE])
    (entry,) = json.loads(store.path.read_text())["calibrations"]
    assert entry["results"]["r_star_frames"] == 3
    assert [lead["step_frames"] for lead in entry["results"]["leads"]] == [1, 4, 16]
    assert entry["results"]["recommended"]["step_frames"] + entry["results"]["recommended"]["lead_frames"] == 16


def test_the_newest_of_a_key_stays(store: Store) -> None:
    later = replace(calibration({4: 50.0}), measured_at="2026-02-01T00:00:00.000+00:00")
    store.put([ONE, replace(ONE, stems=2)])
    store.put([later])
    assert len(store.entries()) == 2
    assert store.find(MACHINE, SHA, 1) == later


@pytest.mark.parametrize(
    ("other", "asked", "found"),
    [
        ({"rung": "torch", "measured_at": "2027"}, {}, "torch"),  # of any rung the newest
        ({"rung": "torch", "measured_at": "2027"}, {"rung": "onnxruntime"}, "onnxruntime"),
        ({"nfe": 1, "measured_at": "2027"}, {}, 2),  # the bundle's own NFE, though another was measured later
        ({"nfe": 1, "measured_at": "2027"}, {"nfe": 1}, 1),
        ({"threads": 4, "measured_at": "2027"}, {"threads": 1}, 1),
        ({"client": "10.0.0.9", "measured_at": "2027"}, {"client": "this machine"}, "this machine"),
        ({"client": "10.0.0.9", "measured_at": "2027"}, {}, "10.0.0.9"),
    ],
)
def test_which_one_is_found(store: Store, other: dict[str, Any], asked: dict[str, Any], found: object) -> None:
    store.put([ONE, replace(ONE, **other)])
    assert getattr(store.find(MACHINE, SHA, 1, **asked), next(iter(other))) == found


MISSING = [
    ({"machine": replace(MACHINE, cpu="another")}, "only other machines were calibrated .*a processor"),
    ({"bundle_sha256": "cd" * 32}, "this bundle has changed since it was calibrated"),
    (
        {"bundle_sha256": "cd" * 32, "bundle": "new"},
        "this bundle was not calibrated here; run `anacrusis calibrate new`",
    ),
    ({"stems": 3}, "calibrated for stems 1, not 3"),
    ({"rung": "torch"}, "calibrated for rung onnxruntime, not torch"),
    ({"threads": 2}, "calibrated for threads 1, not 2"),
    ({"nfe": 16}, "calibrated for nfe 2, not 16"),
]


@pytest.mark.parametrize(("asked", "says"), MISSING, ids=[" ".join(asked) for asked, _ in MISSING])
def test_what_is_not_there_is_said(store: Store, asked: dict[str, Any], says: str) -> None:
    store.put([ONE])
    wanted = {"machine": MACHINE, "bundle_sha256": SHA, "stems": 1, "bundle": "some", **asked}
    with pytest.raises(CalibrationError, match=says):
        store.find(**wanted)


def test_an_empty_store_says_what_to_do(store: Store) -> None:
    with pytest.raises(CalibrationError, match="nothing was calibrated yet; run `anacrusis calibrate BUNDLE`"):
        store.find(MACHINE, SHA, 1)


def broken(**changes: Any) -> str:
    entry = {**ONE.to_dict(), **changes}
    return json.dumps({"schema": 1, "calibrations": [entry]})


CORRUPT = [
    ("", "it is not JSON"),
    ('{"schema": 1, "calib', "it is not JSON"),
    ("[]", "it holds no calibrations"),
    ('{"schema": 1}', "it holds no calibrations"),
    ('{"schema": 2, "calibrations": []}', "written by another version"),
    ('{"schema": 1, "calibrations": [7]}', "not a calibration"),
    ('{"schema": 1, "calibrations": [{}]}', "KeyError: 'machine'"),
    (broken(steps=[]), "not a calibration"),
    (broken(geometry={"frame_samples": 4096}), "not a calibration"),
    (broken(rate_hz="fast"), "not a calibration"),
    (broken(rate_hz=0), "not a calibration"),
    (broken(steps=[{**ONE.to_dict()["steps"][0], "total": {"n": 1}}]), "not a calibration"),
]


@pytest.mark.parametrize(("text", "says"), CORRUPT, ids=range(len(CORRUPT)))
def test_a_damaged_file_is_one_line_and_stays(store: Store, text: str, says: str) -> None:
    store.path.parent.mkdir()
    store.path.write_text(text)
    for call in (store.entries, store.check, lambda: store.put([ONE])):
        with pytest.raises(CalibrationError, match=f"{says}.*anacrusis calibrate BUNDLE") as error:
            call()
        assert "\n" not in str(error.value)
    assert store.path.read_text() == text


def test_a_place_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CalibrationError, match="give --out"):
        Store(tmp_path / "file" / "calibration.json").check()


def test_every_entry_survives_its_json() -> None:
    assert Calibration.from_dict(json.loads(json.dumps(ONE.to_dict()))) == ONE


def test_this_machine_is_the_same_machine() -> None:
    assert this_machine() == this_machine()
    assert this_machine().cores >= 1

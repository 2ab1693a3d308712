# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The ladder says why each rung was refused, and the backends agree on the same noise."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from anacrusis.engine import Engine, ladder
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.doctor import diagnose
from anacrusis.engine.errors import BackendError
from anacrusis.engine.ladder import RUNGS, Rung, open_backend


def refuse(name: str) -> Rung:
    def never(bundle: Bundle, threads: int) -> None:
        raise BackendError("would not load")

    return Rung(name, name, lambda: None, never)  # type: ignore[arg-type]


def test_auto_takes_the_first_that_runs_and_logs_why_not(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cpu = next(rung for rung in RUNGS if rung.name == "onnxruntime")
    absent = Rung("absent", "absent", lambda: "no such card", cpu.open)
    monkeypatch.setattr(ladder, "RUNGS", (absent, refuse("broken"), cpu))
    with caplog.at_level(logging.INFO, "anacrusis.ladder"):
        backend = open_backend(Bundle.open(tiny), "auto", threads=1)
    assert backend.name == "onnxruntime"
    assert [record.getMessage() for record in caplog.records[:2]] == [
        "backend absent refused: no such card",
        "backend broken refused: would not load",
    ]


def test_no_rung_left_lists_every_reason(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "RUNGS", (refuse("one"), refuse("two")))
    with pytest.raises(BackendError, match=r"no backend.*one: would not load; two: would not load"):
        open_backend(Bundle.open(tiny), "auto")


def test_unknown_backend_lists_the_known(tiny: Path) -> None:
    with pytest.raises(BackendError, match="unknown backend 'tpu'; choose auto, onnxruntime-cuda"):
        open_backend(Bundle.open(tiny), "tpu")


def test_backends_agree_on_the_same_noise(tiny: Path) -> None:
    pytest.importorskip("torch")
    context = (0.1 * np.random.default_rng(1).standard_normal(8192)).astype(np.float32)
    outs = []
    for name in ("onnxruntime", "torch"):
        engine = Engine.open(tiny, backend=name, stems=["bass", "piano"], step_frames=2, lead_frames=1, threads=1)
        outs.append(np.asarray(engine.step(context)))
        engine.close()
    np.testing.assert_allclose(outs[0], outs[1], atol=2e-3)
    assert np.abs(outs[0]).max() > 0.05


def test_torch_refuses_networks_it_does_not_know(copying: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(BackendError, match="does not know this bundle's networks"):
        open_backend(Bundle.open(copying), "torch")


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("0", None), ("many", None), ("", None)])
def test_threads_from_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, threads: int | None) -> None:
    monkeypatch.setenv("ANACRUSIS_THREADS", value)
    got = ladder.default_threads()
    assert got == threads if threads else 1 <= got <= 4


def test_doctor_tells_a_whole_bundle_from_a_broken_one(tiny: Path, tmp_path: Path) -> None:
    good, bad, none = diagnose(tiny), diagnose(tmp_path), diagnose(None)
    assert (good.healthy, bad.healthy, none.healthy) == (True, False, True)
    assert [rung.name for rung in good.rungs] == [rung.name for rung in RUNGS]
    assert any(line.startswith("-> ") for line in good.lines())
    assert any("is not a bundle" in line for line in bad.lines())

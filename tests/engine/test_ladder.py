# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The ladder says why each rung was refused, and the backends agree on the same noise."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.engine import Engine, ladder
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.doctor import diagnose
from anacrusis.engine.errors import BackendError
from anacrusis.engine.ladder import RUNGS, Rung, open_backend
from anacrusis.engine.plans.key import PlanKey
from anacrusis.engine.plans.sidecar import Entry


def refuse(name: str, why: str = "would not load") -> Rung:
    def never(bundle: Bundle, threads: int) -> None:
        raise BackendError(why)

    return Rung(name, name, lambda: None, never)  # type: ignore[arg-type]


def test_the_order_is_fastest_first() -> None:
    assert [rung.name for rung in RUNGS] == [
        "tensorrt-rtx",
        "tensorrt",
        "torch-cuda",
        "onnxruntime-cuda",
        "torch-mps",
        "onnxruntime",
        "torch",
    ]


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


def test_a_refusal_is_one_line(tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(ladder, "RUNGS", (refuse("one", "no memory\n  on the card\n"),))
    with caplog.at_level(logging.INFO, "anacrusis.ladder"), pytest.raises(BackendError) as caught:
        open_backend(Bundle.open(tiny), "auto")
    assert caplog.messages == ["backend one refused: no memory on the card"]
    assert str(caught.value).endswith("one: no memory on the card")


@pytest.mark.parametrize("name", [rung.name for rung in RUNGS])
def test_every_probe_answers_in_one_line(name: str) -> None:
    reason = next(rung for rung in RUNGS if rung.name == name).probe()
    assert reason is None or (reason and "\n" not in reason)


@pytest.mark.parametrize(("rung", "options"), [("torch-cuda", "FAST"), ("torch-mps", "ORACLE"), ("torch", "ORACLE")])
def test_what_each_torch_rung_asks_for(tiny: Path, monkeypatch: pytest.MonkeyPatch, rung: str, options: str) -> None:
    pytest.importorskip("torch")
    from anacrusis.engine.backends import torch as backend

    asked: dict[str, Any] = {}
    monkeypatch.setattr(backend, "TorchBackend", lambda bundle, **given: asked.update(given))
    next(each for each in RUNGS if each.name == rung).open(Bundle.open(tiny), 1)
    device = {"torch-cuda": "cuda", "torch-mps": "mps", "torch": "cpu"}[rung]
    assert asked == {"device": device, "threads": 1, "name": rung, "options": getattr(backend, options)}


def test_unknown_backend_lists_the_known(tiny: Path) -> None:
    with pytest.raises(BackendError, match="unknown backend 'tpu'; choose auto, tensorrt-rtx, tensorrt, torch-cuda"):
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


@pytest.mark.parametrize(("weights", "listed"), [("own", 1), ("another", 0)])
def test_doctor_lists_the_plans_of_the_bundle(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str, listed: int
) -> None:
    monkeypatch.setenv("ANACRUSIS_CACHE", str(tmp_path))
    own = Bundle.open(tiny).manifest.files["weights.safetensors"]
    key = PlanKey(
        "decode",
        "0" * 64,
        own if weights == "own" else "1" * 64,
        "rtx",
        "1.7.1.116",
        "sm89",
        "float16",
        (("frames", 17), ("stems", 1)),
        (),
    )
    plan = tmp_path / "plans" / f"{key.file_stem}.plan"
    plan.parent.mkdir()
    entry = Entry(plan, key, "tiny-cd", 1, "0" * 64, "00", 1.0, None, 1, "2026-01-01T00:00:00+00:00")
    entry.sidecar.write_text(entry.to_json())
    found = diagnose(tiny)
    assert found.plans == ("rtx 1.7.1.116 sm89 decode frames=17 stems=1 float16",) * listed
    assert sum(line.startswith("  plan: ") for line in found.lines()) == listed

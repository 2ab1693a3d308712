# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Verification feeds a graph what it declares: conditioning has the bundle's compute type."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from anacrusis.engine.bundle import Bundle
from anacrusis.export import verify

TYPES = {"u": "tensor(float)", "cond_00": "tensor(float16)"}


class Session:
    """Takes only what it declares, as ONNX Runtime does, and gives `u` back."""

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=name, type=kind) for name, kind in TYPES.items()]

    def get_modelmeta(self) -> Any:
        return SimpleNamespace(custom_metadata_map={})

    def run(self, _: None, feeds: dict[str, Any]) -> list[Any]:
        assert {name: array.dtype for name, array in feeds.items()} == {"u": np.float32, "cond_00": np.float16}
        return [feeds["u"]]


def test_each_input_gets_its_own_type(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    u = np.ones((2, 3), np.float32)
    cases = {"denoise": [({"u": u, "cond_00": u}, [u])]}
    monkeypatch.setattr(verify, "_cases", lambda *_: cases)
    monkeypatch.setattr(verify, "open_session", lambda *_, **__: Session())
    found = verify.verify_graphs(tiny, None, Bundle.open(tiny).manifest)  # type: ignore[arg-type]
    assert found["stages"]["denoise"] == {"max_abs_error": 0.0, "snr_db": None}

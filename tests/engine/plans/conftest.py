# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Keys and plans without a library: the cache does not know what is in a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anacrusis.engine.plans.build import Built
from anacrusis.engine.plans.key import PlanKey
from anacrusis.engine.plans.layers import Layer, Tensor
from anacrusis.engine.plans.store import Store

KEY = PlanKey(
    stage="denoise",
    onnx="a" * 64,
    weights="b" * 64,
    library="rtx",
    library_version="1.7.1",
    target="sm89",
    precision="float16",
    dims=(("stems", 1),),
    flags=("detailed",),
)


def changed(**changes: Any) -> PlanKey:
    return dataclasses.replace(KEY, **changes)


def layer(name: str = "conv", type_: str = "correlation", dtype: str = "Half", onnx: tuple[str, ...] = ()) -> Layer:
    x = Tensor("x", (1, 16, 64, 64), dtype)
    return Layer(name, type_, (x,), (), (x,), "tactic", 0, onnx)


class Maker:
    """Stands in for a build; counts. data: the plan."""

    def __init__(self, data: bytes = b"vtrt" + bytes(range(200)), error: BaseException | None = None) -> None:
        self.data, self.error, self.calls = data, error, 0
        self.expected_s = 0.0

    def __call__(self, expected_s: float) -> Built:
        self.calls, self.expected_s = self.calls + 1, expected_s
        if self.error is not None:
            raise self.error
        return Built(self.data, (layer(), layer("add", "kgen")), 2.5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "plans")


@pytest.fixture
def filled(store: Store) -> Store:
    """With the plan of KEY."""
    store.obtain(KEY, "tiny", Maker())
    return store


@pytest.fixture
def obtain(store: Store) -> Callable[..., tuple[bool, int, str | None]]:
    """(hit, builds, why it was missed) of one request."""

    def ask(key: PlanKey, maker: Maker | None = None) -> tuple[bool, int, str | None]:
        said: list[str] = []
        maker = maker or Maker()
        had = store.obtain(key, "tiny", maker, on_miss=said.append)
        assert had.entry.key == key
        return had.hit, maker.calls, said[0] if said else None

    return ask

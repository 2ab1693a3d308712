# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Opening the TensorRT rungs: refusals with their reason, plans from the cache, the runtime cache's file."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from anacrusis.benchmarks.device_double import DeviceDouble
from anacrusis.engine.backends import runtime_cache, tensorrt
from anacrusis.engine.backends.cuda_device import CudaDevice
from anacrusis.engine.backends.tensorrt import TensorRtBackend, open_tensorrt, probe
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError, BackendError, PlanMissingError
from anacrusis.engine.plans.build import Built
from anacrusis.engine.plans.device import Card, Cards, find_cards
from anacrusis.engine.plans.key import plan_key
from anacrusis.engine.plans.library import Library
from anacrusis.engine.plans.store import Store

from . import tensorrt_rig as rig


@pytest.fixture(scope="module")
def bundle(copying: Path) -> Bundle:
    return Bundle.open(copying)


# -- refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rung", "cards", "says"),
    [
        ("tensorrt-rtx", Cards((), reason="no NVIDIA driver answers (x)"), "no NVIDIA driver answers (x)"),
        ("tensorrt", Cards((), reason="the NVIDIA driver sees no card"), "the NVIDIA driver sees no card"),
        ("tensorrt-rtx", Cards((Card("H100", 90),)), "TensorRT-RTX has no plan for H100 (sm90)"),
        ("tensorrt-rtx", Cards((Card("V100", 70),)), "TensorRT-RTX has no plan for V100 (sm70)"),
        ("tensorrt", Cards((Card("V100", 70),)), "V100 is sm70, TensorRT needs sm75 or newer"),
    ],
)
def test_a_machine_that_cannot_says_why_and_no_library_is_imported(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, rung: str, cards: Cards, says: str
) -> None:
    def never(*args: Any) -> None:
        raise AssertionError("the library was touched")

    monkeypatch.setattr(tensorrt, "open_library", never)
    monkeypatch.setattr(tensorrt, "find_cards", lambda driver=None: cards)
    reason = probe(rung)
    assert reason is not None
    assert says in reason
    assert "\n" not in reason
    with pytest.raises(BackendError) as refused:
        open_tensorrt(bundle, rung, 1)
    assert str(refused.value) == reason


def test_a_library_that_is_not_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "find_cards", lambda driver=None: Cards((Card("RTX 4090", 89),)))

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    assert "TensorRT-RTX is not installed" in (probe("tensorrt-rtx") or "")
    with pytest.raises(BackendError, match="TensorRT is not installed"):
        tensorrt.load_library("tensorrt")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (
            lambda driver: setattr(driver, "cuInit", _raises),
            "no NVIDIA driver here .libcuda.so was not found.; install",
        ),
        (lambda driver: driver.calls.fail("cuInit"), "CUDA cuInit failed with .*; start again"),
        (lambda driver: setattr(driver, "cuDeviceGetCount", lambda: (0, 0)), "the NVIDIA driver sees no GPU; check"),
    ],
)
def test_a_device_that_does_not_open(break_it: Callable[[Any], None], says: str) -> None:
    driver = DeviceDouble().driver
    break_it(driver)
    with pytest.raises(BackendError, match=says):
        CudaDevice(driver)


def _raises(flags: int) -> None:
    raise RuntimeError("libcuda.so\nwas not found")


# -- plans from the cache -------------------------------------------------------------------------------------


@dataclass
class Shop:
    """A cache of the double's plans, and the double that runs them."""

    double: DeviceDouble
    bundle: Bundle
    folder: Path

    @property
    def library(self) -> Library:
        rtx = self.double.library.machine.rtx
        return Library("rtx" if rtx else "tensorrt", self.double.library.__version__, self.double.library)

    def build(self, target: str, *plans: tuple[str, dict[str, int]]) -> None:
        make = self.double.plans(self.bundle)
        for stage, dims in plans:
            built = Built(plan=make(stage, dims), layers=(), seconds=0.0)
            key = plan_key(self.bundle, stage, dims, self.library, target)
            Store(self.folder / "plans").obtain(key, "copying", lambda expected, built=built: built)

    def open(self) -> TensorRtBackend:
        rung = "tensorrt-rtx" if self.library.name == "rtx" else "tensorrt"
        return open_tensorrt(self.bundle, rung, 1, cache=self.folder, library=self.library, driver=self.double.driver)


ALL = (("encode", {"frames": 64}), ("denoise", {"stems": 1}), ("decode", {"stems": 1, "frames": 3}))


@pytest.mark.parametrize(
    ("rtx", "capability", "target"),
    [
        (True, (8, 9), "sm89"),
        (True, (8, 6), "sm80+sm86+sm89+sm120"),  # the shared plan does where there is none of its own
        (True, (7, 5), "sm75"),
        (False, (9, 0), "sm90 double of a GPU"),  # full TensorRT: the card by name
    ],
)
def test_plans_are_found_for_the_card(
    bundle: Bundle, tmp_path: Path, rtx: bool, capability: tuple[int, int], target: str
) -> None:
    pytest.importorskip("filelock", reason="needs filelock: pip install 'anacrusis[tensorrt]'")
    shop = Shop(DeviceDouble(rtx=rtx, capability=capability), bundle, tmp_path)
    shop.build(target, *ALL)
    with shop.open() as backend:
        rig.run(backend.bind(rig.binding(bundle, sizes=(3,))), 3)
    kernels = tmp_path / "plans" / f"kernels-{bundle.hash[:16]}-sm{capability[0]}{capability[1]}.cache"
    assert kernels.is_file() is rtx


@pytest.mark.parametrize(
    ("have", "where", "says"),
    [
        ((), "open", "no plan for encode frames=64 on double of a GPU: run `anacrusis build .* --target sm89`"),
        (ALL[:1], "bind", "no plan for denoise stems=1 on"),
        (ALL[:2], "bind", "no plan for decode frames=3 stems=1 on"),
    ],
)
def test_a_missing_plan_is_named_and_never_built(
    bundle: Bundle, tmp_path: Path, have: tuple[Any, ...], where: str, says: str
) -> None:
    pytest.importorskip("filelock", reason="needs filelock: pip install 'anacrusis[tensorrt]'")
    shop = Shop(DeviceDouble(), bundle, tmp_path)
    shop.build("sm89", *have)
    with pytest.raises(PlanMissingError, match=says) as missing, shop.open() as backend:
        backend.bind(rig.binding(bundle, sizes=(3,)))
    assert any(call.name == "Runtime" for call in shop.double.calls.since()) is (where == "bind")
    assert isinstance(missing.value, AnacrusisError)
    assert shop.double.driver.context_users == 0, "nothing is left behind"


def test_a_plan_of_another_shape_is_refused(bundle: Bundle) -> None:
    double = DeviceDouble()
    plans = double.plans(bundle)
    wrong = rig.open_on(double, bundle, plans=lambda stage, dims: plans(stage, {**dims, "stems": 2}))
    with pytest.raises(
        BackendError, match=r"the denoise plan wants u as float32 \[2, 4096, 64\], the engine has .*build"
    ):
        wrong.bind(rig.binding(bundle))


def test_the_double_s_driver_answers_find_cards() -> None:
    assert find_cards(DeviceDouble(capability=(12, 0)).driver) == Cards((Card("double of a GPU", 120),), 13000)


# -- the runtime cache ----------------------------------------------------------------------------------------


def bind_with(double: DeviceDouble, bundle: Bundle, file: Path) -> list[str]:
    """Names of the calls that a start made."""
    before = len(double.calls)
    with rig.open_on(double, bundle, cache_file=file) as backend:
        backend.bind(rig.binding(bundle, sizes=(3,)))
    return [call.name for call in double.calls.since(before)]


def test_the_runtime_cache_is_written_after_the_warm_up_and_read_at_the_next_start(
    bundle: Bundle, tmp_path: Path
) -> None:
    file = tmp_path / "new" / "kernels.cache"
    names = bind_with(DeviceDouble(), bundle, file)
    assert "runtime cache read" not in names
    last_warm = max(
        i for i, name in enumerate(names[: names.index("cuStreamBeginCapture")]) if name == "execute_async_v3"
    )
    assert last_warm < names.index("runtime cache written") < names.index("cuStreamBeginCapture")
    assert b'["decode", "denoise", "encode"]' in file.read_bytes(), "one cache for all plans"
    written = file.stat().st_mtime_ns
    os.utime(file, ns=(written - 10**10, written - 10**10))
    assert "runtime cache read" in bind_with(DeviceDouble(), bundle, file)
    assert file.stat().st_mtime_ns == written - 10**10, "what did not change is not written again"
    assert [path.name for path in file.parent.iterdir()] == [file.name], "no temporary is left"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "of another version or card"),
        (b"made by another version", "of another version or card"),
        (b"double's runtime cache:{not json", "was not read"),
    ],
)
def test_a_rejected_runtime_cache_is_a_log_line_and_is_replaced(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, says: str
) -> None:
    file = tmp_path / "kernels.cache"
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING, "anacrusis.tensorrt"):
        bind_with(DeviceDouble(), bundle, file)
    assert [says in record.getMessage() for record in caplog.records] == [True]
    assert file.read_bytes().startswith(b"double's runtime cache:[")


def test_a_runtime_cache_that_cannot_be_written_stops_nothing(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runtime_cache.os, "replace", full)
    with caplog.at_level(logging.WARNING, "anacrusis.tensorrt"):
        bind_with(DeviceDouble(), bundle, tmp_path / "kernels.cache")
    assert ["No space left" in record.getMessage() for record in caplog.records] == [True]
    assert list(tmp_path.iterdir()) == []


def test_full_tensorrt_has_no_runtime_cache(bundle: Bundle, tmp_path: Path) -> None:
    names = bind_with(DeviceDouble(rtx=False), bundle, tmp_path / "kernels.cache")
    assert not [name for name in names if "cache" in name]
    assert list(tmp_path.iterdir()) == []

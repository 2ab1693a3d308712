# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a machine has: cards by a driver's word, libraries by import; each lack is one line that says what to do."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from anacrusis.engine.errors import AnacrusisError, BackendError, MissingExtraError, PlanError
from anacrusis.engine.plans.device import Card, Cards, find_cards
from anacrusis.engine.plans.interruptible import AbandonedError, run_interruptibly
from anacrusis.engine.plans.library import installed_versions, open_library
from anacrusis.engine.plans.memory import peak_memory_bytes

NO_CARD = Cards((), reason="no NVIDIA driver answers")


class Code(int):
    name = "CUDA_ERROR_NO_DEVICE"


def driver(*cards: tuple[bytes, int, int], init: int = 0) -> Any:
    """Stands in for cuda.bindings.driver: a code and a value a call."""
    attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=1, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=2
    )
    return SimpleNamespace(
        CUdevice_attribute=attribute,
        cuInit=lambda flags: (Code(init),),
        cuDriverGetVersion=lambda: (Code(0), 13000),
        cuDeviceGetCount=lambda: (Code(0), len(cards)),
        cuDeviceGet=lambda index: (Code(0), index),
        cuDeviceGetName=lambda length, device: (Code(0), cards[device][0].ljust(length, b"\0")),
        cuDeviceGetAttribute=lambda which, device: (Code(0), cards[device][which]),
    )


def test_cards_are_what_the_driver_says() -> None:
    found = find_cards(driver((b"NVIDIA GeForce RTX 4090", 8, 9), (b"NVIDIA H100", 9, 0)))
    assert found == Cards((Card("NVIDIA GeForce RTX 4090", 89), Card("NVIDIA H100", 90)), 13000, None)
    assert found.first == Card("NVIDIA GeForce RTX 4090", 89)


@pytest.mark.parametrize(
    ("stand_in", "says"),
    [
        (driver(), "the NVIDIA driver sees no card"),
        (driver(init=100), "no NVIDIA driver answers (CUDA_ERROR_NO_DEVICE)"),
        (SimpleNamespace(), "no NVIDIA driver answers ("),
    ],
    ids=["no card", "refused", "broken"],
)
def test_no_card_is_a_reason(stand_in: Any, says: str) -> None:
    found = find_cards(stand_in)
    assert (found.cards, found.first) == ((), None)
    assert str(found.reason).startswith(says)


def test_the_driver_is_not_needed_to_ask() -> None:
    found = find_cards()
    assert bool(found.cards) == (found.reason is None)


def forget(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def test_without_cuda_bindings_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, "cuda.bindings.driver")
    assert "pip install 'anacrusis[tensorrt]'" in str(find_cards().reason)


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch, "tensorrt_rtx", "tensorrt_rtx_bindings", "tensorrt", "tensorrt_bindings")
    with pytest.raises(MissingExtraError, match=r"TensorRT-RTX is not installed \(pip install 'anacrusis\[tensorrt\]'"):
        open_library("rtx", NO_CARD)
    with pytest.raises(MissingExtraError, match="TensorRT is not installed"):
        open_library("tensorrt", Cards((Card("RTX 4090", 89),)))


def test_full_tensorrt_is_not_touched_without_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(name: str) -> None:
        raise AssertionError(f"{name} was imported: it ends the process where there is no driver")

    monkeypatch.setattr(importlib, "import_module", touched)
    with pytest.raises(BackendError, match=r"no NVIDIA driver answers; use --library rtx"):
        open_library("tensorrt", NO_CARD)


def test_a_library_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise OSError("libcudart.so.13: cannot open\nmore")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(BackendError, match=r"TensorRT-RTX does not load \(libcudart.so.13: cannot open\); install"):
        open_library("rtx", NO_CARD)


def test_an_unknown_library() -> None:
    with pytest.raises(PlanError, match="unknown library 'lean'; choose rtx or tensorrt"):
        open_library("lean", NO_CARD)


def test_the_metadata_s_version_is_the_library_s() -> None:
    pytest.importorskip("tensorrt_rtx_bindings", reason="needs anacrusis[tensorrt]")
    assert dict(installed_versions())["rtx"] == open_library("rtx", NO_CARD).version


def test_peak_memory_grows_with_what_is_held() -> None:
    before = peak_memory_bytes()
    if before is None:
        pytest.skip("needs a system that tells its peak memory")
    block = bytearray(b"x") * (before + 64_000_000)
    after = peak_memory_bytes()
    assert after is not None
    assert after >= len(block)


# -- interruptible --------------------------------------------------------------------------------


def interrupt_after(seconds: float) -> Callable[[], None]:
    """A tick that raises what Ctrl-C raises."""
    end_s = time.monotonic() + seconds

    def tick() -> None:
        if time.monotonic() > end_s:
            raise KeyboardInterrupt

    return tick


def test_work_gives_its_result_and_its_error() -> None:
    ticks: list[int] = []
    assert run_interruptibly(lambda: time.sleep(0.05) or 7, lambda: None, lambda: ticks.append(1), period_s=0.01) == 7
    assert ticks

    def fails() -> None:
        raise PlanError("cannot")

    with pytest.raises(AnacrusisError, match="cannot"):
        run_interruptibly(fails, lambda: None, lambda: None)


@pytest.mark.parametrize("listens", [True, False], ids=["ends when asked", "does not"])
def test_an_interrupt_waits_for_work_a_moment_only(listens: bool) -> None:
    asked, over = threading.Event(), threading.Event()

    def work() -> None:
        (asked if listens else over).wait(20)

    with pytest.raises(KeyboardInterrupt) as caught:
        run_interruptibly(work, asked.set, interrupt_after(0.05), period_s=0.01, grace_s=0.3)
    assert (caught.type is AbandonedError) is not listens
    assert asked.is_set()
    over.set()


def test_a_listener_that_fails_does_not_leave_work_behind_unnoticed() -> None:
    over = threading.Event()

    def broken() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_interruptibly(lambda: over.wait(20), over.set, broken, period_s=0.01)
    with pytest.raises(AbandonedError):
        run_interruptibly(lambda: time.sleep(1.0), lambda: None, broken, period_s=0.01, grace_s=0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.kill with SIGINT")
@pytest.mark.parametrize("listens", [True, False], ids=["ends when asked", "does not"])
def test_a_signal_is_seen_while_work_runs(listens: bool) -> None:
    asked, over = threading.Event(), threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt) as caught:
            run_interruptibly(
                lambda: (asked if listens else over).wait(20), asked.set, lambda: None, period_s=5.0, grace_s=0.3
            )
    finally:
        signal.signal(signal.SIGINT, before)
    assert (caught.type is AbandonedError) is not listens
    assert asked.is_set()
    over.set()

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The rules of captured graphs, held to the recorded calls; and each rule shown to fail where it is broken."""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from anacrusis.benchmarks.device_double import DeviceDouble, DoubleError
from anacrusis.benchmarks.device_double.rules import CYCLES, WHOLE, breaches, everything_goes
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError
from anacrusis.engine.ladder import open_backend

from . import tensorrt_mutants as mutants
from . import tensorrt_rig as rig

Patch = pytest.MonkeyPatch


def broken(double: DeviceDouble, bundle: Bundle) -> dict[str, list[str]]:
    """What a whole session breaks, by rule. An error on the way ends the session, as it would on stage."""
    marks: list[int] = []
    with suppress(BackendError, DoubleError):
        rig.perform(double, bundle, marks)
    gc.collect()
    found = breaches({**WHOLE, "everything_goes": everything_goes}, double.calls.since())
    for start, stop in zip(marks[::2], marks[1::2], strict=True):
        for rule, lines in breaches(CYCLES, double.calls.since(start, stop)).items():
            found[rule] = found.get(rule, []) + lines
    return found


@pytest.fixture(scope="module")
def bundle(copying: Path) -> Bundle:
    return Bundle.open(copying)


@pytest.mark.parametrize(("rtx", "aux_streams"), [(True, 0), (True, 2), (False, 1)])
def test_a_session_keeps_every_rule(bundle: Bundle, rtx: bool, aux_streams: int) -> None:
    double, marks = DeviceDouble(rtx=rtx, aux_streams=aux_streams), []
    rig.perform(double, bundle, marks)
    calls = double.calls.since()
    assert breaches({**WHOLE, "everything_goes": everything_goes}, calls) == {}
    stretches = [double.calls.since(*pair) for pair in zip(marks[::2], marks[1::2], strict=True)]
    assert [breaches(CYCLES, stretch) for stretch in stretches] == [{}, {}, {}]
    launches = [sum(call.name == "cuGraphLaunch" for call in stretch) for stretch in stretches]
    assert launches == [4, 4, 4], "the rules had cycles to look at"
    assert sum(call.name == "cuGraphInstantiate" for call in calls) == 5 + 3
    assert double.driver.memory.live() == []
    assert (double.driver.streams, double.driver.events, double.driver.graphs) == ({}, {}, {})


def test_other_stems_are_bound_on_another_thread_without_a_call_in_the_cycles(bundle: Bundle) -> None:
    double = DeviceDouble()
    backend = rig.open_on(double, bundle)
    first = backend.bind(rig.binding(bundle))
    rig.fill(first, 1)
    wanted, start, second = rig.run(first, 3), len(double.calls), []
    binding = threading.Thread(target=lambda: second.append(backend.bind(rig.binding(bundle, ("bass", "drums"), (3,)))))
    binding.start()
    cycles = 0
    while binding.is_alive() or not cycles:
        np.testing.assert_array_equal(rig.run(first, 3)["audio"], wanted["audio"])
        cycles += 1
    binding.join()
    rig.fill(second[0], 2)
    assert np.isfinite(rig.run(second[0], 3)["audio"]).all()
    calls = double.calls.since()
    assert breaches(WHOLE, calls) == {}
    mine = [call for call in calls[start:] if call.thread == threading.get_ident()]
    assert breaches(CYCLES, mine) == {}
    assert sum(call.name == "cuGraphLaunch" for call in mine) == cycles + 1
    assert any(call.name == "cuMemAlloc" and call.thread != threading.get_ident() for call in calls[start:])
    backend.close()


@pytest.mark.parametrize(
    ("mutate", "rule"),
    [
        (mutants.no_warm_up, "warm_before_capture"),
        (mutants.one_warm_up, "warm_before_capture"),
        (mutants.unwaited_warm_up, "warm_before_capture"),
        (mutants.allocates_in_a_cycle, "only_launch_and_wait"),
        (mutants.captures_in_a_cycle, "only_launch_and_wait"),
        (mutants.gives_another_address, "only_launch_and_wait"),
        (mutants.gives_another_address, "one_capture_a_context"),
        (mutants.waits_before_the_launch, "one_wait_a_launch"),
        (mutants.waits_twice, "one_wait_a_launch"),
        (mutants.does_not_wait, "one_wait_a_launch"),
        (mutants.one_context_for_all_graphs, "one_capture_a_context"),
        (mutants.allocates_in_a_capture, "quiet_capture"),
        (mutants.waits_in_a_capture, "quiet_capture"),
        (mutants.frees_memory_under_graphs, "graphs_go_first"),
        (mutants.drops_contexts_after_capture, "graphs_go_first"),
        (mutants.destroys_events_after_capture, "graphs_go_first"),
        (mutants.default_stream, "no_default_stream"),
        (mutants.leaks_a_stream, "everything_goes"),
        (mutants.leaks_memory, "everything_goes"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_broken_rule_is_noticed(
    bundle: Bundle, monkeypatch: Patch, mutate: Callable[[Patch], None], rule: str
) -> None:
    mutate(monkeypatch)
    assert rule in broken(DeviceDouble(), bundle)


@pytest.mark.parametrize(
    ("mutate", "heeded"), [(None, True), (mutants.ignores_results, False), (mutants.forgets_to_end_the_capture, False)]
)
def test_an_enqueue_that_fails_in_a_capture(
    bundle: Bundle, monkeypatch: Patch, mutate: Callable[[Patch], None] | None, heeded: bool
) -> None:
    """False there is silence in every replay: it must end the capture and the binding."""
    if mutate is not None:
        mutate(monkeypatch)
    double = DeviceDouble()
    warm = (1 + 2 * (1 + 2 + 1) + 2) * 2  # encode; per size encode, two rows, decode; per size decode; each twice
    double.calls.fail("execute_async_v3", at=warm + 3)
    found = broken(double, bundle)
    assert any(call.failed and call.capturing and call.name == "execute_async_v3" for call in double.calls.since())
    assert ("results_heeded" not in found) is heeded
    if heeded:
        assert set(found) <= {"one_wait_a_launch"}


LIBRARY = "(did not enqueue|refused|made no|does not take|cannot be captured)"


@pytest.mark.parametrize(
    ("name", "at", "says"),
    [
        ("cuStreamCreateWithPriority", 1, "CUDA cuStreamCreateWithPriority failed with CUDA_ERROR_UNKNOWN"),
        ("cuEventCreate", 3, "CUDA cuEventCreate failed"),
        ("cuMemAlloc", 1, "CUDA cuMemAlloc failed"),
        ("cuMemAllocHost", 1, "CUDA cuMemAllocHost failed"),
        ("cuMemcpyHtoDAsync", 1, "CUDA cuMemcpyHtoDAsync failed"),
        ("cuMemcpy2DAsync", 2, "CUDA cuMemcpy2DAsync failed"),
        ("cuMemcpyDtoHAsync", 2, "CUDA cuMemcpyDtoHAsync failed"),
        ("cuMemsetD8Async", 1, "CUDA cuMemsetD8Async failed"),
        ("cuStreamSynchronize", 2, "CUDA cuStreamSynchronize failed"),
        ("cuStreamBeginCapture", 2, "CUDA cuStreamBeginCapture failed"),
        ("cuStreamEndCapture", 2, "CUDA cuStreamEndCapture failed"),
        ("cuEventRecordWithFlags", 2, "CUDA cuEventRecordWithFlags failed"),
        ("cuGraphInstantiate", 2, "CUDA cuGraphInstantiate failed"),
        ("cuGraphUpload", 1, "CUDA cuGraphUpload failed"),
        ("deserialize_cuda_engine", 2, r"does not take the denoise plan .the plan cannot be read: told to fail"),
        ("create_execution_context", 3, "made no context for denoise"),
        ("set_runtime_cache", 2, "refused its runtime cache"),
        ("set_tensor_address", 2, "refused the address of heard"),
        ("execute_async_v3", 4, "did not enqueue denoise"),
        ("is_stream_capturable", 2, "cannot be captured"),
    ],
)
def test_whatever_fails_in_a_binding_is_one_line_and_leaves_nothing(
    bundle: Bundle, name: str, at: int, says: str
) -> None:
    double = DeviceDouble()
    double.calls.fail(name, at=at)
    backend = rig.open_on(double, bundle)
    try:
        backend.bind(rig.binding(bundle))
    except BackendError as error:
        text = str(error)
    else:
        pytest.fail(f"{name} failed and nobody noticed")
    assert re.search(says, text), text
    assert "\n" not in text
    assert ";" in text, "it says what to do"
    gc.collect()
    assert double.driver.memory.live() == []
    good = backend.bind(rig.binding(bundle))  # what failed once is not in the way of the next attempt
    rig.fill(good, 1)
    rig.run(good, 3)
    backend.close()
    del good
    gc.collect()
    assert breaches({**WHOLE, "everything_goes": everything_goes}, double.calls.since()) == {}


@pytest.mark.parametrize("name", ["cuGraphLaunch", "cuStreamSynchronize", "cuEventElapsedTime", "cuCtxSetCurrent"])
def test_whatever_fails_in_a_cycle_is_one_line(bundle: Bundle, name: str) -> None:
    double = DeviceDouble()
    pipeline = rig.open_on(double, bundle).bind(rig.binding(bundle))
    double.calls.fail(name, code=700)
    with pytest.raises(BackendError, match=rf"CUDA {name} failed with CUDA_ERROR_ILLEGAL_ADDRESS .*; start again"):
        rig.run(pipeline, 3)


def test_out_of_memory_says_so(bundle: Bundle) -> None:
    double = DeviceDouble()
    backend = rig.open_on(double, bundle)
    double.calls.fail("cuMemAlloc", code=2)
    with pytest.raises(BackendError, match=r"out of memory.; close what else uses the GPU"):
        backend.bind(rig.binding(bundle))


# -- what needs no rule: the double refuses, or the sound is another ----------------------------------------------


@pytest.mark.parametrize(
    ("mutate", "says"),
    [
        (mutants.scratch_of_the_library_s_own, "an enqueue without scratch memory of ours"),
        (mutants.the_library_s_own_graph, "own CUDA graph is on"),
        (mutants.scratch_too_small, "scratch memory is too small"),
        (mutants.tensor_beyond_the_block, "not in any live device allocation"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_double_refuses(bundle: Bundle, monkeypatch: Patch, mutate: Callable[..., None], says: str) -> None:
    double = DeviceDouble()
    mutate(monkeypatch, double)
    with pytest.raises(DoubleError, match=says):
        rig.open_on(double, bundle).bind(rig.binding(bundle))


@pytest.mark.parametrize(
    "mutate",
    [
        None,
        mutants.rows_do_not_take_turns,
        mutants.wrong_noise,
        mutants.wrong_columns,
        mutants.stale_inputs,
        mutants.start_without_noise,
        mutants.coefficients_of_another_row,
    ],
    ids=lambda value: getattr(value, "__name__", "as it is"),
)
def test_a_wrong_byte_is_heard(bundle: Bundle, monkeypatch: Patch, mutate: Callable[[Patch], None] | None) -> None:
    """Equality with ONNX Runtime's rung notices what the calls do not show."""
    if mutate is not None:
        mutate(monkeypatch)
    got = []
    for backend in (rig.open_on(DeviceDouble(), bundle), open_backend(bundle, "onnxruntime", threads=1)):
        pipeline = backend.bind(rig.with_rows_that_mix(rig.binding(bundle)))
        for seed in range(2):
            rig.fill(pipeline, seed)
            outputs = rig.run(pipeline, 3)
        got.append(outputs)
    assert np.array_equal(got[0]["audio"], got[1]["audio"]) is (mutate is None)

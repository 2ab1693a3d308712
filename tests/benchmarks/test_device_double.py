# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The double is strict, and has the names, arguments and numbers of what it stands for."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
import pytest

from anacrusis.benchmarks.device_double import DeviceDouble, DoubleError
from anacrusis.benchmarks.device_double import driver as double_driver
from anacrusis.benchmarks.device_double import library as double_library
from anacrusis.benchmarks.device_double.memory import DEVICE, PINNED, Memory

FUNCTIONS = sorted(name for name in vars(double_driver.DriverDouble) if name.startswith("cu"))
ENUMERATIONS = sorted(
    name
    for name, kind in vars(double_driver).items()
    if inspect.isclass(kind) and issubclass(kind, IntEnum) and kind is not IntEnum
)


# -- against the real modules, where they are installed -------------------------------------------------------


@pytest.fixture(scope="module")
def cuda() -> Any:
    return pytest.importorskip("cuda.bindings.driver", reason="needs cuda-bindings: pip install 'anacrusis[tensorrt]'")


@pytest.fixture(scope="module")
def trt() -> Any:
    return pytest.importorskip(
        "tensorrt_rtx_bindings", reason="needs tensorrt-rtx-cu13-bindings: pip install 'anacrusis[tensorrt]'"
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_driver_function_takes_as_many_arguments(cuda: Any, name: str) -> None:
    signature = re.match(rf"{name}\((.*?)\)", getattr(cuda, name).__doc__.strip())
    assert signature is not None
    real = [part for part in signature.group(1).split(",") if part.strip()]
    ours = [p for p in inspect.signature(getattr(double_driver.DriverDouble, name)).parameters if p != "self"]
    assert len(ours) == len(real), signature.group(0)


@pytest.mark.parametrize("name", ENUMERATIONS)
def test_an_enumeration_has_the_driver_s_numbers(cuda: Any, name: str) -> None:
    real = getattr(cuda, name)
    for member in getattr(double_driver, name):
        assert int(getattr(real, member.name)) == member.value


def filled_copy(cuda: Any) -> Any:
    """A 2D copy as `CudaStream.columns` fills it."""
    copy = cuda.CUDA_MEMCPY2D()
    for field in double_driver.CUDA_MEMCPY2D.__slots__:
        side = cuda.CUmemorytype.CU_MEMORYTYPE_DEVICE
        setattr(copy, field, side if field.endswith("Type") else cuda.CUdeviceptr(8) if field.endswith("Device") else 8)
    return copy


def test_the_2d_copy_has_the_driver_s_fields(cuda: Any) -> None:
    copy = filled_copy(cuda)
    assert {int(getattr(copy, field)) for field in double_driver.CUDA_MEMCPY2D.__slots__} == {2, 8}
    assert hasattr(type(copy), "dstHost"), "a field that is not there would be accepted silently otherwise"
    with pytest.raises(AttributeError):
        double_driver.CUDA_MEMCPY2D().height = 3


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cuCtxSetCurrent", lambda cuda: (cuda.CUcontext(1),)),
        ("cuStreamCreateWithPriority", lambda cuda: (int(cuda.CUstream_flags.CU_STREAM_NON_BLOCKING), -5)),
        ("cuStreamDestroy", lambda cuda: (cuda.CUstream(16),)),
        ("cuStreamSynchronize", lambda cuda: (cuda.CUstream(16),)),
        ("cuMemAlloc", lambda cuda: (256,)),
        ("cuMemAllocHost", lambda cuda: (256,)),
        ("cuMemFree", lambda cuda: (0x7000,)),
        ("cuMemFreeHost", lambda cuda: (0x7000,)),
        ("cuMemcpyHtoDAsync", lambda cuda: (0x7000, 0x8000, 4, cuda.CUstream(16))),
        ("cuMemcpyDtoHAsync", lambda cuda: (0x8000, 0x7000, 4, cuda.CUstream(16))),
        ("cuMemsetD8Async", lambda cuda: (0x7000, 0, 4, cuda.CUstream(16))),
        ("cuMemcpy2DAsync", lambda cuda: (filled_copy(cuda), cuda.CUstream(16))),
        ("cuEventCreate", lambda cuda: (int(cuda.CUevent_flags.CU_EVENT_DEFAULT),)),
        ("cuEventRecordWithFlags", lambda cuda: (cuda.CUevent(32), cuda.CUstream(16), 1)),
        ("cuEventElapsedTime", lambda cuda: (cuda.CUevent(32), cuda.CUevent(48))),
        (
            "cuStreamBeginCapture",
            lambda cuda: (cuda.CUstream(16), cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
        ),
        ("cuStreamEndCapture", lambda cuda: (cuda.CUstream(16),)),
        ("cuGraphInstantiate", lambda cuda: (cuda.CUgraph(64), 0)),
        ("cuGraphUpload", lambda cuda: (cuda.CUgraphExec(80), cuda.CUstream(16))),
        ("cuGraphLaunch", lambda cuda: (cuda.CUgraphExec(80), cuda.CUstream(16))),
        ("cuGraphExecDestroy", lambda cuda: (cuda.CUgraphExec(80),)),
        ("cuGraphDestroy", lambda cuda: (cuda.CUgraph(64),)),
    ],
)
def test_the_binding_takes_the_types_we_give(cuda: Any, name: str, arguments: Callable[[Any], Any]) -> None:
    """Without a driver a call whose arguments were taken fails at the library; a wrong type fails before it."""
    try:
        cuda.cuInit(0)
    except RuntimeError as error:
        missing = str(error)
    else:
        pytest.skip("needs a machine without an NVIDIA driver: these calls would be made")
    with pytest.raises(RuntimeError) as refused:
        getattr(cuda, name)(*arguments(cuda))
    assert str(refused.value) == missing


@pytest.mark.parametrize(
    ("real", "ours"),
    [
        ("Runtime", double_library.Runtime),
        ("ICudaEngine", double_library.Engine),
        ("IRuntimeConfig", double_library.RtxRuntimeConfig),
        ("IRuntimeCache", double_library.RuntimeCache),
        ("IExecutionContext", double_library.RtxContext),
    ],
)
def test_a_library_class_has_every_method_used(trt: Any, real: str, ours: type[Any]) -> None:
    names = {n for n, v in inspect.getmembers(ours) if not n.startswith("_") and callable(v)}
    assert {name for name in names if not hasattr(getattr(trt, real), name)} == set()


@pytest.mark.parametrize(
    ("owner", "attribute"),
    [
        ("ICudaEngine", "device_memory_size_v2"),
        ("ICudaEngine", "num_aux_streams"),
        ("ICudaEngine", "num_io_tensors"),
        ("IRuntimeConfig", "cuda_graph_strategy"),
        ("ExecutionContextAllocationStrategy", "USER_MANAGED"),
        ("CudaGraphStrategy", "DISABLED"),
        ("ILogger", "Severity"),
    ],
)
def test_a_library_attribute_used_exists(trt: Any, owner: str, attribute: str) -> None:
    assert hasattr(getattr(trt, owner), attribute)


def test_the_backend_s_logger_is_one_the_library_takes(trt: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The real runtime is made without a driver (TensorRT-RTX allows it) and refuses a plan through our logger."""
    library = importlib.import_module("anacrusis.engine.backends.tensorrt_library")
    cache = importlib.import_module("anacrusis.engine.backends.runtime_cache").RuntimeCache(None)
    runtime = library.TensorRtRuntime(trt, lambda stage, dims: b"no plan at all" * 20, cache)
    with pytest.raises(
        library.BackendError, match=r"does not take the encode plan \(.+\); run `anacrusis build` again"
    ):
        runtime.lease("encode", {"frames": 64})


# -- strictness -----------------------------------------------------------------------------------------------


def started() -> tuple[Any, int]:
    driver = DeviceDouble().driver
    driver.cuInit(0)
    driver.cuCtxSetCurrent(driver.cuDevicePrimaryCtxRetain(0)[1])
    return driver, driver.cuStreamCreateWithPriority(1, 0)[1]


def overrun(driver: Any, stream: int) -> None:
    device, host = driver.cuMemAlloc(256)[1], driver.cuMemAllocHost(512)[1]
    driver.cuMemcpyHtoDAsync(device, host, 257, stream)
    driver.cuStreamSynchronize(stream)


def wrong_side(driver: Any, stream: int) -> None:
    one, other = driver.cuMemAllocHost(256)[1], driver.cuMemAllocHost(256)[1]
    driver.cuMemcpyHtoDAsync(one, other, 8, stream)
    driver.cuStreamSynchronize(stream)


def after_free(driver: Any, stream: int) -> None:
    device, host = driver.cuMemAlloc(256)[1], driver.cuMemAllocHost(256)[1]
    driver.cuMemFree(device)
    driver.cuMemcpyHtoDAsync(device, host, 8, stream)
    driver.cuStreamSynchronize(stream)


def default_stream(driver: Any, stream: int) -> None:
    driver.cuMemsetD8Async(driver.cuMemAlloc(256)[1], 0, 8, 0)


def two_launches_in_flight(driver: Any, stream: int) -> None:
    driver.cuStreamBeginCapture(stream, 1)
    driver.cuMemsetD8Async(driver.memory.allocate(DEVICE, 256), 0, 8, stream)
    executable = driver.cuGraphInstantiate(driver.cuStreamEndCapture(stream)[1], 0)[1]
    driver.cuGraphLaunch(executable, stream)
    driver.cuGraphLaunch(executable, stream)


@pytest.mark.parametrize(
    ("misuse", "says"),
    [
        (overrun, "257 bytes at .* not in any live device allocation"),
        (wrong_side, "pinned memory was given as device memory"),
        (after_free, "not in any live"),
        (default_stream, "is no live stream"),
        (two_launches_in_flight, "in flight"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_misuse_is_an_error(misuse: Callable[[Any, int], None], says: str) -> None:
    with pytest.raises(DoubleError, match=says):
        misuse(*started())


def test_nothing_happens_before_the_wait() -> None:
    driver, stream = started()
    device, host = driver.cuMemAlloc(256)[1], driver.cuMemAllocHost(256)[1]
    view = driver.memory.at(PINNED, host, 256)
    view[...] = 7
    driver.cuMemcpyHtoDAsync(device, host, 256, stream)
    view[...] = 9  # too early: the copy has not run
    driver.cuStreamSynchronize(stream)
    assert set(driver.memory.at(DEVICE, device, 256)) == {9}


def test_a_capture_runs_nothing_until_it_is_launched_and_then_each_time() -> None:
    driver, stream = started()
    device, host = driver.cuMemAlloc(256)[1], driver.cuMemAllocHost(256)[1]
    driver.cuStreamBeginCapture(stream, 1)
    driver.cuMemcpyHtoDAsync(device, host, 256, stream)
    graph = driver.cuStreamEndCapture(stream)[1]
    executable = driver.cuGraphInstantiate(graph, 0)[1]
    driver.cuStreamSynchronize(stream)
    assert set(driver.memory.at(DEVICE, device, 256)) == {0xFF}
    for value in (3, 4):
        driver.memory.at(PINNED, host, 256)[...] = value
        driver.cuGraphLaunch(executable, stream)
        driver.cuStreamSynchronize(stream)
        assert set(driver.memory.at(DEVICE, device, 256)) == {value}


@pytest.mark.parametrize("call", ["cuMemAlloc", "cuMemAllocHost", "cuStreamSynchronize"])
def test_what_a_capture_forbids_spoils_it(call: str) -> None:
    driver, stream = started()
    driver.cuStreamBeginCapture(stream, 1)
    argument = stream if call == "cuStreamSynchronize" else 256
    assert getattr(driver, call)(argument)[0].name == "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
    assert driver.cuStreamEndCapture(stream)[0].name == "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"


def test_fresh_and_freed_memory_is_not_a_number() -> None:
    memory = Memory()
    address = memory.allocate(PINNED, 64)
    view = memory.at(PINNED, address, 64).view(np.float32)
    assert np.isnan(view).all()
    view[...] = 1.0
    assert memory.free(PINNED, address)
    assert np.isnan(view).all()
    assert not memory.free(PINNED, address)

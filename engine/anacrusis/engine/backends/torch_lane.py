# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How a cycle's work reaches a device: called as it is on a CPU, captured once and replayed on a CUDA stream.

The seam of `torch_static.py`, so that everything else of the graph rung runs (and is tested) on a CPU. A lane is
a context: work enqueued inside goes to its stream. Times come from events on that stream, recorded inside the
graph on CUDA (external events), so that measuring a stage does not split the graph.

Not covered: several devices, capture of anything that waits or allocates pinned memory.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor

Run = Callable[[], None]

# A first run loads kernels, a second meets cuDNN's choice of algorithm, a third is what will be captured.
WARM_UPS = 3


class Lane(Protocol):
    """One device's queue. All methods on one thread at a time."""

    device: torch.device

    def host(self, count: int) -> Tensor:
        """[count] float32 zeros on the host, in memory the device can copy from and to without a stop."""

    def prepare(self, run: Run) -> Run:
        """Warm `run` up, capture it, return what repeats it. `run` must neither wait nor depend on host values."""

    def mark(self, index: int) -> None:
        """Note the time of this point of the queue; indices count from 0 in the order they are met."""

    def laps(self) -> list[float]:
        """Milliseconds between successive marks. Only after `wait`."""

    def wait(self) -> None:
        """Until all that was enqueued is done."""

    def settle(self) -> None:
        """Until the whole device is idle: what was made outside this lane may be used in it."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class HostLane:
    """The CPU: everything is done when it is called, so a capture is the call itself."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self._marks: dict[int, float] = {}

    def host(self, count: int) -> Tensor:
        return torch.zeros(count)

    def prepare(self, run: Run) -> Run:
        run()
        return run

    def mark(self, index: int) -> None:
        self._marks[index] = time.perf_counter()

    def laps(self) -> list[float]:
        points = [self._marks[index] for index in sorted(self._marks)]
        return [(after - before) * 1e3 for before, after in itertools.pairwise(points)]

    def wait(self) -> None:
        return None

    def settle(self) -> None:
        return None

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class CudaLane:
    """A CUDA stream of its own and the graphs captured on it, which share one memory pool (they never overlap)."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool: Any = None
        self._graphs: list[torch.cuda.CUDAGraph] = []  # a replay needs its graph alive
        self._marks: dict[int, torch.cuda.Event] = {}
        self._entered: list[Any] = []

    def host(self, count: int) -> Tensor:
        return torch.zeros(count, pin_memory=True)

    def prepare(self, run: Run) -> Run:
        self.settle()
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UPS):
                run()
        self.stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # thread_local: another engine of this process may use the device meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, stream=self.stream, capture_error_mode="thread_local"):
            run()
        self._pool = graph.pool()
        self._graphs.append(graph)
        return graph.replay

    def mark(self, index: int) -> None:
        if index not in self._marks:
            # external: an event node of the graph, not a dependency that the capture resolves and forgets
            self._marks[index] = torch.cuda.Event(enable_timing=True, external=True)  # type: ignore[no-untyped-call]
        self._marks[index].record(self.stream)

    def laps(self) -> list[float]:
        points = [self._marks[index] for index in sorted(self._marks)]
        return [before.elapsed_time(after) for before, after in itertools.pairwise(points)]

    def wait(self) -> None:
        self.stream.synchronize()

    def settle(self) -> None:
        torch.cuda.synchronize(self.device)

    def __enter__(self) -> None:
        context = torch.cuda.stream(self.stream)
        context.__enter__()  # type: ignore[no-untyped-call]
        self._entered.append(context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.pop().__exit__(kind, error, trace)


def open_lane(device: torch.device) -> Lane:
    """The lane of one device. Any thread."""
    return CudaLane(device) if device.type == "cuda" else HostLane()


@dataclass(frozen=True, slots=True)
class Numerics:
    """Process-wide switches of torch that hold while a pipeline prepares or runs, and are put back after.

    tf32: True or False for products and convolutions of float32 on CUDA; None leaves torch's own (convolutions
    in TF32, products in float32: what an unprepared script gets). autotune: cuDNN times its algorithms for every
    new shape.
    """

    tf32: bool | None = False
    autotune: bool = False

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Set, run the block, put back. Not thread-safe against another holder, as torch's switches are not.

        The older pair of switches on purpose: TorchInductor up to torch 2.12 reads them, and reading them fails
        once their newer names (`fp32_precision`) were written.
        """
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        before = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark)
        cudnn.benchmark = self.autotune
        if self.tf32 is not None:
            cudnn.allow_tf32 = matmul.allow_tf32 = self.tf32
        try:
            yield
        finally:
            cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before

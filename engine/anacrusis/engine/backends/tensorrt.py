# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT-RTX and TensorRT: fp16 plans, one CUDA graph a cycle. Read `tensorrt_pipeline.py` for what a cycle does.

    cuda_device.py    the driver, every result checked       tensorrt_library.py   plans, contexts, their results
    cuda_stream.py    copies, events, the wait               tensorrt_memory.py    where every tensor lies
    cuda_memory.py    two blocks                             tensorrt_pipeline.py  a binding: chains, graphs, cycles
    cuda_graph.py     capture and launch                     runtime_cache.py      TensorRT-RTX's compiled kernels

Plans are built by `anacrusis build`, never here: a plan takes seconds to minutes to build, a song does not wait.
The `embed` graph is small and runs once per noise level through ONNX Runtime on the CPU when a pipeline is bound.

Not covered: building plans, several GPUs, dynamic shapes.
Never run: nothing in these modules has met a GPU. What was run is the whole of it over a double of the driver and
of the library (`device_double` in the benchmarks room), which computes with ONNX Runtime and checks the rules of
capture as the documentation states them. docs/gpu-log.md lists what is to be tried first on a card.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakSet

import numpy as np

from anacrusis.engine.backends.cuda_device import CudaDevice
from anacrusis.engine.backends.runtime_cache import RuntimeCache
from anacrusis.engine.backends.tensorrt_library import Plans, TensorRtRuntime, ours
from anacrusis.engine.backends.tensorrt_memory import Conditioning
from anacrusis.engine.backends.tensorrt_pipeline import TensorRtPipeline
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import AnacrusisError, BackendError, MissingExtraError, PlanMissingError
from anacrusis.engine.paths import plans_directory
from anacrusis.engine.pipeline import Binding
from anacrusis.engine.plans.device import Card, Cards, find_cards
from anacrusis.engine.plans.library import Library, open_library
from anacrusis.engine.plans.lookup import usable_plan
from anacrusis.engine.plans.sidecar import Entry
from anacrusis.engine.plans.store import Store
from anacrusis.engine.plans.targets import candidates, no_plan_for
from anacrusis.engine.plans.wanted import Wanted, encode_plan

LIBRARIES = {"tensorrt-rtx": "rtx", "tensorrt": "tensorrt"}  # rung -> what `anacrusis build` calls it
LEAST_SM = 75


class TensorRtBackend:
    """A bundle over plans that are already built. See `Backend`.

    Threading: `bind` from any thread, one at a time, while earlier pipelines run on theirs.
    """

    binds_at_once = False  # a binding loads plans, compiles and captures: not while a step waits

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: CudaDevice,
        library: Any,
        plans: Plans,
        name: str,
        threads: int = 1,
        cache_file: Path | None = None,
        profile: bool = False,
    ) -> None:
        """plans: (stage, dims) -> the serialised plan; dims as {"stems": 1, "frames": 17}. It raises BackendError
        where it has none. device: opened; no runtime is made without one. cache_file: TensorRT-RTX's runtime
        cache. threads: of `embed` on the CPU. profile: stages run apart, and the name says so.

        Does not check the card against the library's list: `open_tensorrt` does.
        """
        self.name = f"{name}-stages-apart" if profile else name
        self.bundle, self._device, self._profile, self._threads = bundle, device, profile, threads
        self._pipelines: WeakSet[TensorRtPipeline] = WeakSet()
        device.retain()
        try:
            self._runtime = TensorRtRuntime(library, plans, RuntimeCache(cache_file))
        except BaseException:
            device.close()
            raise

    def bind(self, binding: Binding) -> TensorRtPipeline:
        """Allocate, warm up and capture. Raises BackendError: no plan for these sizes, no memory, a refusal."""
        with ours(f"binding {self.name}"):
            pipeline = TensorRtPipeline(
                self._device,
                self._runtime,
                self.bundle.manifest,
                binding,
                self._conditioning(binding),
                stages_apart=self._profile,
            )
        self._pipelines.add(pipeline)
        return pipeline

    def _conditioning(self, binding: Binding) -> Conditioning:
        """`embed` of every row; rows of one noise level share it. In the types the graph gives."""
        from anacrusis.engine.backends.onnxruntime import open_session

        session = open_session(self.bundle.stage("embed"), provider="CPUExecutionProvider", threads=self._threads)
        names = [output.name for output in session.get_outputs()]
        label = np.ascontiguousarray(binding.labels)
        made: dict[float, dict[str, Any]] = {}
        for row in binding.table.rows:
            if row.sigma not in made:
                feeds = {"sigma": np.full(binding.rows, row.sigma, np.float32), "label": label}
                made[row.sigma] = dict(zip(names, session.run(names, feeds), strict=True))
        return [made[row.sigma] for row in binding.table.rows]

    def close(self) -> None:
        """Pipelines that are not closed yet, plans, runtime, runtime cache, then the device. None may be in use."""
        for pipeline in list(self._pipelines):
            pipeline.close()
        self._runtime.close()
        self._device.close()

    def __enter__(self) -> TensorRtBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def probe(library_name: str) -> str | None:
    """None if `library_name` ("tensorrt-rtx" or "tensorrt") can run here, else why not, in one line.

    Asks the driver and looks at the card first, then imports the library; makes no runtime, needs no bundle. Whether
    a bundle has plans is for `open_tensorrt`.
    """
    try:
        _card_and_library(library_name, find_cards())
    except AnacrusisError as error:
        return str(error)
    return None


def load_library(library_name: str) -> Any:
    """The module of a rung's library, whatever the card. Raises BackendError where it cannot be imported."""
    try:
        return open_library(LIBRARIES[library_name], find_cards()).module
    except MissingExtraError as error:
        raise BackendError(str(error)) from None


def open_tensorrt(
    bundle: Bundle,
    library_name: str,
    threads: int,
    *,
    cache: Path | None = None,
    profile: bool = False,
    cards: Cards | None = None,
    library: Library | None = None,
    driver: Any = None,
) -> TensorRtBackend:
    """The backend of a rung over the plans in the cache. Never builds.

    cache: see `plans_directory`. cards, library, driver: found here unless given. Raises PlanMissingError where the
    encoder has no plan for this card (`bind` raises it for the other stages), BackendError or MissingExtraError where
    the library cannot run here at all.
    """
    card, opened = _card_and_library(library_name, cards or find_cards(driver), library)
    directory = plans_directory(cache)
    store = Store(directory)

    def plan(stage: str, dims: Mapping[str, int]) -> bytes:
        entry = _entry(store, bundle, Wanted(stage, tuple(sorted(dims.items()))), opened, card)
        try:
            return entry.path.read_bytes()
        except OSError as error:
            raise PlanMissingError(
                f"{entry.path} cannot be read ({error.strerror}); run {_how(bundle, opened, card)}"
            ) from None

    _entry(store, bundle, encode_plan(bundle.manifest), opened, card)
    return TensorRtBackend(
        bundle,
        device=CudaDevice.open() if driver is None else CudaDevice(driver),
        library=opened.module,
        plans=plan,
        name=library_name,
        threads=threads,
        cache_file=directory / f"kernels-{bundle.hash[:16]}-sm{card.sm}.cache",
        profile=profile,
    )


def _card_and_library(rung: str, cards: Cards, library: Library | None = None) -> tuple[Card, Library]:
    """Raises BackendError or MissingExtraError where the rung cannot run. Imports nothing before a card is found."""
    card = cards.first
    if card is None:
        raise BackendError(cards.reason or "the NVIDIA driver sees no card")
    name = LIBRARIES[rung]
    if name == "rtx" and not candidates(card.sm):
        raise BackendError(no_plan_for(card))
    if card.sm < LEAST_SM:
        raise BackendError(f"{card.name} is sm{card.sm}, TensorRT needs sm{LEAST_SM} or newer")
    return card, library or open_library(name, cards)


def _entry(store: Store, bundle: Bundle, wanted: Wanted, library: Library, card: Card) -> Entry:
    """Raises PlanMissingError, with the command that builds it."""
    entry = usable_plan(store, bundle, wanted, library, card)
    if entry is None:
        raise PlanMissingError(f"no plan for {wanted} on {card.name}: run {_how(bundle, library, card)}")
    return entry


def _how(bundle: Bundle, library: Library, card: Card) -> str:
    """The command. Steps and counts of stems other than the usual ones are the caller's to add."""
    how = f"--target sm{card.sm}" if library.name == "rtx" else f"--library {library.name}"
    return f"`anacrusis build {bundle.path} {how}` with this step and these stems"

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One graph to one plan, in memory: parse, freeze the dimensions, build, and read what was fused.

Nothing here writes a file. Blocks for seconds to minutes; the progress monitor is asked between the library's steps
whether to go on. Peak memory at full size is about three times the plan.

Not covered: full TensorRT was only read, never run, by this project's tests (they have no card).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anacrusis.engine.bundle import Manifest
from anacrusis.engine.errors import PlanError
from anacrusis.engine.plans.layers import Layer, parse_layers
from anacrusis.engine.plans.library import Library
from anacrusis.engine.plans.progress import BuildWatch
from anacrusis.engine.plans.targets import Target
from anacrusis.engine.plans.wanted import Wanted, freeze, input_shapes


class BuildCancelledError(PlanError):
    """The build ended because it was asked to (`BuildWatch.cancel`)."""


@dataclass(frozen=True, slots=True)
class Built:
    """plan: the serialised plan, an object with the buffer protocol. seconds: parsing and building."""

    plan: Any
    layers: tuple[Layer, ...]
    seconds: float


def build_plan(
    library: Library, manifest: Manifest, onnx: Path, wanted: Wanted, target: Target | None, watch: BuildWatch
) -> Built:
    """Build one stage. target: None for full TensorRT, which builds for the card in this machine.

    Raises PlanError, with the library's own reason in one line, and BuildCancelledError. Any one thread.
    """
    trt = library.module
    started_s = time.monotonic()
    logger, monitor = _make_logger(trt), _make_monitor(trt, watch)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    watch.start("Parsing", "")
    if not parser.parse_from_file(str(onnx)):
        raise PlanError(f"{library.title} cannot read {onnx}: {_parser_error(parser, logger.errors)}")
    known = input_shapes(manifest, wanted)
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        tensor.shape = freeze(tensor.name, tuple(tensor.shape), known, wanted)
    config = builder.create_builder_config()
    configure(library, config, target)
    config.progress_monitor = monitor
    watch.finish("Parsing")
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        if watch.cancelled:
            raise BuildCancelledError(f"building {wanted} was cancelled")
        raise PlanError(f"{library.title} cannot build {wanted}: {_one_line(logger.errors) or 'it gives no reason'}")
    return Built(plan, parse_layers(logger.layers), time.monotonic() - started_s)


def configure(library: Library, config: Any, target: Target | None) -> None:
    """Apply `Library.flags` and the target. Raises PlanError where the library refuses one."""
    trt = library.module
    # Layer names in the plan are what a profiler and the list of fused layers show.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # What a graph says is float32 (the STFT, the sampler's state) stays so: TF32 would keep 10 bits of it.
    config.clear_flag(trt.BuilderFlag.TF32)
    # A graph of one stream has no forks to capture; the full-size plans used no other stream anyway.
    config.max_aux_streams = 0
    if library.name != "rtx":
        return
    # A plan that allocates while it runs cannot be captured in a CUDA graph; this makes the build fail instead.
    config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    sms = target.sms if target is not None else ()
    config.num_compute_capabilities = len(sms)
    for index, sm in enumerate(sms):
        capability = getattr(trt.ComputeCapability, f"SM{sm}", None)
        if capability is None or not config.set_compute_capability(capability, index):
            raise PlanError(f"{library.title} {library.version} does not build for sm{sm}; choose another --target")


def _make_logger(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]  # its base exists when the library is open
        """Keeps errors and the list of layers; the other forty thousand lines are dropped."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.layers: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.ERROR):
                self.errors.append(message)
            elif "LayerType: " in message:
                self.layers.append(message)

    return Logger()


def _make_monitor(trt: Any, watch: BuildWatch) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # its base exists when the library is open
        """Passes phases on, and the wish to end back."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            watch.start(phase_name, parent_phase)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return not watch.cancelled

        def phase_finish(self, phase_name: str) -> None:
            watch.finish(phase_name)

    return Monitor()


def _parser_error(parser: Any, errors: Iterable[str]) -> str:
    """The first error with its node and operator: "node conv1 (Conv): ..."."""
    if parser.num_errors < 1:
        return _one_line(errors) or "it gives no reason"
    error = parser.get_error(0)
    name, operator = str(error.node_name()), str(error.node_operator())
    where = f"node {name} ({operator}): " if name or operator else ""
    return where + _one_line([str(error.desc())])


def _one_line(texts: Iterable[str], limit: int = 300) -> str:
    """The first text, on one line."""
    text = " ".join(next(iter(texts), "").split())
    return text if len(text) <= limit else text[: limit - 3] + "..."

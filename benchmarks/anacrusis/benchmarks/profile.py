# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What limits a cycle on ONNX Runtime's CPU provider: its own profile of every stage, by operator and by node.

    anacrusis bench profile [--bundle DIR] [--r .25] [--cycles N] [--top N]

The library records when each kernel began and ended; here those of the cycles after the first are added up per
operator type, and per node for the largest. Profiling costs a little in every kernel, so the shares are what to read;
the times of `table1` are the ones to quote.

GFLOP/s are of convolutions and matrix products only, from the shapes that the profile states: against what the machine
reaches on one large matrix product, measured before (`peak`), they say whether a kernel computes or waits for memory.

Not covered: other providers, and what happens inside a kernel.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from anacrusis.benchmarks.cycles import Music
from anacrusis.benchmarks.record import columns, conditions, publish
from anacrusis.engine.backends.onnxruntime_plain import open_plain
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.engine import Engine
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.ladder import default_threads
from anacrusis.engine.paths import REPOSITORY, SHIPPED_BUNDLE

RESULTS: Final = REPOSITORY / "benchmarks" / "results" / "profile.jsonl"
STAGES: Final = ("encode", "denoise", "decode")
PEAK_SIZE: Final = 1024
PRODUCTS: Final = ("Conv", "ConvTranspose", "MatMul", "Gemm", "FusedConv", "FusedMatMul", "FusedGemm")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One run of one node. shapes: of its inputs and outputs, as the profile says them."""

    stage: str
    node: str
    op: str
    us: float
    inputs: tuple[tuple[int, ...], ...] = ()
    outputs: tuple[tuple[int, ...], ...] = ()

    @property
    def gflop(self) -> float:
        """Of a convolution or product, two a multiply-add; 0 for anything else or without shapes."""
        return work_gflop(self.op, self.inputs, self.outputs)


def work_gflop(op: str, inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]) -> float:
    """Multiply-adds times two, in 1e9. Convolution weights are [out, in / groups, *kernel], a plain layout."""
    if op not in PRODUCTS or len(inputs) < 2 or not outputs:
        return 0.0
    result, weight = outputs[0], inputs[1]
    if "Conv" in op and len(weight) > 2:
        # Transposed: every input value meets [out / groups, *kernel]; else every output value meets [in / groups, ...].
        meets = math.prod(weight[1:])
        return 2e-9 * meets * math.prod(inputs[0] if op == "ConvTranspose" else result)
    if "Conv" in op or not math.prod(result):
        return 0.0
    # Either side may be transposed, so the summed length is found from the sizes: |A| |B| / |C| is its square, times
    # the batch where both sides have one.
    batch = math.prod(result[:-2]) if math.prod(weight[:-2]) > 1 else 1
    inner = math.sqrt(math.prod(inputs[0]) * math.prod(weight) / math.prod(result) / batch)
    return 2e-9 * inner * math.prod(result)


def kernels_of(stage: str, events: Sequence[dict[str, Any]], runs: int) -> list[Kernel]:
    """Of one session's trace: the kernels of its last `runs` runs, in order."""
    whole = sorted(float(e["ts"]) for e in events if e.get("cat") == "Session" and e.get("name") == "model_run")
    since_us = whole[-runs] if len(whole) >= runs else 0.0
    out = []
    for event in events:
        args = event.get("args") or {}
        name = str(event.get("name", ""))
        counts = event.get("cat") == "Node" and name.endswith("_kernel_time") and "op_name" in args
        if counts and float(event["ts"]) >= since_us:
            inputs, outputs = (_shapes(args.get(f"{way}_type_shape")) for way in ("input", "output"))
            node = name.removesuffix("_kernel_time")
            out.append(Kernel(stage, node, str(args["op_name"]), float(event.get("dur", 0)), inputs, outputs))
    return out


def _shapes(said: Any) -> tuple[tuple[int, ...], ...]:
    """[{"float": [1, 64]}, ...] as tuples."""
    shapes = []
    for one in said or []:
        dims: Sequence[Any] = next(iter(one.values()), []) if isinstance(one, dict) else []
        shapes.append(tuple(int(d) for d in dims))
    return tuple(shapes)


def by_operator(kernels: Sequence[Kernel], cycles: int) -> list[dict[str, Any]]:
    """One a stage and operator, the longest first. ms, runs, GFLOP and the share are of one cycle."""
    total_us = sum(kernel.us for kernel in kernels)
    groups: dict[tuple[str, str], list[Kernel]] = {}
    for kernel in kernels:
        groups.setdefault((kernel.stage, kernel.op), []).append(kernel)
    rows = [_row({"stage": stage, "op": op}, found, cycles, total_us) for (stage, op), found in groups.items()]
    return sorted(rows, key=lambda row: -row["ms"])


def by_node(kernels: Sequence[Kernel], cycles: int, top: int) -> list[dict[str, Any]]:
    """The `top` nodes that take longest, with the shapes of the last run."""
    total_us = sum(kernel.us for kernel in kernels)
    groups: dict[tuple[str, str], list[Kernel]] = {}
    for kernel in kernels:
        groups.setdefault((kernel.stage, kernel.node), []).append(kernel)
    rows = []
    for (stage, node), found in groups.items():
        last = found[-1]
        shapes = {"inputs": [list(s) for s in last.inputs[:2]], "outputs": [list(s) for s in last.outputs[:1]]}
        rows.append(_row({"stage": stage, "node": node, "op": last.op, **shapes}, found, cycles, total_us))
    return sorted(rows, key=lambda row: -row["ms"])[:top]


def _row(named: dict[str, Any], found: Sequence[Kernel], cycles: int, total_us: float) -> dict[str, Any]:
    us, gflop = sum(kernel.us for kernel in found), sum(kernel.gflop for kernel in found)
    return {
        **named,
        "ms": round(us / 1e3 / cycles, 3),
        "share": round(us / total_us, 4) if total_us else 0.0,
        "runs": len(found) / cycles,
        "gflop": round(gflop / cycles, 4),
        "gflop_per_s": round(gflop / (us / 1e6), 1) if gflop and us else None,
    }


def peak_gflop_per_s(threads: int, size: int = PEAK_SIZE) -> float | None:
    """What ONNX Runtime reaches on one square float32 product, the best of a few; None without onnx to write it."""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        return None
    from anacrusis.engine.backends.onnxruntime import open_session

    shape = [size, size]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "peak", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with tempfile.TemporaryDirectory(prefix="anacrusis-peak-") as directory:
        path = Path(directory) / "peak.onnx"
        path.write_bytes(model.SerializeToString())
        session = open_session(path, provider="CPUExecutionProvider", threads=threads)
        a = np.random.default_rng(0).standard_normal((size, size), np.float32)
        best_s = math.inf
        for _ in range(6):
            begin = time.perf_counter()
            session.run(None, {"a": a, "b": a})
            best_s = min(best_s, time.perf_counter() - begin)
    return round(2e-9 * size**3 / best_s, 1)


def profile(bundle: Bundle, r: float, cycles: int, threads: int, directory: Path) -> list[Kernel]:
    """Every kernel of `cycles` cycles after one to warm up. Raises AnacrusisError."""
    from anacrusis.engine.backends.onnxruntime import OnnxRuntimeBackend

    backend = OnnxRuntimeBackend(bundle, threads=threads)
    for stage in STAGES:
        backend.sessions[stage] = open_plain(bundle.stage(stage), threads, optimised=True, trace=directory / stage)
    engine = Engine.open(bundle, backend=backend, stems=bundle.manifest.stems[:1], r=r)
    music = Music(bundle.manifest.sample_rate_hz)
    for _ in range(math.ceil(1 / r)):
        engine.hear(music.take(engine.step_samples))
    for _ in range(1 + cycles):
        engine.step(music.take(engine.step_samples))
    engine.close()
    found = []
    for stage in STAGES:
        trace = Path(backend.sessions[stage].end_profiling())
        runs = cycles * (engine.nfe if stage == "denoise" else 1)
        found += kernels_of(stage, json.loads(trace.read_text(encoding="utf-8")), runs)
    return found


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anacrusis bench profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE)
    parser.add_argument("--r", type=float, default=0.25)
    parser.add_argument("--cycles", type=int, default=2, help="after one to warm up (default 2)")
    parser.add_argument("--top", type=int, default=12, help="nodes that are named (default 12)")
    parser.add_argument("--threads", type=int, help="(default: half of the cores)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSONL to append to")
    parser.add_argument("--no-record", action="store_true", help="append to no file")
    return parser


def table(record: dict[str, Any]) -> list[str]:
    """For people: operators, then nodes."""
    lines = [["stage", "operator", "ms", "share", "runs", "GFLOP", "GFLOP/s"]]
    for row in record["operators"][:12]:
        rate = "-" if row["gflop_per_s"] is None else f"{row['gflop_per_s']:.1f}"
        cells = [f"{row['ms']:.1f}", f"{row['share']:.1%}", f"{row['runs']:.0f}", f"{row['gflop']:.2f}", rate]
        lines.append([row["stage"], row["op"], *cells])
    nodes = [["node", "operator", "input, weight -> output", "ms", "share", "GFLOP/s"]]
    for row in record["nodes"]:
        shapes = f"{row['inputs']} -> {row['outputs'][0] if row['outputs'] else '?'}"
        rate = "-" if row["gflop_per_s"] is None else f"{row['gflop_per_s']:.1f}"
        nodes.append(
            [f"{row['stage']}: {row['node']}", row["op"], shapes, f"{row['ms']:.1f}", f"{row['share']:.1%}", rate]
        )
    peak = record["peak_gflop_per_s"]
    said = "not measured (needs onnx)" if peak is None else f"{peak:.1f} GFLOP/s"
    return [*columns(lines, right=(2, 3, 4, 5, 6)), "", *columns(nodes, right=(3, 4, 5)), f"one large product: {said}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """0 it ran, 2 bad input, 130 interrupted (nothing is recorded)."""
    options = build_parser().parse_args(arguments)
    threads = default_threads() if options.threads is None else options.threads
    try:
        if options.cycles < 1 or options.top < 1 or not 0 < options.r < 1:
            raise AnacrusisError("--cycles and --top must be at least 1, and --r between 0 and 1")
        before = conditions(threads)
        bundle = Bundle.open(options.bundle)
        with tempfile.TemporaryDirectory(prefix="anacrusis-profile-") as directory:
            kernels = profile(bundle, options.r, options.cycles, threads, Path(directory))
        record = {
            "benchmark": "profile",
            "bundle": bundle.manifest.name,
            "r": options.r,
            "nfe": bundle.manifest.sampler.table().nfe,
            "precision": bundle.manifest.precision.compute,
            "cycles": options.cycles,
            "warm_up_cycles": 1,
            "kernels_ms": round(sum(kernel.us for kernel in kernels) / 1e3 / options.cycles, 3),
            "peak_gflop_per_s": peak_gflop_per_s(threads),
            "operators": by_operator(kernels, options.cycles),
            "nodes": by_node(kernels, options.cycles, options.top),
            **before,
        }
        print("\n".join(table(record)))
    except AnacrusisError as error:
        print(f"profile: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("profile: interrupted; nothing was recorded", file=sys.stderr)
        return 130
    publish(None if options.no_record else options.out, [record])
    return 0


if __name__ == "__main__":
    sys.exit(main())

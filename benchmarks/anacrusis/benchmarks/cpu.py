# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime against torch eager on a CPU, per stage, and the cycle's own overhead.

The physics: at full size a cycle is 1,486 GFLOP (CD, r = .25), so a CPU is compute-bound and the ratio tells how
well each library's convolutions use it; at tiny size the work is small and the ratio tells what dispatch costs.
Both sides run the same bundle, the same inputs and the same thread count in one process, taking turns, so that
a busy machine slows both. What is reported is the ratio.

The overhead of `cycle.py` is a step's time less the time its pipeline took, with networks that only wait: 20 ms, off
the interpreter's lock, as real ones do (noise for the next cycle is drawn meanwhile, on its own thread).

    python -m anacrusis.benchmarks.cpu [--bundle DIR ...] [--repeats N] [--threads N]

Not covered: GPUs, sockets, energy.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from anacrusis.benchmarks.record import conditions, publish, quantiles_ms
from anacrusis.engine.bundle import Bundle, Manifest
from anacrusis.engine.cycle import Cycle
from anacrusis.engine.ladder import default_threads, open_backend
from anacrusis.engine.noise import PhiloxNoise
from anacrusis.engine.paths import REPOSITORY, TINY_BUNDLE
from anacrusis.engine.pipeline import Binding, CycleInputs, CycleOutputs, Pipeline, StageTimes
from anacrusis.engine.window import Pace, step_from_ratio

RESULTS = REPOSITORY / "benchmarks" / "results" / "cpu.jsonl"
BACKENDS = ("onnxruntime", "torch")
RATIO = 0.25


NETWORKS_S = 0.02


class WaitingPipeline:
    """Networks that only wait, and say how long, so that what is left is the cycle's own work."""

    def __init__(self, manifest: Manifest, binding: Binding) -> None:
        self.inputs = CycleInputs.zeros(manifest, binding)
        self._geometry = manifest.geometry
        self._context = np.zeros((1, *self.inputs.source.shape[1:]), np.float32)
        longest = manifest.geometry.decoded_samples(binding.max_decode_frames)
        self._audio = np.zeros((binding.rows, longest), np.float32)

    def encode(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        return self._context

    def decode_frames(self, wanted: int) -> int:
        return wanted

    def cycle(self, *, generate: bool, decode_first: int, decode_frames: int) -> CycleOutputs:
        begin = time.perf_counter()
        time.sleep(NETWORKS_S)
        audio = self._audio[:, : self._geometry.decoded_samples(decode_frames)]
        times = StageTimes(denoise_ms=(time.perf_counter() - begin) * 1e3)
        return CycleOutputs(self.inputs.source, audio, self._context, times)


class WaitingBackend:
    """See `Backend`."""

    name = "waiting"

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def bind(self, binding: Binding) -> WaitingPipeline:
        return WaitingPipeline(self.bundle.manifest, binding)


def cycle_overhead(bundle: Bundle, r: float, stems: int, steps: int) -> dict[str, Any]:
    """Quantiles of `Cycle.step` less its networks' time, after 20 steps to warm up."""
    manifest = bundle.manifest
    step = step_from_ratio(manifest.geometry.window_samples, r)
    table = manifest.sampler.table()
    pace = Pace(step, step, fade_samples=882)
    cycle = Cycle(WaitingBackend(bundle), manifest.stems[:stems], pace, table, PhiloxNoise(0))
    context = (0.1 * np.random.default_rng(0).standard_normal(step)).astype(np.float32)
    seconds = []
    for index in range(steps + 20):
        host_ms = cycle.step(context).times.host_ms
        if index >= 20:
            seconds.append(host_ms / 1e3)
    cycle.close()
    return {
        "r": r,
        "stems": stems,
        "networks_ms": NETWORKS_S * 1e3,
        "nfe": table.nfe,
        "step_samples": step,
        "overhead_ms": quantiles_ms(seconds),
    }


def compare_stages(bundle: Bundle, threads: int, repeats: int, progress: bool = True) -> dict[str, Any]:
    """Per stage of one cycle at r = .25, one stem: quantiles of both backends, and torch / ONNX Runtime at p50."""
    manifest = bundle.manifest
    geometry, table = manifest.geometry, manifest.sampler.table()
    step = step_from_ratio(geometry.window_samples, RATIO)
    decode_frames = Pace(step, step, 882).max_generated_frames(geometry)
    labels = np.eye(len(manifest.stems), dtype=np.float32)[:1]
    pipelines: dict[str, Pipeline] = {}
    rng = np.random.default_rng(0)
    for name in BACKENDS:
        pipeline = open_backend(bundle, name, threads).bind(Binding(labels, table, decode_frames))
        pipelines[name] = pipeline
    first, *others = pipelines.values()
    for field, scale in (("audio", 0.1), ("source", 1.0), ("noise", 1.0), ("decoder_noise", 1.0)):
        array = getattr(first.inputs, field)
        array[...] = scale * rng.standard_normal(array.shape, dtype=np.float32)
    # As in a live cycle at w = 1: half of the window was heard, the other half is silence.
    first.inputs.audio[:, geometry.window_samples // 2 :] = 0.0
    first.inputs.heard[..., : geometry.window_frames // 2] = 1.0
    first.inputs.keep[..., : geometry.window_frames - decode_frames] = 1.0
    for other in others:
        for field in ("audio", "heard", "keep", "source", "noise", "decoder_noise"):
            getattr(other.inputs, field)[...] = getattr(first.inputs, field)
    times: dict[str, dict[str, list[float]]] = {name: {} for name in BACKENDS}
    outputs = {}
    column = geometry.window_frames - decode_frames
    bar = tqdm(
        total=(repeats + 1) * len(BACKENDS), desc=manifest.name, unit="cycle", file=sys.stderr, disable=not progress
    )
    for index in range(repeats + 1):  # the first of each warms up
        for name in BACKENDS:
            result = pipelines[name].cycle(generate=True, decode_first=column, decode_frames=decode_frames)
            outputs[name] = result.latents.copy()
            for stage in ("encode", "denoise", "decode"):
                if index:
                    times[name].setdefault(stage, []).append(getattr(result.times, f"{stage}_ms") / 1e3)
            bar.update()
    bar.close()
    rows = {}
    for stage in ("encode", "denoise", "decode"):
        both = {name: quantiles_ms(times[name][stage]) for name in BACKENDS}
        rows[stage] = {**both, "torch_over_onnxruntime": round(both["torch"]["p50"] / both["onnxruntime"]["p50"], 3)}
    whole = {name: quantiles_ms(np.sum([times[name][s] for s in rows], axis=0).tolist()) for name in BACKENDS}
    rows["cycle"] = {**whole, "torch_over_onnxruntime": round(whole["torch"]["p50"] / whole["onnxruntime"]["p50"], 3)}
    return {
        "bundle": manifest.name,
        "nfe": table.nfe,
        "decode_frames": decode_frames,
        "encode_whole_window": _whole_window(pipelines["onnxruntime"], repeats),
        "max_abs_latent_difference": float(np.abs(outputs["torch"] - outputs["onnxruntime"]).max()),
        "stages": rows,
    }


def _whole_window(pipeline: Pipeline, repeats: int) -> dict[str, Any]:
    """Encoding a window heard to its end against one that is half silence, ONNX Runtime, taking turns."""
    inputs = pipeline.inputs
    half = {name: getattr(inputs, name).copy() for name in ("audio", "heard")}
    whole = {"audio": np.where(half["audio"] == 0, 0.1, half["audio"]), "heard": np.ones_like(half["heard"])}
    seconds: dict[str, list[float]] = {"whole": [], "half": []}
    for index in range(repeats + 1):
        for name, arrays in (("whole", whole), ("half", half)):
            for field, array in arrays.items():
                getattr(inputs, field)[...] = array
            begin = time.perf_counter()
            pipeline.encode()
            if index:
                seconds[name].append(time.perf_counter() - begin)
    both = {name: quantiles_ms(taken) for name, taken in seconds.items()}
    return {**both, "whole_over_half": round(both["whole"]["p50"] / both["half"]["p50"], 3)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, action="append", help="repeatable (default: the shipped tiny bundle)")
    parser.add_argument("--repeats", type=int, default=10, help="cycles a backend, after one to warm up")
    parser.add_argument("--overhead-steps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--out", type=Path, default=RESULTS, help="JSONL to append to")
    options = parser.parse_args()
    records = []
    for path in options.bundle or [TINY_BUNDLE]:
        bundle = Bundle.open(path)
        result = {"benchmark": "cpu_stages", **compare_stages(bundle, options.threads, options.repeats)}
        records.append({**result, **conditions(options.threads)})
        print(
            f"\n{result['bundle']}: a cycle at r = {RATIO}, one stem, {result['nfe']} NFE, {options.threads} thread(s)"
        )
        print(
            f"{'stage':<8} {'ONNX Runtime p50 / p95 / p99 ms':>34} {'torch p50 / p95 / p99 ms':>34} {'torch/ORT':>10}"
        )
        for stage, row in result["stages"].items():
            cells = [" / ".join(f"{row[name][q]:.1f}" for q in ("p50", "p95", "p99")) for name in BACKENDS]
            print(f"{stage:<8} {cells[0]:>34} {cells[1]:>34} {row['torch_over_onnxruntime']:>10.2f}")
        whole = result["encode_whole_window"]
        print(
            f"encode of a window heard to its end: p50 {whole['whole']['p50']:.1f} ms, "
            f"{whole['whole_over_half']:.2f} times one that is half silence"
        )
    bundle = Bundle.open((options.bundle or [TINY_BUNDLE])[0], verify=False)
    print("\noverhead of the cycle outside the networks, per step (goal: p99 at most 1 ms at r = .25)")
    for r in (0.25, 0.0625, 1 / 64):
        for stems in (1, 4):
            row = cycle_overhead(bundle, r, stems, options.overhead_steps)
            records.append({"benchmark": "cycle_overhead", **row, **conditions(1)})
            figures = ", ".join(f"{name} {row['overhead_ms'][name]:.3f}" for name in ("p50", "p95", "p99", "max"))
            print(f"r {r:<8.4g} {stems} stem(s), {row['nfe']} NFE: {figures} ms")
    publish(options.out, records)
    return 0


if __name__ == "__main__":
    sys.exit(main())

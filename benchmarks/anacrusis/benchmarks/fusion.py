# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What TensorRT-RTX fuses the full-size float16 stages into: kernels per stage and card, counted without a card.

    python -m anacrusis.benchmarks.fusion [--stage denoise ...] [--target sm89 ...] [--frames 16 --frames 1] [--write]

Every kernel is a launch, so fewer of them is less time between the products that do the work; which of two lists is
faster only a card can tell. The networks have the released sizes and arbitrary weights (drawn in a second: their
values do not change what is fused). The lists for SM 89 are kept beside this file's results, one line a kernel, to be
reviewed when they change: `--write` replaces them. Exit code 1 where a kept list differs, or where a convolution or
product computes in float32 outside the transforms. The last line of stdout is JSON.

Not covered: how long a kernel takes (docs/gpu-log.md lists that).
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch

from anacrusis.benchmarks.record import append_jsonl, conditions
from anacrusis.engine.bundle import Manifest, Precision
from anacrusis.engine.networks.stages import Networks
from anacrusis.engine.paths import REPOSITORY
from anacrusis.engine.plans.build import build_plan
from anacrusis.engine.plans.device import find_cards
from anacrusis.engine.plans.layers import Layer, float32_compute, histogram
from anacrusis.engine.plans.library import open_library
from anacrusis.engine.plans.memory import peak_memory_bytes
from anacrusis.engine.plans.progress import BuildWatch
from anacrusis.engine.plans.targets import CHOICES, parse_target
from anacrusis.engine.plans.wanted import Wanted, decode_plan, denoise_plan, encode_plan
from anacrusis.export.export import GEOMETRY, SEEDED, manifest_of
from anacrusis.export.graphs import stage_specs, stage_to_onnx
from anacrusis.export.seeded import empty_networks

KEPT = REPOSITORY / "benchmarks" / "layers"
RESULTS = REPOSITORY / "benchmarks" / "results" / "fusion.jsonl"
STAGES = ("encode", "denoise", "decode")
FRAMES = (16, 1)
KEPT_TARGET = "sm89"
# The transforms are float32 on purpose: their powers span 90 dB.
FLOAT32_ALLOWED = ("stft/*", "istft/*")
# A plain float16 export of the same networks, before anything was rewritten for fusion: SM 89, 1.7.1, 17 frames.
BEFORE: dict[str, int] = json.loads((KEPT / "before.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Fused:
    """One stage built for one target."""

    wanted: Wanted
    target: str
    layers: tuple[Layer, ...]
    seconds: float
    plan_bytes: int

    @property
    def name(self) -> str:
        """As the kept list is called: "decode-16-sm89"."""
        frames = dict(self.wanted.dims).get("frames")
        return "-".join([self.wanted.stage, *([str(frames)] if self.wanted.stage == "decode" else []), self.target])

    @property
    def float32(self) -> tuple[Layer, ...]:
        """Convolutions and products in float32 that should not be."""
        return float32_compute(self.layers, FLOAT32_ALLOWED)

    def lines(self) -> list[str]:
        """One kernel a line: type, result's type and shape, what it computes. Nothing that a rebuild may renumber."""
        return [_line(layer) for layer in self.layers]

    def difference(self) -> list[str]:
        """Unified diff against the kept list; empty where it is the same or none is kept for this target."""
        path = KEPT / f"{self.name}.txt"
        if not path.is_file():
            return [f"{path} is missing"] if self.target == KEPT_TARGET else []
        kept = path.read_text(encoding="utf-8").splitlines()
        return list(difflib.unified_diff(kept, self.lines(), str(path), "built", lineterm="", n=1))


def _line(layer: Layer) -> str:
    out = layer.outputs[0] if layer.outputs else None
    shape = "x".join(map(str, out.dims)) if out else "-"
    nodes = list(dict.fromkeys(re.sub(r"_\d+$", "", node) for node in layer.onnx))
    shown = ", ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
    kernel = re.sub(r"_myl\d+_\d+$", "", layer.name)
    kernel = "" if not kernel.startswith("_") else re.sub(r"__mye\d+", "__mye", kernel)
    return "\t".join([layer.type, out.dtype if out else "-", shape, kernel, shown]).rstrip()


def full_size_networks() -> Networks:
    """The released sizes; weights uniform and small, drawn in about a second."""
    generator = torch.Generator().manual_seed(0)
    networks = empty_networks("full")
    with torch.no_grad():
        for tensor in networks.state().values():
            low, high = (-0.02, 0.02) if tensor.dim() > 1 else (0.5, 1.5)
            tensor.uniform_(low, high, generator=generator)
    return networks


def export_stages(networks: Networks, stages: Sequence[str], directory: Path, report: Callable[[str], None]) -> None:
    """Write `<stage>.onnx` for each, float16."""
    for spec in stage_specs(networks, GEOMETRY, torch.float16):
        if spec.name in stages:
            report(f"trace {spec.name}")
            model = stage_to_onnx(spec)
            ir.save(model, directory / f"{spec.name}.onnx", external_data=f"{spec.name}.weights")


def fuse(
    stages: Sequence[str], targets: Sequence[str], frames: Sequence[int], report: Callable[[str], None]
) -> Iterator[Fused]:
    """Export, then build every stage for every target."""
    library = open_library("rtx", find_cards())
    networks = full_size_networks()
    manifest: Manifest = manifest_of(networks, "fusion", "cd", Precision("float16", "float16"), SEEDED, {})
    with tempfile.TemporaryDirectory() as folder:
        export_stages(networks, stages, Path(folder), report)
        del networks
        for stage in stages:
            wanted = {"encode": [encode_plan(manifest)], "denoise": [denoise_plan(1)]}
            for plan in wanted.get(stage, [decode_plan(1, count) for count in frames]):
                for name in targets:
                    report(f"build {plan} {name}")
                    (target,) = parse_target(name, None)
                    onnx = Path(folder) / f"{stage}.onnx"
                    built = build_plan(library, manifest, onnx, plan, target, BuildWatch(0.0))
                    yield Fused(plan, name, built.layers, built.seconds, memoryview(built.plan).nbytes)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", action="append", choices=STAGES, help="default: all three")
    targets = [choice for choice in CHOICES if choice.startswith("sm")]
    parser.add_argument("--target", action="append", choices=targets, help="default: sm75, sm86, sm89 and sm120")
    parser.add_argument("--frames", action="append", type=int, help="of the decoder (default: 16 and 1)")
    parser.add_argument("--write", action="store_true", help="replace the kept lists: review the difference")
    parser.add_argument("--no-record", action="store_true", help="append nothing to benchmarks/results")
    options = parser.parse_args(arguments)
    begin = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - begin:7.1f} s  {line}", file=sys.stderr, flush=True)

    wrong = 0
    results: list[dict[str, Any]] = []
    print(f"{'stage':<26}{'target':<8}{'kernels':>8}{'before':>8}{'moves':>7}{'float32':>9}{'build s':>9}{'MB':>8}")
    chosen = options.target or ["sm75", "sm86", "sm89", "sm120"]
    for fused in fuse(options.stage or STAGES, chosen, options.frames or FRAMES, report):
        moves = sum(layer.name.startswith("__myl_Move_") for layer in fused.layers)
        result = {
            "stage": fused.wanted.stage,
            "dims": dict(fused.wanted.dims),
            "target": fused.target,
            "kernels": len(fused.layers),
            "counter_resets": moves,
            "types": histogram(fused.layers),
            "float32": len(fused.float32),
            "build_s": round(fused.seconds, 1),
            "plan_bytes": fused.plan_bytes,
        }
        results.append(result)
        print(
            f"{fused.wanted!s:<26}{fused.target:<8}{len(fused.layers):>8}{BEFORE[fused.wanted.stage]:>8}{moves:>7}"
            f"{len(fused.float32):>9}{fused.seconds:>9.1f}{fused.plan_bytes / 1e6:>8.1f}",
            flush=True,
        )
        for layer in fused.float32:
            wrong += 1
            print(f"  float32: {layer.name} {', '.join(layer.onnx)}")
        if options.write and fused.target == KEPT_TARGET:
            KEPT.mkdir(exist_ok=True)
            (KEPT / f"{fused.name}.txt").write_text("\n".join(fused.lines()) + "\n", encoding="utf-8")
        elif difference := fused.difference():
            wrong += 1
            print("\n".join(difference[:40]))
    peak = peak_memory_bytes()
    record = {
        **conditions(0, ("torch", "onnxscript", "tensorrt-rtx-cu13-bindings")),
        "total_s": round(time.monotonic() - begin, 1),
        "peak_memory_bytes": peak,
        "results": results,
    }
    print(f"total {record['total_s']} s, peak memory {(peak or 0) / 1e9:.1f} GB, {wrong} wrong")
    if not options.no_record:
        append_jsonl(RESULTS, record)
    print(json.dumps(record, separators=(",", ":")))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

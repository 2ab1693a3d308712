# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What is measured on a GPU, one function an item; `gpu.py` runs each in a process of its own.

The physics: a consistency cycle at full size is 1,486 Gflop (one stem, two evaluations, 17 columns decoded), nearly all
convolution, at batch 1: a large card is bound by launches and by how well its library's convolutions fill it, a small
one by arithmetic. So what is compared is the same cycle through every way there is, in one process, taking turns,
and the arithmetic done as a share of what a large matrix product reaches on that card in that process.

Every record carries its conditions; what could not be run is a record too, with the reason. Nothing is estimated.

Not covered: sound quality (seeded networks sound like noise), power, several cards.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anacrusis.benchmarks import gpu_subjects as subjects
from anacrusis.benchmarks.gpu_run import STAGES, Bound, Run, measure, quantiles, snr_db
from anacrusis.benchmarks.gpu_subjects import NotRunError, open_way
from anacrusis.engine.sampler import SamplerTable


def frames_of(run: Run, step_frames: int) -> int:
    """Columns decoded for a step: one more, for the taper. A dry run decodes few."""
    return (min(step_frames, 2) if run.setting.dry_run else step_frames) + 1


# -- items --------------------------------------------------------------------------------------------------


def weights(run: Run) -> None:
    """Draw the full-size networks once."""
    begin = time.monotonic()

    def draw() -> dict[str, Any]:
        subjects.draw_weights(run.setting)
        return {"seconds": round(time.monotonic() - begin, 2)}

    run.attempt("draw", draw)


def rtx(run: Run, name: str, target: str) -> None:
    """Does the library run on this card at all: build, run, capture, on the tiny networks."""
    subject = subjects.tiny_subject()
    table = subject.bundle.manifest.sampler.table()
    built: subjects.Built = {}
    steps = (("build and run", True), ("capture and run", False))
    for step, apart in steps if target == "default" else run.ways(steps, steps[1:]):

        def work(apart: bool = apart) -> dict[str, Any]:
            begin = time.monotonic()
            backend = subjects.tensorrt(name, target, apart=apart, built=built)(subject, run.setting)
            bound = Bound.make(run, name, subject, table, 1, frames_of(run, 2), backend)
            bound_s = round(time.monotonic() - begin, 2)
            try:
                made = bound.cycle()
                peak = float(np.abs(made.audio).max())
                if not np.isfinite(made.latents).all() or not peak:
                    raise NotRunError("it ran, but what came out is not finite or is silence")
                return {
                    **measure(run, bound, run.count(20), run.warm_ups(2), 0.3 * run.left()),
                    "bind_s": bound_s,
                    "audio_peak": peak,
                }
            finally:
                bound.close()

        if not run.attempt(name, work, target=target, step=step, bundle=subject.name):
            return


PARITY = ("graph-fp16", "eager-fp32-strict", "eager-fp16", "eager-fp32", "onnxruntime-cuda", "tensorrt-rtx", "tensorrt")


def parity(run: Run, size: str, ways: Sequence[str]) -> None:
    """Every way against float32 on the CPU, on the same noise: dB over the generated columns, and the audio."""
    subject = subjects.tiny_subject() if size == "tiny" else subjects.full_subject(run.setting)
    table = subject.bundle.manifest.sampler.table()
    decoded = frames_of(run, 16)

    def outputs(way: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        bound = Bound.make(run, way, subject, table, 1, decoded)
        try:
            made = bound.cycle()
            return made.latents[:, :, 1 - decoded :].copy(), made.audio.copy()
        finally:
            bound.close()

    reference: list[np.ndarray[Any, Any]] = []
    about = {"bundle": subject.name, "nfe": table.nfe, "decode_frames": decoded}

    def oracle() -> dict[str, Any]:
        reference.extend(outputs("oracle"))
        return {"precision": "float32"}

    if not run.attempt("oracle", oracle, **about):
        return
    for way in ways:

        def work(way: str = way) -> dict[str, Any]:
            latents, audio = outputs(way)
            return {
                "latent_snr_db": snr_db(reference[0], latents),
                "audio_snr_db": snr_db(reference[1], audio),
                "not_finite": int((~np.isfinite(latents)).sum() + (~np.isfinite(audio)).sum()),
            }

        run.attempt(way, work, precision=subjects.WAYS[way].precision, **about)


RATIOS = (
    "eager-fp32",
    "graph-fp16",
    "launches-fp16",
    "eager-fp16",
    "graph-fp16-nchw",
    "eager-fp16-nhwc",
    "onnxruntime-cuda",
)


def peak_tflops(run: Run) -> float:
    """What a large float16 matrix product reaches here (random values: zeros run faster than data)."""
    import torch

    if run.setting.device == "cuda" and not torch.cuda.is_available():
        raise NotRunError("torch sees no CUDA device")
    side = 128 if run.setting.dry_run else 8192
    dtype = torch.float32 if run.setting.dry_run else torch.float16
    a, b = (torch.randn(side, side, device=run.setting.device).to(dtype) for _ in range(2))
    rates = []
    for index in range(1 + run.count(30)):
        if run.setting.device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(4):
            a @ b
        if run.setting.device == "cuda":
            torch.cuda.synchronize()
        if index >= 1:
            rates.append(4 * 2 * side**3 / (time.perf_counter() - begin) / 1e12)
    return statistics.median(rates)


def ratios(run: Run, ways: Sequence[str], cycles: int = 40) -> None:
    """The same cycle through every way, taking turns; each against eager float32, and its share of the card's peak."""
    subject = subjects.full_subject(run.setting)
    table, decoded = subject.bundle.manifest.sampler.table(), frames_of(run, 16)
    about = {"bundle": subject.name, "nfe": table.nfe, "stems": 1, "decode_frames": decoded}
    peak: list[float] = []

    def reach() -> dict[str, Any]:
        peak.append(peak_tflops(run))
        return {"tflops": round(peak[0], 2), "what": "float16 matrix product"}

    run.attempt("peak", reach)
    bounds: dict[str, Bound] = {}
    for way in ways:

        def bind(way: str = way) -> dict[str, Any]:
            begin = time.monotonic()
            bound = Bound.make(run, way, subject, table, 1, decoded)
            bound.warm(run.warm_ups(5))
            bounds[way] = bound
            return {"bind_and_warm_s": round(time.monotonic() - begin, 2)}

        if run.left() > 0.3 * run.seconds or not bounds:
            run.attempt(way, bind, step="bind", precision=subjects.WAYS[way].precision, **about)
        else:
            run.record("not run", way=way, reason="no time left in this item", **about)
    taken: dict[str, list[tuple[float, dict[str, float]]]] = {way: [] for way in bounds}
    for _ in range(run.count(cycles)):
        for way, bound in bounds.items():
            taken[way].append(bound.timed())
        if run.left() < 0.1 * run.seconds and not run.setting.dry_run:
            break
    medians = {way: statistics.median(whole for whole, _ in each) for way, each in taken.items()}
    for way, each in taken.items():
        gflop = subjects.cycle_gflop(1, table.nfe, decoded) if subject.is_full else None
        tflops = gflop / medians[way] if gflop else None
        base = medians.get(ways[0])
        run.record(
            "ok",
            way=way,
            step="cycles",
            precision=subjects.WAYS[way].precision,
            **about,
            warm_ups=run.warm_ups(5),
            cycle_ms=quantiles([whole for whole, _ in each]),
            stages_ms={stage: quantiles([stages[stage] for _, stages in each]) for stage in STAGES},
            speedup_over={ways[0]: round(base / medians[way], 3)} if base else None,
            tflops=round(tflops, 2) if tflops else None,
            share_of_peak=round(tflops / peak[0], 4) if tflops and peak else None,
        )
    for bound in bounds.values():
        bound.close()


def grid(run: Run, way: str) -> None:
    """One way over evaluations, step and stems: cycle and stages."""
    subject = subjects.full_subject(run.setting)
    backend = open_way(way, subject, run.setting)
    cases = [
        (2, 16, 1),
        (2, 8, 1),
        (2, 4, 1),
        (2, 2, 1),
        (2, 1, 1),
        (2, 16, 4),
        (2, 1, 4),
        (1, 16, 1),
        (10, 16, 1),
        (16, 16, 1),
    ]
    if run.setting.dry_run:
        cases = [(2, 2, 1), (1, 1, 2)]
    for index, (nfe, step_frames, stems) in enumerate(cases):
        share = run.left() / (len(cases) - index)
        table, decoded = subject.bundle.manifest.sampler.table(nfe), frames_of(run, step_frames)
        about = {
            "bundle": subject.name,
            "precision": subjects.WAYS[way].precision,
            "nfe": table.nfe,
            "step_frames": step_frames,
            "stems": stems,
            "decode_frames": decoded,
        }

        def work(
            table: SamplerTable = table, stems: int = stems, decoded: int = decoded, share: float = share
        ) -> dict[str, Any]:
            if share < 0.5 and not run.setting.dry_run:
                raise NotRunError("no time left in this item")
            begin = time.monotonic()
            bound = Bound.make(run, way, subject, table, stems, decoded, backend)
            left = share - (time.monotonic() - begin)
            return measure(run, bound, run.count(30), run.warm_ups(5), left)

        run.attempt(way, work, **about)


def soak(run: Run, way: str, wanted: int = 10_000) -> None:
    """Many cycles in a row: the tail. As many as fit, and the record says how many were wanted."""
    subject = subjects.full_subject(run.setting)
    table, decoded = subject.bundle.manifest.sampler.table(), frames_of(run, 16)
    about = {"bundle": subject.name, "nfe": table.nfe, "stems": 1, "decode_frames": decoded, "wanted_cycles": wanted}

    def work() -> dict[str, Any]:
        bound = Bound.make(run, way, subject, table, 1, decoded)
        bound.warm(run.warm_ups(20))
        taken: list[float] = []
        begin = time.monotonic()
        while len(taken) < (3 if run.setting.dry_run else wanted) and (run.left() > 5 or run.setting.dry_run):
            taken.append(bound.timed()[0])
        if not taken:
            raise NotRunError("no time left in this item")
        return {
            "cycle_ms": quantiles(taken),
            "warm_ups": run.warm_ups(20),
            "seconds": round(time.monotonic() - begin, 1),
        }

    run.attempt(way, work, precision=subjects.WAYS[way].precision, **about)


def export(run: Run) -> None:
    """Full-size graphs in float16 for the rungs that need a file; unverified, as parity is measured here."""
    out = run.setting.scratch / "full-cd-fp16"
    if run.setting.dry_run or run.setting.onnx is not None:
        run.record("not run", way="export", reason="a bundle is there")
        return

    def work() -> dict[str, Any]:
        try:
            from anacrusis.export.export import Options, export_seeded
        except ImportError as error:
            raise NotRunError(f"wheel missing: {error}") from None
        begin = time.monotonic()
        options = Options(precision="fp16", verify=False)
        export_seeded("full", "cd", subjects.SEED, out, options=options, report=lambda line: None)
        return {"seconds": round(time.monotonic() - begin, 1), "path": str(out)}

    run.attempt("export", work)


ITEMS: dict[str, Callable[[Run], None]] = {
    "weights": weights,
    "rtx-default": lambda run: rtx(run, "tensorrt-rtx", "default"),
    "rtx-current": lambda run: rtx(run, "tensorrt-rtx", "current"),
    "rtx-sm80": lambda run: rtx(run, "tensorrt-rtx", "sm80"),
    "tensorrt-tiny": lambda run: rtx(run, "tensorrt", "current"),
    "parity-tiny": lambda run: parity(run, "tiny", run.ways(PARITY, ("graph-fp16", *PARITY[4:]))),
    "ratios": lambda run: ratios(run, RATIOS),
    "grid": lambda run: grid(run, "graph-fp16"),
    "parity-full": lambda run: parity(run, "full", run.ways(PARITY[:5], ("graph-fp16",))),
    "soak": lambda run: soak(run, "graph-fp16"),
    "compile-graph": lambda run: ratios(
        run, run.ways(("eager-fp32", "graph-fp16", "compile-graph-fp16"), ("compile-graph-fp16",)), 30
    ),
    "compile": lambda run: ratios(run, run.ways(("eager-fp32", "compile-fp16"), ("compile-fp16",)), 30),
    "export": export,
    "onnxruntime-full": lambda run: ratios(
        run, run.ways(("eager-fp32", "graph-fp16", "onnxruntime-cuda"), ("onnxruntime-cuda",)), 30
    ),
    "tensorrt-full": lambda run: ratios(
        run, run.ways(("eager-fp32", "graph-fp16", "tensorrt-rtx", "tensorrt"), ("tensorrt-rtx",)), 30
    ),
}

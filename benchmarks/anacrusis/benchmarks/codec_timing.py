# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a codec costs a live cycle: encode a window of context and decode a step of 16 frames, through ONNX Runtime.

All stages of all codecs are exported, opened in one process with as many threads as asked, and take turns, so that a
busy machine slows all alike. The unit is the step's own time, 16 * 4096 samples = 1.486 s. A step of 16 frames decodes
more than 16: its taper, and what the player's crossfade needs (`Pace.max_decoded_frames`).

Not covered: the networks between, GPUs, float16.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from anacrusis.benchmarks.codec_subjects import (
    FRAME_SAMPLES,
    STEP_FRAMES,
    WINDOW_FRAMES,
    Audio,
    Graph,
    Subject,
)
from anacrusis.benchmarks.record import quantiles_ms
from anacrusis.engine.window import Geometry, Pace
from anacrusis.train.song import SAMPLE_RATE_HZ

STEP_S: Final = STEP_FRAMES * FRAME_SAMPLES / SAMPLE_RATE_HZ
FADE_SAMPLES: Final = 882
LIMIT: Final = 0.15


def decode_frames(taper_frames: int) -> int:
    """How many frames a step of 16 decodes, the step starting on a frame or anywhere."""
    geometry = Geometry(FRAME_SAMPLES, WINDOW_FRAMES, 0, taper_frames * FRAME_SAMPLES)
    step = STEP_FRAMES * FRAME_SAMPLES
    return Pace(step, step, FADE_SAMPLES).max_decoded_frames(geometry)


def measure(
    subjects: Sequence[Subject], threads: int, repeats: int, latents: Mapping[str, Audio] | None = None
) -> list[dict[str, Any]]:
    """One record a codec: milliseconds of each stage, and their sum as a share of the step's time (`rtf`).

    latents: codec -> latent [64, many frames] of music, whose last frames are decoded; noise where there is none.
    """
    runs: dict[tuple[str, str], Callable[[], None]] = {}
    frames = {subject.name: decode_frames(subject.taper_frames) for subject in subjects}
    for subject in subjects:
        for stage, graph in sorted(subject.graphs(frames[subject.name]).items()):
            music = (latents or {}).get(subject.name) if stage == "decode" else None
            runs[subject.name, stage] = _session(graph, threads, music)
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for index in range(repeats + 2):  # two of each warm up
        for key, run in runs.items():
            begin = time.perf_counter()
            run()
            if index >= 2:
                seconds[key].append(time.perf_counter() - begin)
    records = []
    for subject in subjects:
        own = {stage: seconds[subject.name, stage] for stage in ("encode", "decode") if (subject.name, stage) in runs}
        total = np.sum(list(own.values()), axis=0)
        quantiles = quantiles_ms(total)
        records.append(
            {
                "codec": subject.name,
                "decoded_frames": frames[subject.name],
                "step_s": round(STEP_S, 4),
                **{f"{stage}_ms": quantiles_ms(times) for stage, times in own.items()},
                "missing": [stage for stage in ("encode", "decode") if stage not in own],
                "rtf": {name: round(quantiles[name] / 1e3 / STEP_S, 4) for name in ("p50", "p95", "p99")},
            }
        )
    return records


def _session(graph: Graph, threads: int, music: Audio | None) -> Callable[[], None]:
    import onnxruntime as ort
    import torch

    from anacrusis.export.graphs import to_onnx

    model = to_onnx(graph.module, graph.example)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(_bytes(model), options, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    values = [(x + 0.3 * torch.randn(x.shape, generator=generator)).numpy() for x in graph.example]
    if music is not None:
        values = [np.ascontiguousarray(music[None, :, -values[0].shape[2] :])]
    feed = {i.name: value for i, value in zip(session.get_inputs(), values, strict=True)}

    def run() -> None:
        session.run(None, feed)

    return run


def _bytes(model: Any) -> bytes:
    import onnx_ir as ir

    return bytes(ir.to_proto(model).SerializeToString())

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU as no rung runs it: the graphs as they were exported, nothing fused, folded or left out.

An oracle and a yardstick where torch does not know a bundle's networks. The rung's own settings are in
`onnxruntime.py`; those that change what is measured are repeated here. Not covered: playing, for which it is too slow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anacrusis.engine.backends.onnxruntime import OnnxRuntimeBackend
from anacrusis.engine.bundle import STAGES, Bundle


def open_plain(path: Path, threads: int, *, optimised: bool = False, trace: Path | None = None) -> Any:
    """An InferenceSession. trace: prefix of the file that `end_profiling` writes; None: no trace."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    settings.enable_mem_pattern, settings.log_severity_level = False, 3
    settings.add_session_config_entry("session.set_denormal_as_zero", "1")
    if not optimised:
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if trace is not None:
        settings.enable_profiling, settings.profile_file_prefix = True, str(trace)
    return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])


class PlainGraphs(OnnxRuntimeBackend):
    """Operation by operation, the whole window encoded."""

    def __init__(self, bundle: Bundle, *, threads: int, name: str = "onnxruntime-plain") -> None:
        super().__init__(bundle, threads=threads, name=name)
        self.sessions = {stage: open_plain(bundle.stage(stage), threads) for stage in STAGES}

    def silent_frames(self) -> int | None:
        """None: nothing is left out of a window."""
        return None

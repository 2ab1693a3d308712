# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""An ONNX Runtime session of the CPU rung's kind with one thing changed: a trace, or no optimisation.

The rung's own settings are in `engine/backends/onnxruntime.py`; those that change what is measured are repeated here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


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

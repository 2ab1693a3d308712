# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What several rooms' tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# No claim here is about time, and two processes on two cores may stall a short example for a second.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# Two test processes share two cores: a thread pool in each would make both slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ANACRUSIS_THREADS", "1")

# A shell that starts the tests in its background has them ignore Ctrl-C, and so would every command they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The seeded bundle that ships in the repository."""
    return REPOSITORY / "bundles" / "tiny-cd"


@pytest.fixture(scope="session")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle whose networks copy exactly."""
    from anacrusis.export.copying import write_copying_bundle

    out = tmp_path_factory.mktemp("bundles") / "copying"
    write_copying_bundle(out)
    return out


@pytest.fixture(scope="session")
def golden() -> Path:
    """Inputs and outputs of the original networks; not part of the repository."""
    path = Path(os.environ.get("ANACRUSIS_GOLDEN", REPOSITORY.parent / "shared" / "golden" / "public"))
    if not (path / "manifest.json").is_file():
        pytest.skip("needs the golden arrays: set ANACRUSIS_GOLDEN")
    return path


@pytest.fixture(scope="module")
def subnormals() -> None:
    """The smallest floats are there: a session of ONNX Runtime opened earlier in this process switches them off."""
    torch = pytest.importorskip("torch")
    torch.set_flush_denormal(False)


class Silent:
    """A noise source of zeros, for tests whose networks ignore noise."""

    def latents(self, stem: int, cycle: int, out: np.ndarray) -> None:
        out[...] = 0.0

    def frames(self, stem: int, first_frame: int, out: np.ndarray) -> None:
        out[...] = 0.0


@pytest.fixture(scope="session")
def silent() -> Silent:
    return Silent()

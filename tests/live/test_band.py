# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Several stems at once are a band: one batch, each stem its own latents, noise and reply."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .harness import Duo


def test_each_stem_has_its_own_reply(tiny: Path) -> None:
    s = 16 * 4096
    with Duo(tiny, 4 * s) as duo:
        duo.buffer[:, 3] = np.random.default_rng(0).uniform(-0.3, 0.3, 4 * s)
        duo.load(flags=(1, 1, 0, 0))
        duo.step(s)
        bass, drums = duo.buffer[2 * s : 3 * s, 0], duo.buffer[2 * s : 3 * s, 1]
        assert np.abs(bass).max() > 1e-3
        assert np.abs(bass - drums).max() > 1e-3
        assert duo.server.worker.settle(20.0)
        assert duo.server.counters.answered == 1


def test_a_stem_that_stays_keeps_its_history_when_another_joins(tiny: Path) -> None:
    s = 8 * 4096
    with Duo(tiny, 6 * s) as duo:
        duo.buffer[:, 3] = np.random.default_rng(0).uniform(-0.3, 0.3, 6 * s)
        duo.load(r=0.125)
        duo.step(s)
        duo.external.set_predict_instruments([1, 0, 1, 0])
        duo.step(2 * s)
        assert duo.buffer[3 * s : 4 * s, 2].any()
        assert duo.buffer[2 * s : 4 * s, 0].any()
        assert duo.server.session.assembler.epoch == 1

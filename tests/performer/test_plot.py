# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The picture of a run is drawn, whatever the run was, or refused in one line."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from anacrusis.engine.errors import AudioError, MissingExtraError
from anacrusis.performer.plot import plot_simulation, require_drawable
from anacrusis.performer.simulate import Simulation, StepRecord

STEP, TIMES = 4096, {"encode_ms": 1.0, "denoise_ms": 5.0, "decode_ms": 2.0, "host_ms": 0.5}
needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib: pip install 'anacrusis[plot]'"
)


def a_run(stems: tuple[str, ...] = ("bass",), lead: int = 4096, latent_frames: int = 5, steps: int = 5) -> Simulation:
    rng = np.random.default_rng(1)
    return Simulation(
        audio=rng.uniform(-1, 1, (len(stems), steps * STEP)).astype(np.float32),
        steps=tuple(
            StepRecord(STEP * i, STEP * i + lead, STEP, 2, 1, 1, 1, TIMES, sum(TIMES.values()))
            for i in range(1, steps + 1)
        ),
        latents=rng.standard_normal((64, latent_frames)).astype(np.float32),
        sample_rate_hz=44100,
        step_samples=STEP,
        lead_samples=lead,
        fade_samples=882,
        stems=stems,
    )


def draw(path: Path, run: Simulation) -> bytes:
    plot_simulation(path, run, run.audio[0], "a run")
    return path.read_bytes()


@needs_matplotlib
@pytest.mark.parametrize("suffix", [".png", ".svg", ".PNG"])
def test_the_suffix_decides(tmp_path: Path, suffix: str) -> None:
    data = draw(tmp_path / f"run{suffix}", a_run())
    assert [path.name for path in tmp_path.iterdir()] == [f"run{suffix}"]
    if suffix == ".svg":
        assert ElementTree.fromstring(data).tag.endswith("svg")
    else:
        assert data.startswith(b"\x89PNG\r\n\x1a\n")


@needs_matplotlib
@pytest.mark.parametrize(
    "run",
    [
        a_run(("bass", "drums", "piano")),
        a_run(lead=0),
        a_run(lead=-4096),
        a_run(latent_frames=0),
        a_run(steps=1),
    ],
    ids=["three stems", "no lead", "retrospective", "no latents", "one step"],
)
def test_every_kind_of_run_is_drawn(tmp_path: Path, run: Simulation) -> None:
    data = draw(tmp_path / "run.png", run)
    height = int.from_bytes(data[20:24], "big")
    rows = 2 + len(run.stems) + bool(run.latents.size)
    assert height == pytest.approx(1.9 * rows * 110, abs=1)


@needs_matplotlib
def test_a_click_is_not_lost_to_decimation(tmp_path: Path) -> None:
    """One sample of 200,000 that is not zero changes the picture."""
    silence = np.zeros(200_000, np.float32)
    click = silence.copy()
    click[123_456] = 1.0
    pictures = []
    for context in (silence, silence, click):
        plot_simulation(tmp_path / "run.png", a_run(), context, "a run")
        pictures.append((tmp_path / "run.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize("name", ["run.xyz", "run", "run.wav"])
def test_an_unknown_suffix(tmp_path: Path, name: str) -> None:
    for attempt in (require_drawable, lambda path: plot_simulation(path, a_run(), np.zeros(9, np.float32), "")):
        with pytest.raises(AudioError, match=r"cannot be written .*; use \.png or \.svg"):
            attempt(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="nowhere is not a directory; make it first"):
        require_drawable(tmp_path / "nowhere" / "run.png")


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "matplotlib" else find_spec(n, *a))
    with pytest.raises(MissingExtraError, match=r"pip install 'anacrusis\[plot\]'"):
        require_drawable(tmp_path / "run.png")


def test_importing_it_does_not_import_matplotlib() -> None:
    code = "import sys, anacrusis.performer.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What `codec.look` measures, on sounds whose answer is known; its pictures and its refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from anacrusis.train.codec import look
from anacrusis.train.song import Note


def plucks(late_samples: int = 0, gain: float = 1.0) -> NDArray[np.float32]:
    """Three seconds of decaying tones at uneven times."""
    audio = np.zeros(3 * 44100, np.float32)
    for start, hertz in ((4000, 300.0), (30_000, 500.0), (51_000, 900.0), (88_000, 400.0)):
        at = np.arange(20_000)
        tone = np.exp(-at / 5000) * np.sin(2 * np.pi * hertz * at / 44100)
        audio[start + late_samples : start + late_samples + len(at)] += tone.astype(np.float32) * gain
    return audio


@pytest.mark.parametrize(
    ("late_samples", "shift_ms"),
    [
        pytest.param(0, 0.0, id="same"),
        pytest.param(882, 20.0, id="late"),
        pytest.param(-1764, -40.0, id="early"),
    ],
)
def test_a_shift_is_found_with_its_sign(late_samples: int, shift_ms: float) -> None:
    assert look.compare(plucks(), plucks(late_samples))["shift_ms"] == pytest.approx(shift_ms, abs=0.1)


def test_half_the_level_is_6_db_less_and_no_farther_away() -> None:
    found = look.compare(plucks(), plucks(gain=0.5))
    assert found["truth_db"] - found["codec_db"] == pytest.approx(6.02, abs=0.02)
    assert 3.0 < found["distance_db"] <= 6.03  # less where half of it is under the floor
    assert look.compare(plucks(), plucks())["distance_db"] == 0.0


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    note = Note(4000, 9000, 40, 80)
    look.draw(
        tmp_path / "x.png", {"bass": {"truth": plucks(), "codec": plucks()}}, {"bass": {"truth": [note], "codec": []}}
    )
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--codec", "nowhere.safetensors"], id="no_weights"),
        pytest.param(["--family", "no such family"], id="no_family"),
    ],
)
def test_bad_orders_exit_2_with_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert look.main([*arguments, "--out", str(tmp_path / "x")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "x").exists()

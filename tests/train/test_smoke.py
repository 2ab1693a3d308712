# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that makes a bundle, from a seed to a written stem; and what it says where it cannot begin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript", reason="needs the export extra")
pytest.importorskip("tinysoundfont", reason="needs pip install --no-deps -r train/renderer.txt")

from anacrusis.engine.bundle import Bundle  # noqa: E402
from anacrusis.train import smoke  # noqa: E402
from anacrusis.train.render import find_soundfont  # noqa: E402
from anacrusis.train.song import CorpusError  # noqa: E402


def soundfont_is_here() -> bool:
    try:
        return find_soundfont().is_file()
    except CorpusError:
        return False


@pytest.mark.skipif(not soundfont_is_here(), reason="needs FluidR3_GM.sf2: apt install fluid-soundfont-gm")
def test_from_a_seed_to_a_written_stem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "smoke"
    assert smoke.main(["--out", str(out)]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    stages = {row["stage"]: row for row in report["stages"]}
    falling = {name for name, row in stages.items() if "first" in row and row["last"] < row["first"]}
    assert falling == {"codec", "diffusion", "distillation"}
    assert stages["simulate"]["passed"]
    assert Bundle.open(out / "bundle").manifest.kind == "cd"


@pytest.mark.parametrize(
    ("losses", "passed"), [([5, 4, 3, 2, 1], True), ([1.0] * 10, False), ([1, 2], False), ([2, 9, 9, 9, 1], True)]
)
def test_a_loss_that_does_not_fall_is_a_miss(losses: list[float], passed: bool, tmp_path: Path) -> None:
    run = smoke.Smoke(tmp_path)
    run.run("toy", lambda arguments: print("said") or 0)
    run.lose(losses)
    assert run.rows[-1]["passed"] is passed
    assert ("MISSED" in smoke.table(run.rows)) is not passed


def test_a_stage_that_fails_says_which(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="codec ended with exit code 2"):
        smoke.Smoke(tmp_path).run("codec", lambda arguments: 2)


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("x")
    assert smoke.main(["--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err

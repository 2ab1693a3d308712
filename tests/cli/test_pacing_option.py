# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""When `anacrusis serve` paces."""

from __future__ import annotations

from pathlib import Path

import pytest

from anacrusis.cli.main import build_parser, main
from anacrusis.cli.serve import pacing_of
from anacrusis.engine.bundle import Bundle

GIVEN = {
    "nothing": ([], False),
    "asked for": (["--pacing"], True),
    "a lead that was calibrated": (["--lead", "auto"], True),
    "frames": (["--step", "8", "--lead", "4"], False),
    "not, though it was": (["--step", "auto", "--no-pacing"], False),
}


@pytest.mark.parametrize("name", GIVEN)
def test_when_a_server_paces(tiny: Path, name: str) -> None:
    arguments, paces = GIVEN[name]
    options = build_parser().parse_args(["serve", *arguments])
    assert (pacing_of(options, Bundle.open(tiny), "onnxruntime") is not None) == paces


def test_the_original_s_cycle_is_not_paced(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    what = ["--backend", "onnxruntime", "--serverport", "0", "--compat", "upstream", "--pacing"]
    assert main(["serve", "--bundle", str(tiny), *what]) == 2
    assert "leave out --pacing" in capsys.readouterr().err

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Running a command in this process, and what a refusal is."""

from __future__ import annotations

from pathlib import Path

import pytest

from anacrusis.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty directory for what a command writes."""
    path = tmp_path / "out"
    path.mkdir()
    return path


def run(*arguments: object) -> object:
    """The exit code of `anacrusis ARGUMENTS`."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as error:  # argparse's own
        return error.code


def refused(capsys: Capture, out: Path, *arguments: object) -> str:
    """Exit code 2, one line on stderr, nothing left. Returns the line."""
    assert run(*arguments) == 2
    stdout, stderr = capsys.readouterr()
    (line,) = stderr.splitlines()
    assert line.startswith(f"anacrusis {arguments[0]}: ")
    assert "Traceback" not in stdout + stderr
    assert [path.name for path in out.iterdir()] == []
    return line

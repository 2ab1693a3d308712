# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Who may know whom, what importing costs, and what every file carries."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = {
    "engine": "engine",
    "export": "export",
    "server": "server",
    "calib": "calib",
    "performer": "max",
    "train": "train",
    "cli": "cli",
    "benchmarks": "benchmarks",
}
# Room -> rooms it may import (DESIGN: engine knows nobody; no circles).
MAY_IMPORT = {
    "engine": set[str](),
    "export": {"engine"},
    "server": {"engine"},
    "calib": {"engine", "server"},
    "performer": {"engine", "server"},
    "train": {"engine", "export"},
    "benchmarks": {"engine", "export", "server", "calib", "performer", "train"},
    "cli": {"engine", "export", "server", "calib", "performer", "train", "benchmarks"},
}
LICENCE_LINE = "# SPDX-" + "License-Identifier:"  # in two parts: the licence checker reads this file too
TORCH_MAY_BE_IMPORTED_IN = (
    "engine/anacrusis/engine/networks/",
    "engine/anacrusis/engine/backends/torch",
    "export/",
    "train/anacrusis/train/codec/",
    "train/anacrusis/train/spectral/",
    "train/anacrusis/train/starter/",
    "benchmarks/",
)


def sources() -> list[Path]:
    return [file for folder in FOLDERS.values() for file in sorted((REPOSITORY / folder).rglob("*.py"))]


def imports(file: Path, *, top_level: bool = False) -> set[str]:
    tree = ast.parse(file.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("room", FOLDERS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    for file in sorted((REPOSITORY / FOLDERS[room] / "anacrusis").rglob("*.py")):
        known = {name.split(".")[1] for name in imports(file) if name.startswith("anacrusis.")}
        assert known - {room} <= MAY_IMPORT[room], f"{file.relative_to(REPOSITORY)} knows too much"


@pytest.mark.parametrize("name", ["server.py", "server_CD.py"])
def test_the_original_s_script_names_lead_to_the_front_door(name: str) -> None:
    file = REPOSITORY / "max" / "compat" / name
    assert {module for module in imports(file) if module.startswith("anacrusis")} == {"anacrusis.cli.main"}


@pytest.mark.parametrize("folder", ["calib", "max"])
def test_who_knows_the_wire_and_nothing_else_of_the_server(folder: str) -> None:
    for file in sorted((REPOSITORY / folder / "anacrusis").rglob("*.py")):
        known = {name for name in imports(file) if name.startswith("anacrusis.server")}
        assert all(name.startswith("anacrusis.server.wire") for name in known), file


def test_the_wire_knows_no_engine_but_its_errors() -> None:
    for file in sorted((REPOSITORY / "server" / "anacrusis" / "server" / "wire").rglob("*.py")):
        known = {name for name in imports(file) if name.startswith("anacrusis.")}
        assert all(name.startswith(("anacrusis.server.wire", "anacrusis.engine.errors")) for name in known), file


def test_torch_is_imported_only_where_it_may_be() -> None:
    for file in sources():
        name = file.relative_to(REPOSITORY).as_posix()
        if not name.startswith(TORCH_MAY_BE_IMPORTED_IN):
            heavy = {m for m in imports(file, top_level=True) if m.split(".")[0] in ("torch", "onnx", "onnxscript")}
            assert not heavy, f"{name} imports {heavy} when it is imported"


@pytest.mark.parametrize(
    "module",
    [
        *("engine", "server.server", "calib.latency", "calib.plot", "performer.simulate", "performer.plot", "cli.main"),
        "benchmarks.parity",
    ],
)
def test_importing_a_room_needs_no_heavy_library(module: str) -> None:
    code = f"import sys, anacrusis.{module}; print([m for m in sys.modules if m in {HEAVY}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


HEAVY = ("torch", "onnxruntime", "onnx", "matplotlib", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings", "cuda")


@pytest.mark.parametrize("room", sorted({*FOLDERS.values(), "tests", "scripts"}))
def test_a_room_says_what_it_is_for(room: str) -> None:
    lines = (REPOSITORY / room / "README.md").read_text().splitlines()
    assert 5 <= len(lines) <= 40


def test_files_stay_small_and_carry_their_licence() -> None:
    for file in [*sources(), *sorted((REPOSITORY / "tests").rglob("*.py"))]:
        text = file.read_text()
        assert text.splitlines()[1].startswith(LICENCE_LINE), file
        assert len(text.splitlines()) <= 400, f"{file}: one concept a file"

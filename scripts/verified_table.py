# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Rewrite the README's tables: what was measured (the first table of RESULTS.md) and what was verified where (docs).

python scripts/verified_table.py
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


def records(path: Path) -> list[dict[str, Any]]:
    """Of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


# What nobody has run yet. It stays in the table until somebody does.
UNVERIFIED = (
    ("Released checkpoints and Music2Latent's published weights (only their layout, at reduced width)", "nowhere yet"),
    ("Any rung on a GPU: tensorrt-rtx, tensorrt, torch-cuda, onnxruntime-cuda", "no GPU yet: see docs/gpu-log.md"),
    ("torch-mps rung, macOS", "not run"),
    ("Windows (nothing in the runtime is POSIX-only by intent)", "not run"),
    ("The released Max external and patch (their bytes and behaviour are tested; Max itself was not run)", "not run"),
    ("The original server as the client's peer (a stand-in of the same wire was)", "not run"),
    ("A link between two machines (loopback and the relay only)", "not run"),
    ("Slakh2100 itself (tracks made in its layout were read)", "not run"),
    ("Listening to the codecs and the starter by people (spectrograms, notes found and judges only)", "not run"),
    ("Max and Pd externals of our own", "not built yet"),
)

# Rung by rung: run (its code computed there), built (its plans were made there), read (its documentation only).
RUNGS = (
    (
        "tensorrt-rtx",
        "built: every full-size stage for SM 75, 80, 86, 89, 120. Run over a double of driver and library; refuses "
        "without a driver, and the ladder goes on",
        "not run",
        "read: wheels exist",
        "no wheels",
    ),
    ("tensorrt", "run over the double only; its builder needs a card", "not run", "read", "no wheels"),
    ("torch-cuda", "run on the CPU in its place: same buffers and order, no capture", "not run", "read", "no CUDA"),
    ("onnxruntime-cuda", "run on the CPU in its place: same bindings", "not run", "read", "no CUDA"),
    ("torch-mps", "refuses with its reason", "-", "-", "not run"),
    ("onnxruntime", "**run**: tests, parity, live, soaks", "not run", "not run", "not run"),
    ("torch", "**run**: the oracle of every comparison", "not run", "not run", "not run"),
)


def verified() -> list[str]:
    claimed = runpy.run_path(str(REPOSITORY / "scripts" / "verify-all"))["commands"]("GOLDEN")
    run = {record["claim"]: record for record in records(REPOSITORY / "docs" / "verified.jsonl")}
    newest = {claim: run[claim] for claim, _ in claimed if claim in run}  # what is claimed no more is history
    rows = ["| rung | Linux, CPU only | Linux, NVIDIA card | Windows | macOS |", "|---|---|---|---|---|"]
    rows += [f"| {' | '.join(rung)} |" for rung in RUNGS]
    rows += ["", "| claim | where | commit | result |", "|---|---|---|---|"]
    for claim, record in newest.items():
        result = f"ok, {record['seconds']:.0f} s" if record["exit_code"] == 0 else f"**failed** ({record['exit_code']})"
        rows.append(f"| {claim} | {record['machine']}, Python {record['python']} | {record['commit']} | {result} |")
    rows += [f"| {claim} | {where} | | not verified |" for claim, where in UNVERIFIED]
    return [
        *rows,
        "",
        "Made by `scripts/verified_table.py` from `docs/verified.jsonl`, which `scripts/verify-all` appends to.",
    ]


def summary() -> list[str]:
    """The first table of RESULTS.md, whose plots stand beside it."""
    text = (REPOSITORY / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    lines = text.split("<!-- summary: begin -->\n", 1)[1].split("<!-- summary: end -->", 1)[0].splitlines()
    return [
        *lines,
        "",
        "Made by `anacrusis bench results`; all of it, with conditions and plots: "
        "[benchmarks/RESULTS.md](benchmarks/RESULTS.md).",
    ]


def replace(text: str, name: str, lines: list[str]) -> str:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = text.split(begin, 1)
    return before + begin + "\n" + "\n".join(lines) + "\n" + end + rest.split(end, 1)[1]


def main() -> None:
    readme = REPOSITORY / "README.md"
    text = replace(readme.read_text(encoding="utf-8"), "measured", summary())
    readme.write_text(replace(text, "verified", verified()), encoding="utf-8")


if __name__ == "__main__":
    main()

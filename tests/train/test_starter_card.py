# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The model card says what the manifest and the facts say, and that the rest was not recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the starter's room needs the torch extra")

from anacrusis.engine.bundle import Bundle
from anacrusis.train.song import CorpusError
from anacrusis.train.starter.card import FILE, Facts, card, main

TINY = Path(__file__).resolve().parents[2] / "bundles" / "tiny-cd"
WHOLE: dict[str, Any] = {
    "data": ["Songs of a minute."],
    "training": ["On two cores."],
    "shows": ["A bass line."],
    "limits": ["Four quarters a bar.", "One bass."],
    "scores": [{"title": "Harmony", "columns": ["stem", "cosine"], "rows": [["bass", 0.5]], "note": "Of 40 songs."}],
    "commands": ["python -m anacrusis.train.diffusion"],
}


def test_it_says_what_it_was_told_and_what_the_bundle_knows() -> None:
    text = card(Bundle.open(TINY), Facts.of(WHOLE))
    assert text.startswith("# tiny-cd\n")
    for line in ("Songs of a minute.", "- One bass.", "| bass | 0.5 |", "Of 40 songs.", "| weights.safetensors | "):
        assert line in text
    assert "```\npython -m anacrusis.train.diffusion\n```" in text
    assert "\n\n\n" not in text


def test_it_reads_what_the_manifest_says_of_training() -> None:
    trained = {"step": 1200, "samples": 57600, "elapsed_s": 5400.0, "checkpoint_sha256": "c1"}
    corpus = {"songs": 9, "hours": 0.15, "seed": 5, "split": "train", "soundfont_sha256": "f0"}
    provenance = {
        "training": {"method": "distillation", "seed": 3},
        "trained": trained,
        "teacher": {**trained, "step": 9000, "checkpoint_sha256": "c2"},
        "corpora": [{**corpus, "corpus_json_sha256": "0123456789abcdef"}],
        "commit": "abc",
        "commands": ["python -m anacrusis.train.distill"],
    }
    bundle = Bundle.open(TINY)
    text = card(replace(bundle, manifest=replace(bundle.manifest, provenance=provenance)), Facts())
    for line in (
        "| diffusion, the teacher | 9,000 | 57,600 | 90 |",
        "| distillation, seed 3 | 1,200 | 57,600 | 90 |",
        "| 9 | 0.15 | 5 | train | `0123456789ab` |",
        "| teacher's checkpoint (SHA-256) | `c2` |",
        "| commit | `abc` |",
        "python -m anacrusis.train.distill",
    ):
        assert line in text


def test_what_was_not_said_is_not_made_up() -> None:
    text = card(Bundle.open(TINY), Facts())
    for title in ("Data", "Training", "Scores", "What a demo shows", "Limits"):
        assert f"## {title}\n\nNot recorded.\n" in text
    assert "| commit | Not recorded. |" in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"score": []}, "unknown key 'score'"),
        ({"limits": "none"}, "limits must be a list of texts"),
        ({"scores": [{"title": "x"}]}, "needs title, columns and rows"),
        ({"scores": [{"title": "x", "columns": ["a"], "rows": [["1", "2"]]}]}, "rows of another length"),
        ({"scores": {"title": "x"}}, "must be a list of tables"),
    ],
    ids=["key", "text", "table", "length", "list"],
)
def test_facts_that_cannot_be_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(CorpusError, match=says):
        Facts.of({**WHOLE, **change})


def test_the_command_writes_it_beside_the_bundle_and_changes_no_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in TINY.iterdir():
        (bundle / file.name).symlink_to(file)
    before = Bundle.open(bundle).hash
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps({"limits": ["Noise."]}))
    assert main([str(bundle), "--facts", str(facts)]) == 0
    assert "no facts about data, training, shows, scores, commands" in capsys.readouterr().out
    assert "- Noise." in (bundle / FILE).read_text()
    assert Bundle.open(bundle).hash == before
    assert main([str(tmp_path / "none")]) == 2
    assert main([str(bundle), "--facts", str(tmp_path / "none.json")]) == 2

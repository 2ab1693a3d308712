# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle's model card: MODEL_CARD.md beside its files, from its manifest and from facts that no file knows.

    python -m anacrusis.train.starter.card BUNDLE --facts FILE.json

What the manifest knows (kind, sizes, corpora, training, hashes) is read there. The facts are a JSON object of these
keys, each a list of paragraphs of Markdown unless said otherwise; an unknown key is an error:

    data, training, shows, limits        shows: what the plots of a demo show
    scores       list of {"title", "columns", "rows", "note"}: a table each; note may be left out
    commands     list of command lines, in order, that make the bundle; those of the manifest's provenance if left out

What has no facts is said to have none. The card is not in the manifest's list of files, so that writing it does not
change the bundle's hash. Not covered: measuring anything. Exit 0 done, 2 bad input.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from anacrusis.engine.bundle import Bundle, Manifest
from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.song import CorpusError

FILE: Final = "MODEL_CARD.md"
NOT_SAID: Final = "Not recorded."
KINDS: Final[Mapping[str, str]] = {
    "diffusion": "a diffusion model (EDM, Heun's sampler)",
    "cd": "a consistency model, distilled from starter-diffusion to one or two evaluations",
}
HOW: Final = """\
What the others play is heard through a fixed filterbank (84 semitones and the beat, nothing in it is learned). A small
transformer writes the missing stem as latents of a note roll, frame by frame of 93 ms, from what it heard, what it has
played, and which stem is asked for. A small decoder reads notes out of the latents and plays recordings of them. So it
plays notes of one bass, one guitar, one piano and one drum kit, and no other sound.
"""
# Prefixes of names in weights.safetensors, and what they are.
PARTS: Final = (
    ("starter.", "the network"),
    (".notes.", "the recorded notes, ten or twelve bits a sample"),
    ("codec.", "the codec's decoder"),
    ("filterbank.", "the filterbank's angles"),
    ("graph.", "constants"),
)


@dataclass(frozen=True, slots=True)
class Table:
    """Scores. rows: of as many cells as there are columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """See the module."""

    data: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    scores: tuple[Table, ...] = ()
    commands: tuple[str, ...] = ()

    @classmethod
    def of(cls, raw: object) -> Facts:
        """From parsed JSON. Raises CorpusError for an unknown key or a value of another kind."""
        known = _checked(cls, raw, "facts")
        texts = {name: _strings(value, name) for name, value in known.items() if name != "scores"}
        scores = known.get("scores", [])
        if not isinstance(scores, list):
            raise CorpusError("facts: scores must be a list of tables")
        return cls(**texts, scores=tuple(_table(raw) for raw in scores))

    @classmethod
    def read(cls, path: Path) -> Facts:
        """Raises CorpusError."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CorpusError(f"cannot read the facts {path}: {error}") from None
        return cls.of(raw)


def _checked(kind: type[Any], raw: object, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise CorpusError(f"{where} must be a JSON object")
    names = [f.name for f in fields(kind)]
    unknown = sorted(set(raw) - set(names))
    if unknown:
        raise CorpusError(f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(names)}")
    return raw


def _strings(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str | int | float) for v in value):
        raise CorpusError(f"facts: {where} must be a list of texts")
    return tuple(str(v) for v in value)


def _table(raw: object) -> Table:
    known = _checked(Table, raw, "a table of scores")
    try:
        columns = _strings(known["columns"], "columns")
        rows = tuple(_strings(row, "rows") for row in known["rows"])
        title, note = str(known["title"]), str(known.get("note", ""))
    except (KeyError, TypeError) as error:
        raise CorpusError(f"facts: a table of scores needs title, columns and rows ({error})") from None
    if any(len(row) != len(columns) for row in rows):
        raise CorpusError(f"facts: the table {title!r} has rows of another length than its {len(columns)} columns")
    return Table(title, columns, rows, note)


def card(bundle: Bundle, facts: Facts) -> str:
    """The Markdown."""
    manifest = bundle.manifest
    sections = [
        ("", _summary(manifest)),
        ("How it works", HOW.splitlines()),
        ("Sizes", _sizes(bundle)),
        ("Data", [*_corpora(manifest.provenance), *_paragraphs(facts.data)]),
        ("Training", [*_training(manifest.provenance), *_paragraphs(facts.training)]),
        ("Scores", [line for table in facts.scores for line in _scores(table)]),
        ("What a demo shows", _paragraphs(facts.shows)),
        ("Limits", [f"- {text}" for text in facts.limits]),
        ("Licences", _licences(manifest)),
        ("Made again", _again(manifest, facts)),
    ]
    lines = [f"# {manifest.name}"]
    for title, body in sections:
        lines += ["", *([f"## {title}", ""] if title else []), *(body or [NOT_SAID])]
    kept = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return "\n".join(kept).strip() + "\n"


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in (text, "")]


def _rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in cells] + [""]


def _summary(manifest: Manifest) -> list[str]:
    frame_s = manifest.geometry.frame_samples / manifest.sample_rate_hz
    frames, masked = manifest.geometry.window_frames, manifest.trained_masked_frames
    sampler, parameters = manifest.sampler, manifest.provenance.get("parameters")
    heard = f"{min(masked)} to {max(masked)} frames, every number in training" if masked else NOT_SAID
    return [
        f"Anacrusis's small accompaniment model: {KINDS.get(manifest.kind, manifest.kind)}. It listens to a band and "
        f"writes a missing stem ahead of the playhead: {', '.join(manifest.stems)}, or several of them at once.",
        "",
        *_rows(
            ("", ""),
            (
                ("parameters of the network", f"{parameters:,}" if parameters else NOT_SAID),
                ("evaluations a cycle", f"{sampler.table().nfe} ({sampler.name}, {sampler.steps} steps)"),
                ("sample rate", f"{manifest.sample_rate_hz} Hz, mono"),
                ("window", f"{frames} frames of {1e3 * frame_s:.1f} ms, {frames * frame_s:.2f} s"),
                ("not heard yet (lead and step)", heard),
                ("numbers", f"weights {manifest.precision.weights}, computed in {manifest.precision.compute}"),
            ),
        ),
    ]


def _sizes(bundle: Bundle) -> list[str]:
    names = sorted({*bundle.manifest.files, "manifest.json"})
    files = [(name, f"{(bundle.path / name).stat().st_size:,}") for name in names]
    parts: Counter[str] = Counter()
    for name, size in _tensor_bytes(bundle.weights).items():
        parts[next((what for part, what in PARTS if part in name), "other")] += size
    total = sum((bundle.path / name).stat().st_size for name in names)
    return [
        f"{total / 1e6:.1f} MB together.",
        "",
        *_rows(("file", "bytes"), files),
        *_rows(("of weights.safetensors", "bytes"), [(what, f"{size:,}") for what, size in parts.most_common()]),
    ]


def _tensor_bytes(path: Path) -> dict[str, int]:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    spans = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
    return {name: end - begin for name, (begin, end) in spans.items()}


def _corpora(provenance: Mapping[str, Any]) -> list[str]:
    corpora = provenance.get("corpora", [])
    if not corpora:
        return []
    rows = [(str(c["songs"]), f"{c['hours']:.2f}", str(c["seed"]), str(c["split"])) for c in corpora]
    hashes = [f"`{c['corpus_json_sha256'][:12]}`" for c in corpora]
    table = _rows(
        ("songs", "hours", "seed", "split", "corpus.json (SHA-256)"),
        [(*row, digest) for row, digest in zip(rows, hashes, strict=True)],
    )
    fonts = sorted({c["soundfont_sha256"] for c in corpora})
    return [*table, *(f"Rendered with the soundfont of SHA-256 `{font}`." for font in fonts), ""]


def _training(provenance: Mapping[str, Any]) -> list[str]:
    trained, teacher, config = provenance.get("trained"), provenance.get("teacher"), provenance.get("training", {})
    if not trained:
        return []
    stages = [("diffusion, the teacher", teacher)] if teacher else []
    stages.append((f"{config.get('method', 'diffusion')}, seed {config.get('seed')}", trained))
    rows = [(what, f"{s['step']:,}", f"{s['samples']:,}", f"{s['elapsed_s'] / 60:.0f}") for what, s in stages]
    table = _rows(("stage", "steps", "windows", "minutes"), rows)
    return [*table, "Every setting of the last one is in manifest.json, under provenance.training.", ""]


def _scores(table: Table) -> list[str]:
    note = [table.note, ""] if table.note else []
    return [f"**{table.title}**", "", *_rows(table.columns, table.rows), *note]


def _licences(manifest: Manifest) -> list[str]:
    return [f"{manifest.licence.spdx}. {manifest.licence.notice} The notices are in the file NOTICE."]


def _again(manifest: Manifest, facts: Facts) -> list[str]:
    provenance = manifest.provenance
    said = [
        ("commit", provenance.get("commit")),
        ("checkpoint (SHA-256)", provenance.get("trained", {}).get("checkpoint_sha256")),
        ("teacher's checkpoint (SHA-256)", provenance.get("teacher", {}).get("checkpoint_sha256")),
        ("codec (SHA-256)", provenance.get("codec_sha256")),
        ("tools", ", ".join(f"{name} {version}" for name, version in provenance.get("tools", {}).items())),
    ]
    rows = [(what, f"`{value}`" if value else NOT_SAID) for what, value in said if value or "teacher" not in what]
    table = _rows(("", ""), rows)
    commands = facts.commands or provenance.get("commands", ())
    return [*table, *(["```", *commands, "```"] if commands else [f"Commands: {NOT_SAID.lower()}"])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m anacrusis.train.starter.card", description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path, help="directory of a bundle that anacrusis.train.starter.bundle made")
    parser.add_argument(
        "--facts", type=Path, metavar="FILE.json", help="what the manifest does not know (see the module)"
    )
    options = parser.parse_args(arguments)
    try:
        facts = Facts.read(options.facts) if options.facts else Facts()
        text = card(Bundle.open(options.bundle), facts)
        try:
            (options.bundle / FILE).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CorpusError(f"cannot write {options.bundle / FILE}: {error}") from None
    except AnacrusisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    missing = [f.name for f in fields(Facts) if not getattr(facts, f.name)]
    print(f"wrote {options.bundle / FILE}" + (f"; no facts about {', '.join(missing)}" if missing else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())

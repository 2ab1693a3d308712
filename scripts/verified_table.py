# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Rewrite the README's tables: what was measured (benchmarks/results) and what was verified where (docs).

python scripts/verified_table.py
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

from starter_tables import interval, records, starter

REPOSITORY = Path(__file__).resolve().parents[1]

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


def measured() -> list[str]:
    stages: dict[tuple[str, int], dict[str, Any]] = {}
    overhead: dict[tuple[float, int], dict[str, Any]] = {}
    for record in records(REPOSITORY / "benchmarks" / "results" / "cpu.jsonl"):
        if record["benchmark"] == "cpu_stages":
            stages[record["bundle"], record["threads"]] = record
        else:
            overhead[record["r"], record["stems"]] = record
    some = next(iter(stages.values()))
    names = ("encode", "denoise", "decode", "cycle")
    rows = [
        "One cycle at r = .25, one stem, ONNX Runtime against torch eager, taking turns in one process "
        f"({some['machine']}, {some['cores']} cores; onnxruntime {some['onnxruntime']}, torch {some['torch']}). "
        "ms are p50 / p95 / p99 of ONNX Runtime; the ratio is torch over ONNX Runtime at p50. Half of the window is "
        "the silence beyond now, which ONNX Runtime mostly leaves out.",
        "",
        "| bundle | NFE | threads | cycles | " + " | ".join(names) + " |",
        "|---|---|---|---|" + "---|" * len(names),
    ]
    goal = "met" if overhead[0.25, 1]["overhead_ms"]["p99"] <= 1.0 else "not met in this run"
    for (bundle, threads), record in stages.items():
        cells = []
        for name in names:
            row = record["stages"][name]
            figures = " / ".join(f"{row['onnxruntime'][q]:.0f}" for q in ("p50", "p95", "p99"))
            cells.append(f"{figures} ({row['torch_over_onnxruntime']:.2f}×)")
        count = record["stages"]["cycle"]["onnxruntime"]["n"]
        rows.append(f"| {bundle} | {record['nfe']} | {threads} | {count} | " + " | ".join(cells) + " |")
    rows += [
        "",
        f"The cycle's own work outside the networks, per step (goal at r = .25, one stem: p99 at most 1 ms, {goal}):",
        "",
        "| r | stems | p50 | p95 | p99 | max |",
        "|---|---|---|---|---|---|",
    ]
    for (r, stems), record in overhead.items():
        figures = " | ".join(f"{record['overhead_ms'][q]:.2f} ms" for q in ("p50", "p95", "p99", "max"))
        rows.append(f"| {r:.4g} | {stems} | {figures} |")
    return [
        *rows,
        "",
        "Made by `scripts/verified_table.py` from `benchmarks/results/cpu.jsonl`.",
    ]


def live() -> list[str]:
    """Overhead, the newest soak, bad networks: whatever of them was recorded."""
    results = REPOSITORY / "benchmarks" / "results"
    rows: list[str] = []
    overhead = {(r["r"], r["stems"]): r for r in records(results / "overhead.jsonl")}
    some = next(iter(overhead.values()))
    rows += [
        f"What server and client cost per step outside the networks ({some['machine']}, {some['cores']} cores, "
        f"{some['steps']} steps each; wall clock, ms). Goal: p99 at most 2 ms a side; with the sockets' "
        "system calls in brackets. The cycle's own work is in the table above.",
        "",
        "| r | stems | server p50 / p95 / p99 / max | client p50 / p95 / p99 / max | goal |",
        "|---|---|---|---|---|",
    ]
    for (r, stems), record in overhead.items():
        cells = []
        for side in ("server", "client"):
            total = record["totals"][side]
            figures = " / ".join(f"{total['wall_ms'][q]:.2f}" for q in ("p50", "p95", "p99", "max"))
            cells.append(f"{figures} (p99 {total['with_sockets']['wall_ms']['p99']:.2f})")
        met = all(record["totals"][side]["goal_met"]["wall_ms"] for side in ("server", "client"))
        rows.append(f"| {r:.4g} | {stems} | " + " | ".join(cells) + f" | {'met' if met else 'not met'} |")
    if (results / "soak.jsonl").is_file():
        soak = records(results / "soak.jsonl")[-1]
        memory, stolen = soak["server_memory"], soak["stolen_share"]
        rows += [
            "",
            f"Live for {soak['seconds'] / 60:.0f} minutes, {soak['bundle']}, {len(soak['stems'])} stem, step "
            f"{soak['step_ms']:.0f} ms, {soak['nfe']} NFE, {soak['threads']} thread, server and client on "
            f"{soak['cores']} cores: {soak['steps']} steps, {soak['late']} late, {soak['dropped']} dropped, "
            f"{soak['concealed']} samples concealed; round trip p50 {soak['p50_ms']:.0f}, p95 {soak['p95_ms']:.0f}, "
            f"p99 {soak['p99_ms']:.0f}, max {soak['max_ms']:.0f} ms against {soak['deadline_ms']:.0f}; server memory "
            f"{memory['first_mb']:.0f} MB at first, {memory['last_mb']:.0f} at last"
            + (f"; {100 * stolen:.1f} % of the CPU stolen by the host." if stolen is not None else "."),
        ]
    if (results / "net.jsonl").is_file():
        net = {(r["name"], r["package"]): r for r in records(results / "net.jsonl")}
        some = next(iter(net.values()))
        rows += [
            "",
            "Through bad networks (the relay, same faults both ways, networks that copy, step "
            f"{some['step_ms']:.0f} ms, {some['steps']} steps a row). Whole: every chunk of the reply came. Concealed, "
            "heard: seconds of silence in place of what was lost.",
            "",
            "| network | floats a datagram | whole | late | context concealed | heard as silence | trip p50 / p99 ms |",
            "|---|---|---|---|---|---|---|",
        ]
        for (name, package), r in net.items():
            heard, context = r["client_concealed_samples"] / 44100, (r["server_concealed_samples"] or 0) / 44100
            trip = f"{r['p50_ms']:.0f} / {r['p99_ms']:.0f}" if r["p50_ms"] is not None else "none"
            whole = f"{100 * r['whole_ratio']:.0f} %"
            rows.append(f"| {name} | {package} | {whole} | {r['late']} | {context:.2f} | {heard:.2f} | {trip} |")
    return [
        *rows,
        "",
        "Made by `scripts/verified_table.py` from `benchmarks/results/{overhead,soak,net}.jsonl`.",
    ]


def half() -> list[str]:
    """What TensorRT-RTX makes of the graphs, and what float16 costs: whatever of it was recorded."""
    results = REPOSITORY / "benchmarks" / "results"
    rows = _kernels(records(results / "fusion.jsonl")[-1]) if (results / "fusion.jsonl").is_file() else []
    if (results / "half.jsonl").is_file():
        rows += _float16({_networks(r): r for r in records(results / "half.jsonl")})
    return [*rows, "", "Made by `scripts/verified_table.py` from `benchmarks/results/{fusion,half}.jsonl`."]


def _kernels(record: dict[str, Any]) -> list[str]:
    before = json.loads((REPOSITORY / "benchmarks" / "layers" / "before.json").read_text(encoding="utf-8"))
    targets = list(dict.fromkeys(r["target"] for r in record["results"]))
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for r in record["results"]:
        frames = r["dims"].get("frames")
        name = r["stage"] + (f", {frames} frame{'s' if frames > 1 else ''}" if r["stage"] == "decode" else "")
        found.setdefault(name, {})[r["target"]] = r
    rows = [
        "Kernels of the full-size float16 stages, one stem, built with TensorRT-RTX "
        f"{record['tensorrt-rtx-cu13-bindings']} on two cores without a card ({record['total_s']:.0f} s for all of it, "
        f"tracing included; {record['peak_memory_bytes'] / 1e9:.1f} GB). Before: a plain float16 export of the same "
        "networks, SM 89 (decode: 17 frames). Nothing convolves or multiplies matrices in float32 but the transforms. "
        "Fewer kernels are fewer launches; what that is worth in time only a card tells.",
        "",
        "| stage | before | " + " | ".join(f"{t.upper()[:2]} {t[2:]}" for t in targets) + " | plan | build |",
        "|---|---|" + "---|" * (len(targets) + 2),
    ]
    for name, by_target in found.items():
        some = by_target["sm89"]
        counts = " | ".join(str(by_target[t]["kernels"]) for t in targets)
        size, seconds = f"{some['plan_bytes'] / 1e6:.0f} MB", f"{some['build_s']:.0f} s"
        rows.append(f"| {name} | {before[some['stage']]} | {counts} | {size} | {seconds} |")
    return rows


def _networks(record: dict[str, Any]) -> str:
    """What was measured: "full, seed 1: cd, 1 NFE; cd, 2 NFE"."""
    runs = dict.fromkeys(r["run"] for r in record["rows"] if r["stage"] == "final")
    return f"{record['source']}: {'; '.join(runs)}"


def _float16(newest: dict[str, dict[str, Any]]) -> list[str]:
    rows = [
        "",
        "What float16 costs, emulated operator by operator (every result rounded, overflow kept, sums in float32): dB "
        "from the float32 networks on the same audio and noise, the worst over the signals. Goal: 40 dB on the final "
        "latent, nothing that is not finite.",
        "",
        "| networks | signals | encode | denoise, worst row | final latent | decode | not finite | largest value |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for source, record in newest.items():

        def worst(stage: str, record: dict[str, Any] = record) -> str:
            found = [r["worst_db"] for r in record["rows"] if r["stage"] == stage and r["worst_db"] is not None]
            return f"{min(found):.1f}" if found else "-"

        largest = max((r["largest"] or 0.0) for r in record["rows"])
        signals = max(len(r["by_signal_db"]) for r in record["rows"] if r["stage"] != "embed")
        cells = [worst(stage) for stage in ("encode", "denoise", "final", "decode")]
        rows.append(f"| {source} | {signals} | {' | '.join(cells)} | {record['nonfinite']} | {largest:.0f} of 65,504 |")
    return rows


# What the README shows of the ear: the judges that the check relies on.
SHOWN = ("chord_cosine", "context_cosine", "grid_lock", "context_lock")
CODEC_COLUMNS = ("onset_f1_50ms", "note_f1_25ms", "visqol", "mel_distance", "chroma_cosine", "level_db", "fad")


def music() -> list[str]:
    """The corpus, both codecs, the anchors and what an untrained bundle scores: the newest record of each."""
    results = REPOSITORY / "benchmarks" / "results"
    corpus = records(results / "corpus.jsonl")[-1]
    ears = records(results / "music.jsonl")
    anchors = next(record for record in reversed(ears) if not record["players"])
    played = [record for record in ears if record["players"]]
    rows = _corpus(corpus) + _codecs(records(results / "codec.jsonl")[-1]) + _anchors(anchors)
    rows += _players(played[-1]) if played else []
    return [*rows, "", "Made by `scripts/verified_table.py` from `benchmarks/results/{corpus,codec,music}.jsonl`."]


def _corpus(record: dict[str, Any]) -> list[str]:
    hits = " / ".join(f"{record['stems'][stem]['hit_rate']:.2f}" for stem in ("bass", "drums", "guitar", "piano"))
    beats, chords = record["beats"], record["chords"]
    made = "made in" if record["hour_made"] else "would take"
    return [
        f"{record['songs']} songs judged from their audio: notes with an onset within 25 ms of where the stem's are "
        f"heard (bass / drums / guitar / piano) {hits}; the declared beat found in {beats['on']}, met half a beat away "
        f"and confirmed by the chords in {beats['off-beat']}, missed in {beats['missed']}; chroma against the declared "
        f"chords {chords['declared']:.2f}, in the best other key {chords['other_keys']:.2f}, a bar away "
        f"{chords['moved']:.2f}. An hour of corpus {made} {record['seconds_an_hour']:.0f} s on {record['processes']} "
        "cores.",
        "",
    ]


def _codecs(record: dict[str, Any]) -> list[str]:
    head = ("onset F1", "note F1", "ViSQOL", "mel distance", "chroma", "level dB", "FAD")
    rows = [
        f"Round trips of {record['songs']} test songs, {record['seconds']:.0f} s each. Truth: the onset detector on "
        "the original. The roll codec plays its own recordings of the notes: the colour of another program is lost.",
        "",
        f"| stem | codec | {' | '.join(head)} |",
        "|---|---|" + "---|" * len(head),
    ]
    for one in record["quality"]:
        cells = ["-" if one.get(name) is None else f"{one[name]:.{_digits(name)}f}" for name in CODEC_COLUMNS]
        rows.append(f"| {one['stem']} | {one['codec']} | {' | '.join(cells)} |")
    rows += [
        "",
        "| codec | encode a window, ms | decode 16 frames, ms | share of 1.486 s, p50 / p95 / p99 (limit .15) |",
        "|---|---|---|---|",
    ]
    for one in record["timing"]:
        encode, decode = (one.get(f"{stage}_ms", {}).get("p50") for stage in ("encode", "decode"))
        shares = " / ".join(f"{one['rtf'][q]:.3f}" for q in ("p50", "p95", "p99"))
        rows.append(f"| {one['codec']} | {encode:.1f} | {decode:.1f} | {shares} |")
    return [*rows, ""]


def _digits(name: str) -> int:
    return 3 if "f1" in name or "cosine" in name else 1 if name in ("level_db", "fad") else 2


def _anchors(record: dict[str, Any]) -> list[str]:
    names = ("ceiling", "late", "codec", "floor")
    rows = [
        f"The ear on its own anchors: {record['songs']} test songs of {len(record['families'])} unseen families, "
        f"{record['seconds']:.0f} s each, means with 95 % intervals over songs. Ceiling: the true stem; late: the same "
        "41 ms late; codec: its round trip; floor: another song's. All judges: `report.md` of the run.",
        "",
        f"| judge | stem | {' | '.join(names)} | verdict |",
        "|---|---|" + "---|" * (len(names) + 1),
    ]
    for measure in SHOWN:
        for row in record["rows"]:
            if row["measure"] == measure:
                cells = [interval(row["values"].get(name)) for name in names]
                rows.append(f"| {measure.replace('_', ' ')} | {row['stem']} | {' | '.join(cells)} | {row['verdict']} |")
    return [*rows, ""]


def _players(record: dict[str, Any]) -> list[str]:
    rows = [
        "What bundles score through the live cycle, normalised (1 the true stem, 0 another song's), "
        f"{record['songs']} songs. Noise scores 0, which is a little above another song in another key.",
        "",
        "| bundle, step:lead in frames | judge | stem | score | normalised |",
        "|---|---|---|---|---|",
    ]
    for player in record["players"]:
        for row in record["rows"]:
            if row["measure"] in SHOWN and player["label"] in row["normalised"]:
                cells = (interval(row[kind][player["label"]]) for kind in ("values", "normalised"))
                judge = row["measure"].replace("_", " ")
                rows.append(f"| {player['label']} | {judge} | {row['stem']} | {' | '.join(cells)} |")
    return rows


def replace(text: str, name: str, lines: list[str]) -> str:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = text.split(begin, 1)
    return before + begin + "\n" + "\n".join(lines) + "\n" + end + rest.split(end, 1)[1]


def main() -> None:
    readme = REPOSITORY / "README.md"
    text = replace(readme.read_text(encoding="utf-8"), "measured", measured())
    text = replace(text, "live", live())
    text = replace(text, "half", half())
    text = replace(text, "music", music())
    text = replace(text, "starter", starter())
    readme.write_text(replace(text, "verified", verified()), encoding="utf-8")


if __name__ == "__main__":
    main()

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that makes a bundle, once, in 90 seconds: corpus, codec, diffusion, distillation, bundle, simulate.

    python -m anacrusis.train.smoke [--out DIR]

Each stage is the real command with small numbers. It passes when every loss has fallen (the mean of its last fifth
under that of its first), the bundle opens, and a stem is written by it through the live cycle, finite and as long as
the context. What it plays is no music: nothing has been trained for more than seconds.

Not covered: quality (`benchmarks/music.py`). Exit 0 passed, 1 a check missed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile as sf
from tqdm import tqdm

from anacrusis.engine.errors import AnacrusisError
from anacrusis.train import corpus, diffusion, distill
from anacrusis.train.codec import fit
from anacrusis.train.dataset import open_dataset
from anacrusis.train.song import SAMPLE_RATE_HZ, CorpusError
from anacrusis.train.starter import bundle

SONGS, SONG_S, HELD_OUT_SONGS = 6, 20.0, 2
CODEC_STEPS, DIFFUSION_STEPS, DISTILLATION_STEPS = 120, 160, 60
SIMULATED_S: Final = 8.0


@dataclass
class Smoke:
    """What has been done so far, in `out`."""

    out: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def run(self, stage: str, main: Callable[[Sequence[str]], int], *arguments: str | Path | float) -> str:
        """A command's main, its stdout. Raises CorpusError where it fails."""
        told = io.StringIO()
        began = time.monotonic()
        with contextlib.redirect_stdout(told):
            code = main([str(a) for a in arguments])
        if code != 0:
            raise CorpusError(f"{stage} ended with exit code {code}; what it said is above")
        self.rows.append({"stage": stage, "wall_s": round(time.monotonic() - began, 1)})
        return told.getvalue()

    def lose(self, losses: Sequence[float]) -> None:
        """Of the newest stage: its loss at the beginning and at the end."""
        fifth = max(1, len(losses) // 5)
        first, last = float(np.mean(losses[:fifth])), float(np.mean(losses[-fifth:]))
        self.rows[-1] |= {"first": round(first, 4), "last": round(last, 4), "passed": last < first}

    # -- the stages -----------------------------------------------------------------------------------------

    def stages(self) -> Iterator[Callable[[], None]]:
        """In order."""
        yield from (self.corpus, self.codec, self.diffusion, self.distillation, self.bundle, self.simulate)

    def corpus(self) -> None:
        for name, songs, split in (("songs", SONGS, "train"), ("held-out", HELD_OUT_SONGS, "validation")):
            where = self.out / name
            self.run(
                f"corpus, {split}",
                corpus.main,
                "--songs",
                songs,
                "--seconds",
                SONG_S,
                "--seed",
                3,
                "--split",
                split,
                "--out",
                where,
                "--json",
            )

    def codec(self) -> None:
        said = self.run(
            "codec",
            fit.main,
            "--steps",
            CODEC_STEPS,
            "--width",
            64,
            "--test-songs",
            2,
            "--out",
            self.out / "codec.safetensors",
        )
        about = json.loads(said.splitlines()[-1])
        self.lose([about["loss_first"], about["loss_last"]])

    def _train(self, stage: str, main: Callable[[Sequence[str]], int], steps: int, *more: str | Path) -> None:
        where = self.out / stage
        given = (
            "--corpus",
            self.out / "songs",
            "--pieces",
            self.out / "pieces",
            "--codec",
            self.out / "codec.safetensors",
        )
        self.run(stage, main, *given, "--out", where, "--steps", steps, *more)
        records = [json.loads(line) for line in (where / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        self.lose([record["loss"] for record in records if record["kind"] == "train"])

    def diffusion(self) -> None:
        self._train(
            "diffusion", diffusion.main, DIFFUSION_STEPS, "--preset", "smoke", "--validation", self.out / "held-out"
        )

    def distillation(self) -> None:
        teacher = self.out / "diffusion" / "checkpoint.pt"
        self._train("distillation", distill.main, DISTILLATION_STEPS, "--preset", "smoke-distil", "--teacher", teacher)

    def bundle(self) -> None:
        checkpoint = self.out / "distillation" / "checkpoint.pt"
        self.run(
            "bundle",
            bundle.main,
            "--checkpoint",
            checkpoint,
            "--codec",
            self.out / "codec.safetensors",
            "--out",
            self.out / "bundle",
        )

    def simulate(self) -> None:
        track = open_dataset(self.out / "held-out")[0]
        context = track.context("bass", 0, round(SIMULATED_S * SAMPLE_RATE_HZ))
        sf.write(self.out / "context.wav", context, SAMPLE_RATE_HZ)
        made = self.out / "bass.wav"
        self.run("simulate", _simulate, self.out / "bundle", self.out / "context.wav", made)
        audio, rate = sf.read(made, dtype="float32")
        right = rate == SAMPLE_RATE_HZ and len(audio) == len(context) and bool(np.isfinite(audio).all())
        self.rows[-1] |= {"passed": right}


def _simulate(arguments: Sequence[str]) -> int:
    """The installed command, as a user runs it: the train room knows none of it."""
    given, context, made = arguments
    command = [sys.executable, "-m", "anacrusis.cli.main", "simulate", "--bundle", given, context, "--out", made]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


def table(rows: Sequence[dict[str, Any]]) -> str:
    """For people."""
    lines = [f"{'stage':22}{'wall s':>8}{'loss first':>12}{'last':>9}"]
    for row in rows:
        losses = f"{row['first']:12.4f}{row['last']:9.4f}" if "first" in row else " " * 21
        lines.append(f"{row['stage']:22}{row['wall_s']:8.1f}{losses}{'' if row.get('passed', True) else '   MISSED'}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(prog="python -m anacrusis.train.smoke", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="an empty directory to keep everything in (default: a temporary one)")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        out = options.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anacrusis-smoke-")))
        smoke = Smoke(out)
        try:
            if out.exists() and any(out.iterdir()):
                raise CorpusError(f"{out} is not empty; give another --out")
            out.mkdir(parents=True, exist_ok=True)
            stages = list(smoke.stages())
            for stage in tqdm(stages, desc="smoke", unit="stage", file=sys.stderr):
                stage()
        except AnacrusisError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except OSError as error:
            print(f"error: cannot write into {out}: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
    print(table(smoke.rows))
    passed = all(row.get("passed", True) for row in smoke.rows)
    print(json.dumps({"passed": passed, "stages": smoke.rows}, separators=(",", ":")))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

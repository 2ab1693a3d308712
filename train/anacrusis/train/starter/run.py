# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A training run on one or two CPU cores, or a GPU: what `train/diffusion.py` and `train/distill.py` have in common.

    OUT/checkpoint.pt       weights, averages, optimisers, step: every few minutes, at the end, on Ctrl-C and SIGTERM
    OUT/log.jsonl           training's loss; validation's by noise level and stem; what it writes, scored (evaluate.py)
    OUT/loss.png, OUT/samples/STEP.png    the same to look at

--minutes is the length of the whole run, over all its sittings; --sitting ends one early, with nothing lost. A run goes
on exactly as it would have: batches follow from the seed and the step. (With --processes it may go on with another
number: then it draws other batches.) A process takes one core: two processes are faster than two threads.

Not covered: what is learned (`losses.py`, `distil.py`). Exit 0 done, 2 bad input, 130 stopped by a signal.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing as mp
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from tqdm import tqdm

from anacrusis.engine.errors import AnacrusisError, MissingExtraError
from anacrusis.train.dataset import open_dataset
from anacrusis.train.song import CorpusError
from anacrusis.train.starter.config import PRESETS, Training, from_dict, preset, read
from anacrusis.train.starter.distil import Check
from anacrusis.train.starter.draws import Draws
from anacrusis.train.starter.evaluate import Pace, compass
from anacrusis.train.starter.latents import make_latents
from anacrusis.train.starter.networks import released
from anacrusis.train.starter.pieces import CODEC, NoteLatents, load_pieces, make_pieces
from anacrusis.train.starter.plot import plot_jobs, plot_losses
from anacrusis.train.starter.sample import Voice
from anacrusis.train.starter.trainer import EventCode, Trainer, load_trained
from anacrusis.train.starter.validate import Validation
from anacrusis.train.starter.windows import Piece

STEPS_A_RECORD = 20
SAMPLED_SONGS = 24
LONGEST_STEP_S = 60.0


class Asked:
    """Set by SIGINT and SIGTERM: end after this step."""

    def __init__(self) -> None:
        self.to_stop = False

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._heard)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        self.to_stop = True


class Watch:
    """What the first process does beside training: records, checks, samples, checkpoints."""

    def __init__(self, out: Path, trainer: Trainer, validation: Path | None, pieces: Path, codec: Path) -> None:
        self.out, self.trainer = out, trainer
        self._log = (out / "log.jsonl").open("a", encoding="utf-8")
        self._check: Validation | Check | None = None
        self._last = dict.fromkeys(("validation", "checkpoint", "sample"), trainer.elapsed_s)
        if validation is not None:
            tracks = open_dataset(validation)
            held_out = load_pieces(pieces_of(trainer.config, validation, pieces, codec=codec))
            cases = Validation(held_out, trainer.config)
            self._check = cases
            if trainer.teacher is not None:
                config = trainer.config
                self._check = Check(trainer.teacher, *cases.fixed, config.distillation, config.levels)
            self._songs = {track.name: track.song for track in tracks}
            self._held_out = held_out[:SAMPLED_SONGS]
            self._codec = NoteLatents.load(codec) if trainer.config.kind == "starter" else None

    def record(self, kind: str, **values: Any) -> None:
        trainer = self.trainer
        at = {"step": trainer.step, "samples": trainer.samples, "elapsed_s": round(trainer.elapsed_s, 1)}
        self._log.write(json.dumps({"kind": kind, **at, **values}, separators=(",", ":")) + "\n")
        self._log.flush()

    def look(self, *, last: bool = False) -> dict[str, Any]:
        """Do what is due, or at the end everything; returns the newest validation."""
        config, found = self.trainer.config, dict[str, Any]()
        due = {
            "validation": config.validation_s,
            "sample": config.sample_s,
            "checkpoint": config.checkpoint_s,
        }
        for name, seconds in due.items():
            if not (last or self.trainer.elapsed_s - self._last[name] >= seconds):
                continue
            self._last[name] = self.trainer.elapsed_s
            if name == "checkpoint":
                self.trainer.save(self.out / "checkpoint.pt")
            elif self._check is not None and name == "validation":
                found = self._check(self.trainer.averaged())
                self.record("validation", **found)
                self._picture(lambda: plot_losses(self.out / "log.jsonl", self.out / "loss.png"))
            elif self._check is not None and name == "sample" and seconds < 1e6 and self._codec is not None:
                self._sample(self._codec)
        return found

    def _sample(self, codec: NoteLatents) -> None:
        network, config = self.trainer.averaged(), self.trainer.config
        voice = Voice.of(network, config.levels.sigma_data, config.method)
        report, jobs, made = compass(voice, self._held_out, self._songs, codec, Pace(stretches=1))
        self.record("sample", **report)
        folder = self.out / "samples"
        folder.mkdir(exist_ok=True)
        path = folder / f"{self.trainer.step:07d}.png"
        self._picture(lambda: plot_jobs(jobs, made, self._songs, codec, path))

    def _picture(self, draw: Any) -> None:
        with contextlib.suppress(MissingExtraError):  # the numbers are in the log
            draw()

    def close(self) -> None:
        self._log.close()


def loop(
    trainer: Trainer,
    pieces: Sequence[Piece],
    watch: Watch | None,
    asked: Asked,
    *,
    steps: int | None = None,
    sitting_s: float | None = None,
    workers: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Train until the minutes are over, `steps` are done in all, the sitting is over, or somebody is asked to stop."""
    config = trainer.config
    whole_s, begun_s, before = 60 * config.minutes, trainer.elapsed_s, time.monotonic()
    begun = trainer.samples
    losses: list[float] = []
    newest: dict[str, Any] = {}
    bar = tqdm(
        total=round(whole_s), initial=round(begun_s), unit="s", desc="training", file=sys.stderr, disable=not progress
    )
    stop, stream = False, Draws(pieces, config, trainer.rank).stream(trainer.step, workers)
    while not stop:
        now = time.monotonic()
        # A process that was paused, on a machine that slept, was not training.
        trainer.elapsed_s += min(now - before, LONGEST_STEP_S)
        before, elapsed = now, trainer.elapsed_s
        over = elapsed >= whole_s or (steps is not None and trainer.step + 1 >= steps)
        over = over or (sitting_s is not None and elapsed - begun_s >= sitting_s)
        # The first process's clock counts; a signal to any of them does.
        done = trainer.advance(next(stream), stop=asked.to_stop or (over and trainer.rank == 0))
        stop = done.stop
        if watch is None:
            continue
        losses.append(done.loss)
        if trainer.step % STEPS_A_RECORD == 0:
            mean = float(np.mean(losses[-STEPS_A_RECORD:]))
            watch.record("train", loss=round(mean, 5), gradient=round(done.gradient, 4), rate=round(done.share, 4))
            rate = f"{(trainer.samples - begun) / max(elapsed - begun_s, 1e-9):.0f}/s"
            bar.set_postfix(
                loss=f"{mean:.4f}", check=newest.get("loss"), step=trainer.step, windows=rate, refresh=False
            )
        bar.update(max(0, round(elapsed) - bar.n))
        if not stop:
            newest = watch.look() or newest
    bar.close()
    if watch is not None:
        trainer.save(watch.out / "checkpoint.pt")
        newest = watch.look(last=True) or newest
    return {
        "step": trainer.step,
        "samples": trainer.samples,
        "elapsed_s": round(trainer.elapsed_s, 1),
        "parameters": trainer.parameters,
        "loss": round(float(np.mean(losses[-200:] or [0.0])), 5),
        "validation": newest,
    }


def other_process(
    rank: int,
    world: int,
    meeting: str,
    config: dict[str, Any],
    checkpoint: str | None,
    stage_from: Path | None,
    teacher: Path | None,
    paths: Sequence[Path],
    codec: Path,
    init: Path | None = None,
) -> None:
    """The second process of a run: the same steps, nothing said."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
    training = from_dict(config)
    if checkpoint:
        trainer = Trainer.load(Path(checkpoint), rank, world, training.minutes)
    elif stage_from:
        trainer = Trainer.load(stage_from, rank, world, stage=training)
    else:
        trainer = begin(training, rank, world, codec=codec, teacher=teacher, init=init)
    pieces = load_pieces(paths)
    _meet(meeting, rank, world)
    # The first one went: nothing to save here, and it says why. (Its daemon; it would be ended anyway.)
    try:
        loop(trainer, pieces, None, Asked(), progress=False)
    except RuntimeError:
        os._exit(1)
    dist.destroy_process_group()


def _meet(meeting: str, rank: int, world: int) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world, timeout=timedelta(minutes=20)
    )


def begin(
    config: Training,
    rank: int,
    world: int,
    device: str = "cpu",
    codec: Path = CODEC,
    teacher: Path | None = None,
    init: Path | None = None,
) -> Trainer:
    """A run at its first step. init: of a released U-Net. Raises AnacrusisError for a teacher or init that is none."""
    taught = None if teacher is None else load_trained(teacher)[0]
    code = EventCode.of(NoteLatents.load(codec)) if config.rows and taught is None else None
    trainer = Trainer(config, rank, world, device, code, taught)
    if init is not None:
        released(trainer.network, init)
    return trainer


def pieces_of(
    config: Training, corpus: Path, out: Path, *, split: str | None = None, codec: Path = CODEC, processes: int = 1
) -> list[Path]:
    """The files of one data set's pieces, of the kind that the network wants. Raises AnacrusisError."""
    if config.kind == "starter":
        return make_pieces(corpus, out, split=split, codec=codec, processes=processes)
    if codec == CODEC:
        raise CorpusError("a songunet reads Music2Latent's latents; give --codec, its weights or a bundle's folder")
    return make_latents(corpus, out, split=split, codec=codec)


def run(options: argparse.Namespace, method: str) -> dict[str, Any]:
    """Raises AnacrusisError."""
    checkpoint = options.out / "checkpoint.pt"
    if checkpoint.exists() and not options.resume:
        raise CorpusError(f"{checkpoint} is there: go on with --resume, or choose another --out")
    if options.resume and not checkpoint.exists():
        raise CorpusError(f"there is no {checkpoint} to resume; leave --resume out")
    if options.resume and (options.config or options.preset):
        raise CorpusError("a run that is resumed keeps its config; leave --config and --preset out")
    if options.device != "cpu" and (options.processes > 1 or not torch.cuda.is_available()):
        raise CorpusError(f"--device {options.device} needs a CUDA torch and card, and --processes 1")
    world = options.processes
    teacher: Path | None = getattr(options, "teacher", None)
    if method == "distillation" and not options.resume:
        if teacher is None:
            raise CorpusError("what is distilled? give --teacher, a checkpoint of anacrusis.train.diffusion")
        options.preset = options.preset or "distil"
    config = read(options.config) if options.config else preset(options.preset or "starter")
    if teacher is not None:  # the network, its noise levels and its windows are the teacher's
        _, taught, _ = load_trained(teacher)
        config = replace(config, kind=taught.kind, network=taught.network, unet=taught.unet)
        config = replace(config, levels=taught.levels, drawing=taught.drawing)
    config = replace(config, method=method)
    changed = {key: getattr(options, key) for key in ("minutes", "seed") if getattr(options, key) is not None}
    config = from_dict(changed, config)
    trainer = None
    if options.resume:
        trainer = Trainer.load(checkpoint, 0, world, options.minutes, options.device)
        config = trainer.config
    elif options.stage_from is not None:
        trainer = Trainer.load(options.stage_from, 0, world, None, options.device, config)
    pieces_folder = options.pieces or options.out / "pieces"
    paths: list[Path] = []
    for corpus in options.corpus:
        paths += pieces_of(
            config, corpus, pieces_folder, split="train", codec=options.codec, processes=options.processes
        )
    asked = Asked()
    options.out.mkdir(parents=True, exist_ok=True)
    if trainer is None:
        trainer = begin(config, 0, world, options.device, options.codec, teacher, options.init)
    pieces = load_pieces(paths)
    (options.out / "config.json").write_text(json.dumps(trainer.config.as_dict(), indent=1) + "\n", encoding="utf-8")
    meeting = tempfile.mkdtemp(prefix="anacrusis-")
    others = [
        mp.get_context("spawn").Process(
            target=other_process,
            args=(
                rank,
                world,
                f"{meeting}/meet",
                trainer.config.as_dict(),
                str(checkpoint) if options.resume else None,
                options.stage_from,
                teacher,
                paths,
                options.codec,
                options.init,
            ),
            daemon=True,
        )
        for rank in range(1, world)
    ]
    for process in others:
        process.start()
    if others:
        _meet(f"{meeting}/meet", 0, world)
    asked.listen()
    watch = Watch(options.out, trainer, options.validation, pieces_folder, options.codec)
    sitting_s = None if options.sitting is None else 60 * options.sitting
    try:
        report = loop(trainer, pieces, watch, asked, steps=options.steps, sitting_s=sitting_s, workers=options.workers)
    except RuntimeError as error:
        if not others:
            raise
        raise CorpusError(f"the other process went ({error}); go on with --resume") from None
    finally:
        watch.close()
        if others:
            dist.destroy_process_group()
    report["stopped"] = asked.to_stop
    return report


def parser_of(prog: str, description: str) -> argparse.ArgumentParser:
    """What both commands take."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--config", type=Path, help="a .toml or .json of settings (train/starter/config.py)")
    which.add_argument("--preset", choices=sorted(PRESETS), help="settings that come along (default: the command's)")
    parser.add_argument("--corpus", type=Path, nargs="+", required=True, help="their train split is trained on")
    parser.add_argument("--validation", type=Path, help="a corpus of styles unseen in training")
    parser.add_argument("--pieces", type=Path, help="where pieces-KEY folders are made or found (default: OUT/pieces)")
    parser.add_argument("--codec", type=Path, default=CODEC, help="the codec's weights (default %(default)s)")
    parser.add_argument("--init", type=Path, help="a released checkpoint to begin with (kind = songunet)")
    parser.add_argument("--stage-from", type=Path, metavar="CHECKPOINT", help="go on from it with other settings")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--minutes", type=float, help="of the whole run (default: the config's)")
    parser.add_argument(
        "--sitting", type=float, metavar="MINUTES", help="stop this sitting after so long, to be resumed"
    )
    parser.add_argument("--steps", type=int, help="stop after so many steps in all: repeatable")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--processes", type=int, choices=(1, 2, 4), default=1, help="each takes a core (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; with cuda give --workers (default cpu)")
    parser.add_argument("--workers", type=int, default=0, help="processes that only draw windows ahead (default 0)")
    parser.add_argument("--resume", action="store_true", help="go on with OUT/checkpoint.pt")
    return parser


def main(options: argparse.Namespace, method: str) -> int:
    """Exit code: 0 done, 2 bad input, 130 stopped by a signal (and resumable)."""
    torch.set_num_threads(1)
    try:
        report = run(options, method)
    except AnacrusisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps(report, separators=(",", ":")))
    return 130 if report["stopped"] else 0

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m anacrusis.train.codec.fit --minutes M --seed S --out FILE`: train the note-roll codec's autoencoder.

Adam on frames of the writer's training families; one thread, so that a machine can do other things. The latent gets
white noise of up to `--noise` of its own size before it is decoded, so that near latents mean the same notes. Loss: the
cross entropy of onsets and of hold, the square error of velocity where a note starts, and a little for values beyond
three standard deviations. At the end, and in the file: scores on songs of the test families, clean and with noise.

Minutes, not steps, bound the work: the same seed gives the same batches, but the number of steps is the machine's.
`--steps` makes a run repeatable.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.codec.autoencoder import AutoencoderConfig, FrameAutoencoder
from anacrusis.train.codec.codec import save_autoencoder
from anacrusis.train.codec.pool import FramePool, families_of, whole_songs
from anacrusis.train.codec.roll import HOLD, ONSET
from anacrusis.train.codec.rows import Rows
from anacrusis.train.codec.scores import evaluate
from anacrusis.train.song import CorpusError

SCORED_NOISES = (0.0, 0.1, 0.2, 0.3, 0.5)
SONGS_AT_START, STEPS_A_SONG, LAST_SHARE = 80, 6, 0.4
TEST_SEED = 900_000
# Onsets are one cell in some hundred: with weight 1 the model learns to leave doubtful ones out (measured: recall 0.92
# at precision 1.00). A velocity 23 off costs as much as one nat of an onset's doubt.
ONSET_WEIGHT, HOLD_WEIGHT, VELOCITY_WEIGHT = 4.0, 0.5, 30.0


def loss_of(model: FrameAutoencoder, roll: Tensor, z: Tensor) -> Tensor:
    """Mean over frames of a noisy latent's loss against its roll [n, 8, rows, 2]. Sums over cells, in nats."""
    onset, velocity, hold = model.logits(z)
    gain, held = roll[..., ONSET], roll[..., HOLD]
    begins = (gain > 0).to(gain.dtype)
    weight = onset.new_tensor(ONSET_WEIGHT)
    onsets = F.binary_cross_entropy_with_logits(onset, begins, pos_weight=weight, reduction="sum")
    holds = F.binary_cross_entropy_with_logits(hold, held, reduction="sum")
    levels = (begins * (velocity - gain).square()).sum()
    return (onsets + HOLD_WEIGHT * holds + VELOCITY_WEIGHT * levels) / len(roll)


def train(
    config: AutoencoderConfig,
    *,
    minutes: float,
    seed: int,
    steps: int | None = None,
    batch: int = 256,
    noise: float = 0.5,
    rate: float = 2e-3,
    pool: FramePool | None = None,
    quiet: bool = False,
) -> tuple[FrameAutoencoder, dict[str, Any]]:
    """A trained autoencoder and what was done. Uses torch's seed of the process."""
    torch.manual_seed(seed)
    model = FrameAutoencoder(config)
    pool = pool or FramePool(seed)
    began = time.monotonic()
    if pool.songs == 0:
        pool.add_songs(SONGS_AT_START)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=1e-4)
    running = torch.ones(config.channels)
    losses: list[float] = []
    done, share = 0, 0.0
    with tqdm(total=steps or round(minutes * 60), unit="step" if steps else "s", disable=quiet) as bar:
        while share < 1.0:
            elapsed = time.monotonic() - began
            share = (done + 1) / steps if steps else elapsed / (60 * minutes)
            for group in optimiser.param_groups:  # warm up, hold, then fall in a line to a fiftieth
                falling = max(0.02, min(1.0, (1.0 - share) / LAST_SHARE))
                group["lr"] = rate * min(1.0, (done + 1) / 100) * falling
            if done % STEPS_A_SONG == 0:
                pool.add_songs(1)
            roll = torch.from_numpy(pool.batch(batch))
            raw = model.encode_raw(roll)
            power = raw.square().mean(dim=0)
            running = torch.lerp(running, power.detach(), 0.02 if done > 50 else 0.5)
            z = raw / (power + 1e-8).sqrt()
            sd = noise * torch.rand(batch, 1)
            loss = loss_of(model, roll, z + sd * torch.randn_like(z)) + 0.5 * F.relu(z.abs() - 3).square().sum(1).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 20.0)
            optimiser.step()
            losses.append(float(loss.detach()))
            done += 1
            bar.update(1 if steps else max(0, round(elapsed) - bar.n))
            if done % 20 == 0:
                bar.set_postfix(loss=f"{sum(losses[-20:]) / 20:.2f}", steps=done, songs=pool.songs)
    model.rms.copy_(running.sqrt())
    first, last = (sum(x) / len(x) for x in (losses[:20], losses[-100:]))
    about = {
        "seed": seed,
        "minutes": round((time.monotonic() - began) / 60, 2),
        "steps": done,
        "batch": batch,
        "noise": noise,
        "songs": pool.songs,
        "families": list(families_of("train")),
        "loss_first": round(first, 3),
        "loss_last": round(last, 3),
    }
    return model.eval(), about


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 bad input, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m anacrusis.train.codec.fit", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=15.0, help="how long to train (default 15)")
    parser.add_argument("--steps", type=int, help="this many steps instead: repeatable")
    parser.add_argument("--seed", type=int, default=1, help="of songs, batches and weights (default 1)")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, .safetensors")
    parser.add_argument("--channels", type=int, default=64, help="of the latent (default 64)")
    parser.add_argument("--width", type=int, default=512, help="of the decoder (default 512)")
    parser.add_argument("--noise", type=float, default=0.5, help="most noise on the latent, in its rms (default 0.5)")
    parser.add_argument("--test-songs", type=int, default=30, help="to score on (default 30)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1)")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    try:
        if asked.minutes <= 0 or (asked.steps is not None and asked.steps < 1) or asked.channels < 1:
            raise CorpusError("--minutes, --steps and --channels must be above 0")
        if not asked.out.parent.is_dir():
            raise CorpusError(f"{asked.out.parent} is not a directory; make it first")
        config = AutoencoderConfig(len(Rows()), asked.channels, asked.width)
        model, about = train(config, minutes=asked.minutes, seed=asked.seed, steps=asked.steps, noise=asked.noise)
        about["command"] = "python -m anacrusis.train.codec.fit " + " ".join(arguments or sys.argv[1:])
        tests = whole_songs(Rows(), families_of("test"), asked.test_songs, TEST_SEED)
        about["test_families"] = list(families_of("test"))
        about["scores"] = evaluate(model, tests, SCORED_NOISES, asked.seed)
        save_autoencoder(asked.out, model, about)
    except KeyboardInterrupt:
        return 130
    except AnacrusisError as error:
        print(error, file=sys.stderr)
        return 2
    for stem, by_noise in about["scores"]["stems"].items():
        print(f"{stem:8}" + "".join(f"  F1 at noise {noise}: {value['f1']:.4f}" for noise, value in by_noise.items()))
    print(json.dumps(about, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

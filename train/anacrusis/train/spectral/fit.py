# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Train the spectral codec on the train split of a corpus.

    python -m anacrusis.train.spectral.fit --corpus DIR [--minutes M | --steps N] [--seed S] [--out FILE]

The loss compares spectra, because the latent holds no phases: loudness (log) per bin, L1, louder bins and those where
the ear's bands are narrow counting more; the same of averages over bins and over hops (coarser resolutions); and the
likelihood of the Laplace distribution for the second output. No waveform term and no discriminator: the first has
nothing to hold on to, the second costs more than the budget of a laptop's core; it shows as softness in what is noisy.

`--steps` gives the same file for the same seed on the same machine; `--minutes` stops by the clock.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from anacrusis.engine.errors import AnacrusisError
from anacrusis.train.paths import SPECTRAL_WEIGHTS
from anacrusis.train.spectral.codec import FRAME_SAMPLES, TAIL_SAMPLES, SpectralCodec
from anacrusis.train.spectral.excerpts import Stored, draw, load
from anacrusis.train.spectral.network import BINS, SpectralConfig, SpectralNetwork
from anacrusis.train.spectral.phase import HOP_SAMPLES, N_FFT

FRAMES: Final = 16
BATCH: Final = 8
PEAK_RATE: Final = 5e-4
LINEAR_SHARE: Final = 0.1  # of the rate, for the linear maps: their small weights mean much from the start
WARMUP_STEPS: Final = 200
LATENT_NOISE: Final = 0.07  # added to the latent, in its own standard deviations
PATCHES_FOR_COMPONENTS: Final = 8192
COARSE: Final = ((8, 1), (1, 8), (32, 4))  # bins, hops averaged
QUIET_COUNTS: Final = 0.3  # an error counts by how loud the bin is, plus this; a loud partial has loudness 2
DOUBTFUL: Final = 2  # excerpts of a batch that the second output is trained on; it is the easier one


def magnitudes(audio: Tensor) -> Tensor:
    """audio [B, n] -> [B, 1024, hops], as `EncodeModule.magnitude`, by FFT."""
    window = torch.hann_window(N_FFT)
    return torch.stft(audio, N_FFT, HOP_SAMPLES, window=window, center=False, return_complex=True).abs()[:, :BINS]


def bin_weights() -> Tensor:
    """[1024, 1], mean 1: a bin counts about as much as it is wide on the ear's scale."""
    weight = 1.0 / (torch.arange(BINS, dtype=torch.float32) + 40.0)
    return (weight / weight.mean())[:, None]


def loss_terms(network: SpectralNetwork, magnitude: Tensor, latent: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Named terms, each a scalar; their sum is what is minimised. weight: `bin_weights()`."""
    wanted = network.loudness(magnitude)
    loudness, scale = network.decode(latent)
    apart = (loudness - wanted) * weight
    size = apart.abs()
    coarse = [F.avg_pool2d(apart[:, None], shape).abs().mean() for shape in COARSE]
    some = slice(0, DOUBTFUL)
    doubt = (loudness[some].detach() - wanted[some]).abs() / scale[some] + torch.log(scale[some])
    return {
        "fine": (size * (wanted + QUIET_COUNTS)).mean(),
        "coarse": torch.stack(coarse).mean(),
        "doubt": 0.02 * (doubt * weight).mean(),
    }


def set_components(network: SpectralNetwork, songs: Sequence[Sequence[Stored]], rng: np.random.Generator) -> None:
    """Principal components (not centred: silence must stay 0) of random patches."""
    length = FRAMES * FRAME_SAMPLES + TAIL_SAMPLES
    rows: list[Tensor] = []
    with torch.no_grad():
        while sum(len(r) for r in rows) < PATCHES_FOR_COMPONENTS:
            patches = network.patches(network.loudness(magnitudes(torch.from_numpy(draw(songs, rng, BATCH, length)))))
            rows.append(patches.transpose(1, 2).reshape(-1, patches.shape[1]))
        stacked = torch.cat(rows)
        values, vectors = torch.linalg.eigh(stacked.T @ stacked / len(stacked))
        count = network.config.channels
        network.set_components(vectors[:, -count:].flip(1), values[-count:].flip(0).clamp_min(1e-8).sqrt())


def fit(
    songs: Sequence[Sequence[Stored]],
    *,
    seed: int,
    minutes: float | None = None,
    steps: int | None = None,
    config: SpectralConfig | None = None,
    progress: bool = True,
) -> SpectralCodec:
    """Train from nothing for `steps` steps, or until `minutes` have passed."""
    if (minutes is None) == (steps is None):
        raise ValueError("give minutes or steps")
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = SpectralNetwork(config)
    set_components(network, songs, rng)
    linear = [network.linear_in.weight, network.linear_out.weight]
    others = [weight for weight in network.parameters() if all(weight is not one for one in linear)]
    groups = [{"params": others, "share": 1.0}, {"params": linear, "share": LINEAR_SHARE}]
    optimiser = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=1e-4)
    weight, length = bin_weights(), FRAMES * FRAME_SAMPLES + TAIL_SAMPLES
    begin, done, smoothed = time.monotonic(), 0, dict[str, float]()
    curve: list[tuple[int, float]] = []
    bar = tqdm(total=steps, desc="training", unit="step", file=sys.stderr, disable=not progress)
    while True:
        passed = done / steps if steps else (time.monotonic() - begin) / (60 * (minutes or 1))
        if passed >= 1:
            break
        rate = PEAK_RATE * min(1.0, (done + 1) / WARMUP_STEPS) * (0.5 + 0.5 * math.cos(math.pi * passed))
        for group in optimiser.param_groups:
            group["lr"] = rate * group["share"]
        magnitude = magnitudes(torch.from_numpy(draw(songs, rng, BATCH, length)))
        latent = network.encode(magnitude)
        terms = loss_terms(network, magnitude, latent + LATENT_NOISE * torch.randn_like(latent), weight)
        # Keeps the latent near the variance that the components gave it, as a generator of latents would want.
        loss = sum(terms.values(), 1e-4 * latent.square().mean())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        for name, term in terms.items():
            value = term.item()
            smoothed[name] = 0.98 * smoothed.get(name, value) + 0.02 * value
        if done % 20 == 0:
            bar.set_postfix({name: f"{value:.4f}" for name, value in smoothed.items()}, refresh=False)
        if done % 100 == 0:
            curve.append((done, round(sum(smoothed.values()), 5)))
        done += 1
        bar.update()
    bar.close()
    set_scale(network, songs, rng)
    about = {
        "seed": seed,
        "steps": done,
        "minutes": round((time.monotonic() - begin) / 60, 2),
        "songs": len(songs),
        "loss": {name: round(value, 5) for name, value in smoothed.items()},
        "curve": curve,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    return SpectralCodec(network, about)


def set_scale(network: SpectralNetwork, songs: Sequence[Sequence[Stored]], rng: np.random.Generator) -> None:
    """Give every channel of the latent unit variance over the corpus."""
    length = FRAMES * FRAME_SAMPLES + TAIL_SAMPLES
    with torch.no_grad():
        audio = torch.from_numpy(np.concatenate([draw(songs, rng, BATCH, length) for _ in range(16)]))
        latent = network.encode(magnitudes(audio))
        network.scale.mul_(latent.std((0, 2)).clamp_min(1e-4))


def corpus_of(folder: Path) -> dict[str, Any]:
    """How a corpus of ours was made, without its songs; empty for another data set."""
    try:
        plan = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
        return {key: plan[key] for key in ("seed", "split", "hours", "seconds") if key in plan}
    except (OSError, ValueError, TypeError):
        return {}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 bad input, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m anacrusis.train.spectral.fit", description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="a folder that anacrusis.train.corpus wrote")
    parser.add_argument("--minutes", type=float, default=None, help="stop by the clock (30 if --steps is not given)")
    parser.add_argument("--steps", type=int, default=None, help="stop after so many steps: repeatable")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--hours", type=float, default=2.0, help="read at most so much of the train split (1.3 GB an hour)"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=SPECTRAL_WEIGHTS)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    if options.minutes is not None and options.steps is not None:
        parser.error("give --minutes or --steps, not both")
    minutes = 30.0 if options.minutes is None and options.steps is None else options.minutes
    if (minutes is not None and minutes <= 0) or (options.steps is not None and options.steps < 1):
        parser.error("--minutes and --steps must be positive")
    try:
        songs = load(options.corpus, "train", options.hours)
        codec = fit(songs, seed=options.seed, minutes=minutes, steps=options.steps)
        codec.about["corpus"] = corpus_of(options.corpus)
        codec.save(options.out)
    except AnacrusisError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(_json(options.out, codec.about))
    return 0


def _json(path: Path, about: dict[str, Any]) -> str:
    return json.dumps({"file": str(path), "bytes": path.stat().st_size, **about}, separators=(",", ":"))


if __name__ == "__main__":
    sys.exit(main())

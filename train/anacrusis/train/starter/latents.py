# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A data set of audio as pieces: stems and their sums once through Music2Latent's encoder, kept as `pieces.py` keeps
its own. For the full-size network, of any data set that `open_dataset` reads: Slakh2100's layout, or a corpus of ours.

    OUT/latents-KEY/NAME.npz    latents float16 [4, 64, F]; contexts float16 [8, 65, F]; masks [8]; offset_samples

Contexts: all but one stem, and each stem alone (which is its latent, encoded already). Their last channel is 1: heard.
A song is encoded in stretches of a window, because the encoder's normalisations see all that it is given and a live
cycle gives it a window; each stretch hears the 1,536 samples beyond its end, and nothing before its start. A window of
training lies across two stretches, which no live cycle's does. A stem that rests is the encoder's latent of silence,
which is not 0: set drawing's late_start, late_stem, redraw_rest and gain to 0 (`configs/full-size.toml`).

The weights (CC BY-NC 4.0) are the user's: `anacrusis export`'s --codec, or a bundle that has them. Not covered:
a GPU for the encoder, windows (`windows.py`).
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from anacrusis.engine.errors import CheckpointError
from anacrusis.engine.networks.music2latent import Music2Latent, infer_config
from anacrusis.engine.networks.stages import EncodeStage
from anacrusis.export.checkpoint import read_tensors
from anacrusis.export.load import load_codec
from anacrusis.train.dataset import Track, open_dataset
from anacrusis.train.song import STEMS, CorpusError
from anacrusis.train.starter.pieces import described, save_piece
from anacrusis.train.starter.windows import Piece

F32 = NDArray[np.float32]
VERSION: Final = 1
FRAME_SAMPLES: Final = 4096
TAIL_SAMPLES: Final = 1536  # what the transform of a window's last frame reads beyond it
STRETCH_FRAMES: Final = 64


class Encoder:
    """Audio to latents. The stretch of silence is encoded once."""

    def __init__(self, codec: Music2Latent) -> None:
        self.codec = codec.eval().requires_grad_(False)
        self._stage = EncodeStage(self.codec)
        self._silence: F32 | None = None

    @classmethod
    def load(cls, source: Path) -> Encoder:
        """Of a bundle's folder, a file in the published layout, or "music2latent", the installed package's.

        Raises CorpusError, CheckpointError or MissingExtraError.
        """
        if not source.is_dir():
            return cls(load_codec(source)[0])
        file = source / "weights.safetensors"
        found = read_tensors(file).tensors
        own = {name.removeprefix("codec."): array for name, array in found.items() if name.startswith("codec.")}
        try:
            with torch.device("meta"):
                codec = Music2Latent(infer_config({name: array.shape for name, array in own.items()}))
            tensors = {name: torch.from_numpy(np.array(array, np.float32)) for name, array in own.items()}
            codec.load_state_dict(tensors, assign=True)
        except (KeyError, IndexError, RuntimeError) as error:
            why = " ".join(str(error).split())[:160]
            raise CorpusError(
                f"{file} holds no Music2Latent ({why}); give a bundle that was exported with it"
            ) from None
        return cls(codec)

    @property
    def channels(self) -> int:
        return self.codec.config.latent_channels

    def key(self) -> bytes:
        """Of the encoder's weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.codec.encoder.state_dict().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.digest()

    def __call__(self, audio: F32, frames: int) -> F32:
        """audio [n], from the first frame's first sample on; silence beyond its end -> latent [C, frames]."""
        samples = STRETCH_FRAMES * FRAME_SAMPLES
        stretches = -(-frames // STRETCH_FRAMES)
        padded = np.zeros(stretches * samples + TAIL_SAMPLES, np.float32)
        padded[: len(audio)] = audio[: len(padded)]
        parts = [self._stretch(padded[i * samples : (i + 1) * samples + TAIL_SAMPLES]) for i in range(stretches)]
        return np.concatenate(parts, axis=1)[:, :frames]

    def _stretch(self, audio: F32) -> F32:
        if audio.any():
            return self._encode(audio)
        if self._silence is None:
            self._silence = self._encode(audio)
        return self._silence

    def _encode(self, audio: F32) -> F32:
        with torch.inference_mode():
            latent: F32 = self._stage(torch.from_numpy(audio)[None], torch.ones(1, 1, STRETCH_FRAMES))[0].numpy()
        return latent


def audio_piece(track: Track, encoder: Encoder) -> Piece:
    """Raises AudioError for a stem that cannot be read."""
    rng = np.random.default_rng(np.random.SeedSequence([VERSION, zlib.crc32(track.name.encode())]))
    offset = int(rng.integers(FRAME_SAMPLES))
    frames = -(-(track.length_samples + offset) // FRAME_SAMPLES)
    stems = [track.stem(stem, -offset, frames * FRAME_SAMPLES) for stem in STEMS]
    everyone = (1 << len(STEMS)) - 1
    alone = {1 << i: encoder(audio, frames) for i, audio in enumerate(stems)}
    heard = dict(alone)
    for i in range(len(STEMS)):
        others = np.stack([audio for j, audio in enumerate(stems) if j != i]).sum(axis=0)
        heard[everyone & ~(1 << i)] = encoder(others.astype(np.float32), frames)
    ones = np.ones((1, frames), np.float32)
    contexts = {mask: np.concatenate([latent, ones]).astype(np.float16) for mask, latent in heard.items()}
    return Piece(track.name, offset, np.stack(list(alone.values())).astype(np.float16), contexts)


def make_latents(
    corpus: Path, out: Path, *, split: str | None = None, codec: Path, progress: bool = True
) -> list[Path]:
    """The pieces' files of one data set, made where they are missing, in its order.

    Raises CorpusError, AudioError or CheckpointError; what was made until then stays.
    """
    tracks = open_dataset(corpus, split)
    try:
        encoder = Encoder.load(codec)
    except CheckpointError as error:
        raise CorpusError(f"{error}; --codec wants Music2Latent's weights or a bundle that has them") from None
    digest = hashlib.sha256(f"{VERSION} {STRETCH_FRAMES}".encode() + described(corpus) + encoder.key())
    folder = out / f"latents-{digest.hexdigest()[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusError(f"cannot write into {out}: {error}") from None
    todo = [track for track in tracks if not (folder / f"{track.name}.npz").is_file()]
    for track in tqdm(todo, desc="latents", unit="song", file=sys.stderr, disable=not (progress and todo)):
        save_piece(audio_piece(track, encoder), folder / f"{track.name}.npz")
    return [folder / f"{track.name}.npz" for track in tracks]

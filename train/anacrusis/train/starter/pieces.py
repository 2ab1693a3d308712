# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A corpus as pieces: each song once through the codec and the filterbank, kept for as many trainings as one likes.

    python -m anacrusis.train.starter.pieces --corpus DIR [DIR ...] --split train --out DIR [--processes N]

    OUT/pieces-KEY/NAME.npz    latents float16 [4, 64, F]; contexts float16 [choices, 149, F]; masks [choices];
    events uint8 [F, 4, rows]; offset_samples

KEY is of what the pieces are made from: the corpus' hashes, the codec's weights, the filterbank's source and this
file's numbers. The encoder is not linear, so who is heard together is encoded together: all four leave-one-out sums,
and some smaller bands drawn for the song. A song begins anywhere in its first frame, drawn too.

Not covered: windows (`windows.py`), audio of any other rate. Exit 0 done, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.networks import filterbank
from anacrusis.train.codec.autoencoder import FrameAutoencoder
from anacrusis.train.codec.codec import load_autoencoder
from anacrusis.train.codec.roll import by_frame, to_notes, to_roll
from anacrusis.train.codec.rows import FRAME_SAMPLES, HOPS_PER_FRAME, Rows
from anacrusis.train.dataset import Track, open_dataset
from anacrusis.train.song import SPLITS, STEMS, CorpusError, Note
from anacrusis.train.starter.windows import Piece

F32 = NDArray[np.float32]
CODEC: Final = Path("assets/codec/roll.safetensors")
SMALLER_BANDS: Final = 3
VERSION: Final = 2


class NoteLatents:
    """Notes to latents and back: the roll codec without its voice, which takes seconds to record."""

    def __init__(self, autoencoder: FrameAutoencoder) -> None:
        self.rows, self.autoencoder = Rows(), autoencoder
        if autoencoder.config.rows != len(self.rows):
            raise CorpusError(f"the codec's weights have {autoencoder.config.rows} rows, not {len(self.rows)}")

    @classmethod
    def load(cls, path: Path = CODEC) -> NoteLatents:
        """Raises CorpusError for a file that holds no codec."""
        return cls(load_autoencoder(path)[0])

    def encode(self, notes: Iterable[Note], stem: str, frames: int, start_samples: int = 0) -> F32:
        """Latent [C, frames] of a stretch that begins at start_samples."""
        roll = np.zeros((frames, HOPS_PER_FRAME, len(self.rows), 2), np.float32)
        own = to_roll(notes, self.rows.group(stem), frames * HOPS_PER_FRAME, start_samples)
        roll[:, :, self.rows.span(stem)] = by_frame(own)
        with torch.inference_mode():
            latent = self.autoencoder.encode(torch.from_numpy(roll))
        return np.ascontiguousarray(latent.numpy().T)

    def events(self, notes: Mapping[str, Iterable[Note]], frames: int, start_samples: int = 0) -> NDArray[np.uint8]:
        """What latents of those stems are the code of, as `Piece.events`: [frames, 4, rows]."""
        roll = np.zeros((frames, HOPS_PER_FRAME, len(self.rows), 2), np.float32)
        for stem, own in notes.items():
            part = to_roll(own, self.rows.group(stem), frames * HOPS_PER_FRAME, start_samples)
            roll[:, :, self.rows.span(stem)] = by_frame(part)
        with torch.inference_mode():
            x = self.autoencoder.features(torch.from_numpy(roll)).numpy()
        cells = HOPS_PER_FRAME * len(self.rows)
        onset, velocity, end = (x[:, i * cells : (i + 1) * cells].reshape(roll.shape[:3]) for i in range(3))
        planes = [
            np.packbits(onset > 0, axis=1, bitorder="little")[:, 0],
            np.rint(255 * velocity.max(axis=1)).astype(np.uint8),
            np.packbits(end > 0.5, axis=1, bitorder="little")[:, 0],
            (x[:, 3 * cells :] > 0.5).astype(np.uint8),
        ]
        return np.stack(planes, axis=1)

    def notes(self, latent: F32, stem: str, start_samples: int = 0) -> tuple[Note, ...]:
        """What a latent [C, frames] says that one stem plays."""
        with torch.inference_mode():
            roll = self.autoencoder.roll(torch.from_numpy(np.ascontiguousarray(latent.T, np.float32))).numpy()
        group = self.rows.group(stem)
        return to_notes(roll[:, :, self.rows.span(stem)].reshape(-1, len(group), 2), group, start_samples)


def bands_of(rng: np.random.Generator, smaller: int = SMALLER_BANDS) -> tuple[int, ...]:
    """Who is heard, a bit a stem: all but one each, and some pairs or single stems."""
    everyone = (1 << len(STEMS)) - 1
    leave_one_out = [everyone & ~(1 << stem) for stem in range(len(STEMS))]
    others = [mask for mask in range(1, everyone) if mask.bit_count() <= 2]
    return (*leave_one_out, *sorted(int(m) for m in rng.choice(others, smaller, replace=False)))


def encoded_sums(stems: F32, masks: Sequence[int], bank: filterbank.Filterbank) -> dict[int, NDArray[np.float16]]:
    """What the filterbank says of sums of stems [stems, 4096 * frames]: mask -> [E, frames], all heard.

    The same as encoding each sum, but each stem goes through the sinusoids once: until the power is taken all is
    linear.
    """
    frames = stems.shape[1] // FRAME_SAMPLES
    audio = torch.from_numpy(stems)
    contexts = {}
    with torch.inference_mode():
        spectra = [_complex(module, audio) for module in (*bank.octaves, bank.levels)]
        for mask in masks:
            chosen = [i for i in range(len(stems)) if mask >> i & 1]
            power = [torch.stack(s[chosen].sum(dim=0).square().chunk(2, dim=1)).sum(dim=0).T for s in spectra]
            parts = [p.reshape(12, frames, -1).mean(2) for p in power[:-1]]
            bands = power[-1].reshape(filterbank.BANDS, filterbank.TONES_A_BAND, frames, -1).mean(1)
            parts.append(bands.transpose(1, 2).reshape(filterbank.LEVELS, frames))
            features = torch.log1p(torch.cat(parts) / filterbank.FLOOR) / filterbank.SCALE
            contexts[mask] = torch.cat([features, torch.ones(1, frames)]).numpy().astype(np.float16)
    return contexts


def _complex(module: nn.Module, audio: Tensor) -> Tensor:
    """[stems, n] -> [stems, n / hop, 2 * tones]: real and imaginary parts, whose squares are the power."""
    assert isinstance(module, filterbank.Sinusoids)
    hop, window = module.hop_samples, module.blocks * module.hop_samples
    columns = F.pad(audio, (window - hop, 0)).unfold(1, window, hop)
    kernel = module.kernel[:, :, 0].T * module.gain**0.5
    return torch.stack([stem @ kernel for stem in columns])


def make_piece(track: Track, codec: NoteLatents, bank: filterbank.Filterbank) -> Piece:
    """Raises CorpusError or AudioError for a song that cannot be read."""
    song = track.song
    rng = np.random.default_rng(np.random.SeedSequence([VERSION, song.seed]))
    offset = int(rng.integers(FRAME_SAMPLES))
    frames = -(-(track.length_samples + offset) // FRAME_SAMPLES)
    notes = [song.parts[stem].notes if stem in song.parts else () for stem in STEMS]
    latents = np.stack([codec.encode(n, stem, frames, -offset) for n, stem in zip(notes, STEMS, strict=True)])
    events = codec.events(dict(zip(STEMS, notes, strict=True)), frames, -offset)
    stems = np.stack([track.stem(stem, -offset, frames * FRAME_SAMPLES) for stem in STEMS])
    contexts = encoded_sums(stems, bands_of(rng), bank)
    return Piece(track.name, offset, latents.astype(np.float16), contexts, events)


def save_piece(piece: Piece, path: Path) -> None:
    """At once, complete."""
    masks = sorted(piece.contexts)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            latents=piece.latents,
            contexts=np.stack([piece.contexts[mask] for mask in masks]),
            masks=np.array(masks, np.int64),
            events=np.zeros(0, np.uint8) if piece.events is None else piece.events,
            offset_samples=np.array(piece.offset_samples, np.int64),
        )
    os.replace(part, path)


def load_piece(path: Path) -> Piece:
    """Raises CorpusError for a file that is none."""
    try:
        with np.load(path) as file:
            contexts, masks = file["contexts"], file["masks"]
            held = {int(mask): contexts[i] for i, mask in enumerate(masks)}
            events = file["events"]
            offset_samples = int(file["offset_samples"])
            return Piece(path.stem, offset_samples, file["latents"], held, events if events.size else None)
    except (OSError, ValueError, KeyError) as error:
        raise CorpusError(f"{path} is no piece ({error}); delete it and run the command again") from None


def described(corpus: Path) -> bytes:
    """What a corpus is: its songs' hashes; of another layout their names and lengths. Raises CorpusError."""
    listed = corpus / "corpus.json"
    if not listed.is_file():
        return repr([(t.name, t.length_samples) for t in open_dataset(corpus)]).encode()
    try:
        songs = json.loads(listed.read_text(encoding="utf-8"))["songs"]
        return json.dumps([[s["name"], s["hashes"]] for s in songs], sort_keys=True).encode()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"cannot read {listed}: {error}") from None


def key_of(corpus: Path, codec: Path) -> str:
    """What pieces of a corpus depend on, as 12 hex digits."""
    digest = hashlib.sha256(f"{VERSION} {SMALLER_BANDS}".encode())
    digest.update(described(corpus))
    try:
        digest.update(codec.read_bytes())
        digest.update(Path(filterbank.__file__).read_bytes())
    except OSError as error:
        raise CorpusError(f"cannot read {codec}: {error}") from None
    return digest.hexdigest()[:12]


def _work(out: Path, codec: Path, track: Track) -> None:
    path = out / f"{track.name}.npz"
    if not path.is_file():
        if not _TOOLS:
            torch.set_num_threads(1)
            _TOOLS.append((NoteLatents.load(codec), filterbank.Filterbank().eval()))
        save_piece(make_piece(track, *_TOOLS[0]), path)


_TOOLS: list[tuple[NoteLatents, filterbank.Filterbank]] = []  # of this process


def _quiet() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one ends the others


def make_pieces(
    corpus: Path, out: Path, *, split: str | None = None, codec: Path = CODEC, processes: int = 1, progress: bool = True
) -> list[Path]:
    """The pieces' files of one corpus, made where they are missing, in the songs' order.

    Raises CorpusError or AudioError; what was made until then stays.
    """
    tracks = open_dataset(corpus, split)
    folder = out / f"pieces-{key_of(corpus, codec)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CorpusError(f"cannot write into {out}: {error}") from None
    todo = [track for track in tracks if not (folder / f"{track.name}.npz").is_file()]
    work = partial(_work, folder, codec)
    with tqdm(desc="pieces", total=len(todo), unit="song", file=sys.stderr, disable=not (progress and todo)) as bar:
        if processes == 1 or len(todo) < 2:
            for track in todo:
                work(track)
                bar.update()
        else:
            with ProcessPoolExecutor(processes, get_context("spawn"), _quiet) as pool:
                try:
                    for _ in pool.map(work, todo):
                        bar.update()
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
    return [folder / f"{track.name}.npz" for track in tracks]


def load_pieces(paths: Sequence[Path]) -> list[Piece]:
    """All into memory: about 3 MB a minute of music. Raises CorpusError for a broken one, or none."""
    if not paths:
        raise CorpusError("there are no pieces to train on; write a corpus with python -m anacrusis.train.corpus")
    return [load_piece(path) for path in paths]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 bad input, 130 interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m anacrusis.train.starter.pieces", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--corpus", type=Path, nargs="+", required=True, help="folders that anacrusis.train.corpus wrote"
    )
    parser.add_argument("--out", type=Path, required=True, help="where pieces-KEY folders are made or found")
    parser.add_argument("--split", choices=SPLITS, help="only this split's songs (default: all)")
    parser.add_argument("--codec", type=Path, default=CODEC, help="the codec's weights (default %(default)s)")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        made = [
            make_pieces(corpus, options.out, split=options.split, codec=options.codec, processes=options.processes)
            for corpus in options.corpus
        ]
    except AnacrusisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps({"pieces": sum(map(len, made)), "folders": [str(m[0].parent) for m in made]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The note-roll codec: a stem's notes to a latent of C numbers a frame, and a latent to sound.

    part --roll--> [frames, 8, rows, 2] --FrameAutoencoder--> latent [C, frames]
    latent --FrameAutoencoder--> gain, hold --Playback--> audio at 44.1 kHz

`DecodeModule` is the bundle's decode graph: audio = [taper of zeros][frames - taper frames of sound][taper of zeros],
where the taper is what the longest recorded note needs. Only samples between the tapers are meant to be used. A
decode of more than `taper_frames` frames costs autoencoder work for all of them and playback for those after it.

What goes in is notes, not audio: the codec of the target, not of the context (`filterbank.py` is that).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from anacrusis.engine.window import Geometry
from anacrusis.train.codec.autoencoder import AutoencoderConfig, FrameAutoencoder
from anacrusis.train.codec.notes import record
from anacrusis.train.codec.playback import Bank, Playback
from anacrusis.train.codec.roll import by_frame, to_notes, to_roll
from anacrusis.train.codec.rows import FRAME_SAMPLES, HOPS_PER_FRAME, Rows
from anacrusis.train.song import CorpusError, Note, Part

Latent = NDArray[np.float32]
WINDOW_FRAMES: Final = 64
FORMAT: Final = "anacrusis roll codec 1"
DECODE_CHUNK_FRAMES: Final = 32
METADATA_KEY: Final = "about"


class DecodeModule(nn.Module):
    """latent [stems, C, frames], frames > taper_frames -> audio [stems, 4096 * frames + taper]."""

    def __init__(self, autoencoder: FrameAutoencoder, playback: Playback) -> None:
        super().__init__()
        self.autoencoder, self.playback = autoencoder, playback

    @property
    def taper_samples(self) -> int:
        """What a manifest calls `decode_taper_samples`."""
        return self.playback.taper_samples

    @property
    def least_frames(self) -> int:
        """The shortest stretch that can be decoded: one frame more than the taper."""
        return self.playback.taper_frames + 1

    def forward(self, latent: Tensor) -> Tensor:
        """See the class."""
        stems, channels, frames = latent.shape
        gain, hold = self.autoencoder.gates(latent.transpose(1, 2).reshape(stems * frames, channels))
        rows = gain.shape[-1]
        gain, hold = (x.reshape(stems, frames * HOPS_PER_FRAME, rows).transpose(1, 2) for x in (gain, hold))
        return nn.functional.pad(self.playback(gain, hold), (self.taper_samples, self.taper_samples))


class RollCodec:
    """Notes -> latent -> sound. Torch on the calling thread; not thread-safe.

    rows: what the autoencoder's rows are. about: where the weights come from, kept in the file.
    """

    def __init__(
        self,
        autoencoder: FrameAutoencoder,
        banks: Sequence[Bank],
        rows: Rows | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.rows = rows or Rows()
        if autoencoder.config.rows != len(self.rows) or [b.group for b in banks] != list(self.rows.groups):
            raise CorpusError(f"the codec's weights have {autoencoder.config.rows} rows, its notes other; record again")
        self.autoencoder, self.banks = autoencoder.eval(), tuple(banks)
        self.about = dict(about or {})
        self.decoder = DecodeModule(self.autoencoder, Playback(self.banks)).eval()

    @property
    def channels(self) -> int:
        """C."""
        return self.autoencoder.config.channels

    def geometry(self, encode_tail_samples: int = 0) -> Geometry:
        """What a manifest says of this codec; the tail is the context encoder's."""
        return Geometry(FRAME_SAMPLES, WINDOW_FRAMES, encode_tail_samples, self.decoder.taper_samples)

    def encode(self, part: Part, stem: str, length_samples: int, start_samples: int = 0) -> Latent:
        """Latent [C, frames] of a stretch; the last frame is filled up with silence."""
        return self.encode_notes(part.notes, stem, -(-length_samples // FRAME_SAMPLES), start_samples)

    def encode_notes(self, notes: Iterable[Note], stem: str, frames: int, start_samples: int = 0) -> Latent:
        """As `encode`, of a whole number of frames. Raises KeyError for an unknown stem."""
        group, span = self.rows.group(stem), self.rows.span(stem)
        own = by_frame(to_roll(notes, group, frames * HOPS_PER_FRAME, start_samples))
        roll = np.zeros((frames, HOPS_PER_FRAME, len(self.rows), 2), np.float32)
        roll[:, :, span] = own
        with torch.inference_mode():
            latent = self.autoencoder.encode(torch.from_numpy(roll))
        return np.ascontiguousarray(latent.numpy().T)

    def notes(self, latent: Latent, stem: str, start_samples: int = 0) -> tuple[Note, ...]:
        """What a latent [C, frames] says that one stem plays."""
        with torch.inference_mode():
            roll = self.autoencoder.roll(torch.from_numpy(np.ascontiguousarray(latent.T, np.float32))).numpy()
        own = roll[:, :, self.rows.span(stem)].reshape(-1, len(self.rows.group(stem)), 2)
        return to_notes(own, self.rows.group(stem), start_samples)

    def decode(self, latent: Latent) -> NDArray[np.float32]:
        """Latent [stems, C, frames] of any length, silence before it -> audio [stems, 4096 * frames]. In pieces."""
        taper = self.decoder.playback.taper_frames
        stems, _, frames = latent.shape
        padded = np.pad(latent.astype(np.float32), ((0, 0), (0, 0), (taper, 0)))
        audio = np.zeros((stems, frames * FRAME_SAMPLES), np.float32)
        samples = self.decoder.taper_samples
        with torch.inference_mode():
            for start in range(0, frames, DECODE_CHUNK_FRAMES):
                stop = min(start + DECODE_CHUNK_FRAMES, frames)
                piece = self.decoder(torch.from_numpy(padded[:, :, start : stop + taper].copy()))
                audio[:, start * FRAME_SAMPLES : stop * FRAME_SAMPLES] = piece[:, samples:-samples].numpy()
        return audio

    def save(self, path: Path) -> None:
        """The autoencoder in float16, with its config and `about`. The recorded notes are made anew when loaded."""
        save_autoencoder(path, self.autoencoder, self.about)

    @classmethod
    def load(cls, path: Path, soundfont: Path | None = None, banks: Sequence[Bank] | None = None) -> RollCodec:
        """Weights from a file of `save`, notes from the soundfont unless given.

        Raises CorpusError where either cannot be had.
        """
        autoencoder, about = load_autoencoder(path)
        return cls(autoencoder, banks or record(soundfont), about=about)


def save_autoencoder(path: Path, autoencoder: FrameAutoencoder, about: Mapping[str, Any]) -> None:
    """float16 weights (`rms` stays float32), the config and `about` as metadata."""
    tensors = {
        name: (tensor if name == "rms" else tensor.to(torch.float16)).contiguous()
        for name, tensor in autoencoder.state_dict().items()
    }
    body = {"config": asdict(autoencoder.config), METADATA_KEY: dict(about)}
    save_file(tensors, path, metadata={"format": FORMAT, "codec": json.dumps(body, sort_keys=True)})
    path.chmod(0o644)


def load_autoencoder(path: Path) -> tuple[FrameAutoencoder, dict[str, Any]]:
    """The autoencoder, in float32 and eval mode, and its `about`. Raises CorpusError for a file that is none."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CorpusError(f"{path} holds no roll codec of this version; make one with {_FIT}")
            body = json.loads(metadata["codec"])
            autoencoder = FrameAutoencoder(AutoencoderConfig(**body["config"]))
            autoencoder.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorpusError(f"cannot read the codec {path} ({why}); make one with {_FIT}") from None
    return autoencoder.eval(), body[METADATA_KEY]


_FIT: Final = "python -m anacrusis.train.codec.fit"

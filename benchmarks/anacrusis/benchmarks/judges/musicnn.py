# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""musicnn (Pons and Serra, ISMIR 2019 late-breaking): a music tagger, for its embedding. torch, weights of its wheel.

The network tags 3 seconds of music with 50 words of MagnaTagATune. Between, it has 200 numbers that say what the sound
is like: `embed`. Its own code does not run on the TensorFlow of today, so the network is written again here, and its
weights are read where pip put them (tensor_bundle.py). Against its own graph in TensorFlow, on 18 s of guitar: tags
within 2e-7, embeddings within 2e-6 (of 2.1 at most). Code and weights of musicnn are ISC.

    mel         16 kHz, 512-sample frames each 256, 96 bands, power, log10(1 + 10,000 x)
    front end   two timbral convolutions (7 frames by 38 and 67 bands) and three temporal ones (128, 64, 32 frames by 1
                band), each with its maximum over frequency: 561 features a frame
    middle      three convolutions over 7 frames, 64 features each, the later two added to what they read
    back end    maximum and mean over the patch of all 753 features, 200 units, 50 tags

Not covered: the larger MSD models, VGG, training.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.judges.onsets import SAMPLE_RATE_HZ, Audio, checked
from anacrusis.benchmarks.judges.packages import folder_of, need
from anacrusis.benchmarks.judges.tensor_bundle import read_tensors

MODEL: Final = "MTT_musicnn"
RATE_HZ: Final = 16000
FRAME, HOP, BANDS = 512, 256, 96
PATCH_FRAMES: Final = 187  # what the network was trained on: 2.99 s
WIDTH: Final = 200
TEMPORAL_FRAMES: Final = (128, 64, 32)
EPSILON: Final = 1e-3  # TensorFlow's, of batch normalisation
BATCH: Final = 1  # patches at a time: on one core eight together take 2.4 times as long, out of the cache

Floats = NDArray[np.float32]


def embed(audio: Audio) -> Floats:
    """float32 [n] at 44.1 kHz -> float32 [patches, 200], one each 2.99 s, the last part patch left out; maybe none.

    The clip is heard at its own level: level is part of what FAD compares. Raises JudgeError where torch, librosa or
    musicnn is not installed, or the clip is not finite mono.
    """
    return _run(audio)[0]


def tags(audio: Audio) -> Floats:
    """float32 [n] at 44.1 kHz -> [patches, 50], 0 to 1: musicnn's tags, in the order of its MTT_LABELS. As `embed`."""
    return _run(audio)[1]


def mel(audio: Audio) -> Floats:
    """float32 [n] at 44.1 kHz -> [frames, 96], log10(1 + 10,000 mel power), 62.5 frames a second."""
    librosa = need("librosa")
    clip = need("soxr").resample(checked(audio), SAMPLE_RATE_HZ, RATE_HZ)
    power = librosa.feature.melspectrogram(y=clip, sr=RATE_HZ, n_fft=FRAME, hop_length=HOP, n_mels=BANDS)
    return np.asarray(np.log10(1 + 10000 * power.T), np.float32)


def _run(audio: Audio) -> tuple[Floats, Floats]:
    torch = need("torch")
    frames = mel(audio)
    count = len(frames) // PATCH_FRAMES
    if not count:
        return np.zeros((0, WIDTH), np.float32), np.zeros((0, 50), np.float32)
    patches = torch.from_numpy(frames[: count * PATCH_FRAMES].reshape(count, 1, PATCH_FRAMES, BANDS))
    with torch.inference_mode():
        outputs = [_network(patches[start : start + BATCH]) for start in range(0, count, BATCH)]
    embeddings, likely = (torch.cat(parts).numpy() for parts in zip(*outputs, strict=True))
    return embeddings, likely


def _network(patches: Any) -> tuple[Any, Any]:
    """[b, 1, 187, 96] -> [b, 200], [b, 50]. Numbers in names: TensorFlow's, by the order of making."""
    torch, weights = need("torch"), _weights()
    pad = torch.nn.functional.pad

    def normalise(x: Any, layer: int) -> Any:
        """Batch normalisation over axis 1."""
        name = "batch_normalization" + (f"_{layer}" if layer else "")
        mean, var, gamma, beta = (weights[f"{name}/{w}"] for w in ("moving_mean", "moving_variance", "gamma", "beta"))
        scale = gamma / torch.sqrt(var + EPSILON)
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return x * scale.reshape(shape) + (beta - mean * scale).reshape(shape)

    def convolve(x: Any, layer: int) -> Any:
        name = "conv2d" + (f"_{layer}" if layer else "")
        return torch.relu(torch.nn.functional.conv2d(x, weights[f"{name}/kernel"], weights[f"{name}/bias"]))

    heard = normalise(patches, 0)
    front = [normalise(convolve(pad(heard, (0, 0, 3, 3)), layer), layer + 1).amax(3) for layer in (0, 1)]
    for layer, frames in enumerate(TEMPORAL_FRAMES, start=2):
        # TensorFlow's "same" for an even kernel: one more zero after than before.
        padded = pad(heard, (0, 0, (frames - 1) // 2, frames // 2))
        front.append(normalise(convolve(padded, layer), layer + 1).amax(3))

    features = [torch.cat(front, 1)]  # [b, 561, 187]
    for layer in (5, 6, 7):
        # A convolution over all features at once: they are its columns, [b, 1, 187, features].
        columns = pad(features[-1].transpose(1, 2).unsqueeze(1), (0, 0, 3, 3))
        found = normalise(convolve(columns, layer), layer + 1).squeeze(3)
        features.append(found if layer == 5 else found + features[-1])

    everything = torch.cat(features, 1)  # [b, 753, 187]
    pooled = torch.stack([everything.amax(2), everything.mean(2)], 2).flatten(1)  # maximum, mean, feature by feature
    hidden = torch.relu(normalise(pooled, 9) @ weights["dense/kernel"] + weights["dense/bias"])
    embedding = normalise(hidden, 10)
    return embedding, torch.sigmoid(embedding @ weights["dense_1/kernel"] + weights["dense_1/bias"])


@cache
def _weights() -> dict[str, Any]:
    """The wheel's weights; kernels of convolutions as torch has them, [out, in, height, width]."""
    torch = need("torch")
    read = read_tensors(folder_of("musicnn") / MODEL)
    return {
        name: torch.from_numpy(np.ascontiguousarray(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value))
        for name, value in read.items()
    }

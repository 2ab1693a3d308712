# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A window that ends in silence, encoded without most of it: the same latent, wherever the silence begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anacrusis.engine.backends.onnxruntime import OnnxRuntimeBackend
from anacrusis.engine.backends.onnxruntime_memory import DeviceMemory
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.pipeline import Binding
from anacrusis.engine.silence import frames_to_encode
from anacrusis.engine.window import Geometry

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.norm import GroupNorm  # noqa: E402
from anacrusis.engine.networks.pause import Pause, margins_frames  # noqa: E402
from anacrusis.engine.networks.stages import EncodeStage  # noqa: E402
from anacrusis.export.seeded import seeded_networks  # noqa: E402

FRAME, TAIL, WINDOW, SILENT = 4096, 1536, 64, 11
GEOMETRY = Geometry(FRAME, WINDOW, TAIL, TAIL)


def window_of(now: int, level: float = 0.3, window: int = WINDOW) -> np.ndarray:
    """Noise up to `now`, clipped at full scale, then zeros: float32 [1, window and tail]."""
    audio = np.random.default_rng(now).standard_normal((1, FRAME * window + TAIL)).astype(np.float32)
    audio = np.clip(level * audio, -1.0, 1.0)
    audio[:, now:] = 0.0
    return audio


def mask(heard_frames: int, window: int = WINDOW) -> np.ndarray:
    return (np.arange(window) < heard_frames).astype(np.float32)[None, None]


# -- how much is read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "heard", "frames"),
    [
        # samples that sound, frames that are kept -> frames to read
        (32 * FRAME, 32, 43),  # r = .25, w = 1
        (32 * FRAME + 1, 32, 44),  # the frame that `now` is in
        (33 * FRAME, 32, 44),
        (33 * FRAME + 1, 32, 45),  # a context tail masks one frame more than is unheard
        (31 * FRAME + 1, 32, 43),
        (7, 32, 43),  # silence was played: what was heard is read all the same
        (0, 32, 43),
        (0, 64, 64),
        (0, 0, 11),
        (48 * FRAME, 48, 59),
        (52 * FRAME, 52, 63),
        (53 * FRAME, 53, 64),
        (53 * FRAME + 1, 53, 64),
        (64 * FRAME, 64, 64),  # w = -1
        (64 * FRAME, 32, 64),  # sound where none can be
        (64 * FRAME + 1, 32, 64),  # in the tail
        (64 * FRAME + TAIL, 32, 64),
    ],
)
def test_frames_to_read(now: int, heard: int, frames: int) -> None:
    assert frames_to_encode(GEOMETRY, window_of(now), mask(heard), SILENT) == frames


def test_sound_after_silence_is_read() -> None:
    audio = window_of(32 * FRAME)
    audio[0, 50 * FRAME] = 1e-30
    assert frames_to_encode(GEOMETRY, audio, mask(32), SILENT) == 62
    audio[0, 50 * FRAME] = np.nan
    assert frames_to_encode(GEOMETRY, audio, mask(32), SILENT) == 62
    audio[0, 50 * FRAME] = -0.0
    assert frames_to_encode(GEOMETRY, audio, mask(32), SILENT) == 43


# -- what a stretch of equal columns needs -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convolutions", "columns", "margins"),
    [
        # (kernel, stride) along time, columns a frame -> frames before, after
        ([], 8, (0, 0)),
        ([(1, 1)] * 9, 8, (0, 0)),
        ([(3, 1)], 8, (1, 1)),
        ([(3, 1)] * 8, 8, (1, 1)),
        ([(3, 1)] * 9, 8, (2, 2)),
        ([(3, 2)], 8, (1, 0)),  # an even map's last column is read by its neighbour
        ([(3, 2), (3, 2), (3, 2)], 8, (1, 0)),
        ([(3, 1), (3, 2)], 8, (1, 1)),
        ([(3, 1), (3, 2)], 2, (1, 1)),
        ([(5, 1), (3, 1), (1, 1)], 1, (3, 3)),
    ],
)
def test_margins(convolutions: list[tuple[int, int]], columns: int, margins: tuple[int, int]) -> None:
    assert margins_frames(convolutions, columns) == margins


def test_margins_of_the_codec() -> None:
    """The same at every width. By hand: 36 columns before at level 0's scale, and at the edge 38."""
    encoder = seeded_networks("tiny", 1).codec.encoder
    assert encoder.margins_frames() == (5, 5)
    assert encoder.silent_frames == SILENT


@pytest.mark.parametrize("left_out", [0, 1, 7])
def test_a_norm_of_a_map_without_some_of_its_equal_columns(left_out: int) -> None:
    torch.manual_seed(0)
    norm = GroupNorm(32, 1e-5)
    whole = torch.randn(2, 32, 6, 16)
    whole[..., 4:12] = whole[..., 4:5] + 20
    want = norm(whole)
    short = torch.cat([whole[..., :5], whole[..., 5 + left_out :]], -1)
    pause = Pause.before(11 - left_out, 16 - left_out, 16)
    assert pause.column == 4
    got = norm(short, pause)
    torch.testing.assert_close(got, torch.cat([want[..., :5], want[..., 5 + left_out :]], -1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pause.put_back(short), whole)


# -- the same latent ---------------------------------------------------------------------------------------------

SHORT_WINDOW = 32  # a power of two: shares of it are exact, so that what is left is rounding in double precision


@pytest.mark.parametrize(
    ("now", "frames", "same"),
    [
        # where the silence begins, frames encoded -> whether the latent is the whole window's
        (8 * FRAME, 19, True),
        (8 * FRAME, 18, False),
        *((8 * FRAME + shift, 20, True) for shift in (1, 511, 512, 513, 2048, FRAME - 1536, FRAME - 1)),
        (8 * FRAME + 1, 19, True),  # the STFT window weighs its first sample with nothing
        (8 * FRAME + 2, 19, False),
        (8 * FRAME - 1, 19, True),
        (0, 11, True),  # nothing but silence
        (1, 12, True),
    ],
)
def test_double_precision_tells_exact_from_close(now: int, frames: int, same: bool) -> None:
    codec = seeded_networks("tiny", 1).codec.double()
    audio = torch.from_numpy(window_of(now, window=SHORT_WINDOW)).double()
    heard = torch.ones(1, 1, SHORT_WINDOW, dtype=torch.float64)
    whole = EncodeStage(codec, torch.float64).double()
    short = EncodeStage(codec, torch.float64, shortens=True).double()
    with torch.inference_mode():
        want, got = latent(whole, audio, heard), latent(short, audio[:, : FRAME * frames + TAIL], heard)
    error = float((want - got).abs().max() / want.abs().max())
    assert (error < 1e-12) is same, error


def latent(stage: EncodeStage, audio: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
    """What the stage gives before it becomes float32."""
    window = heard.shape[-1] if stage.shortens else None
    out: torch.Tensor = stage.codec.encoder(stage.stft(audio), window)
    return out


@pytest.fixture(scope="module")
def backend(tiny: Path) -> OnnxRuntimeBackend:
    return OnnxRuntimeBackend(Bundle.open(tiny, verify=False))


@pytest.fixture(scope="module")
def encoders(backend: OnnxRuntimeBackend) -> tuple[object, object]:
    """Two pipelines: as it is, and one that always encodes the whole window."""
    manifest = backend.bundle.manifest
    binding = Binding(np.eye(len(manifest.stems), dtype=np.float32)[:1], manifest.sampler.table(), 1)
    short, whole = backend.bind(binding), backend.bind(binding)
    assert short._silent_frames == SILENT
    whole._silent_frames = None
    return short, whole


def relative_error(encoders: tuple[object, object], audio: np.ndarray, heard: np.ndarray) -> float:
    latents = []
    for pipeline in encoders:
        pipeline.inputs.audio[...], pipeline.inputs.heard[...] = audio, heard  # type: ignore[attr-defined]
        latents.append(pipeline.encode().copy())  # type: ignore[attr-defined]
    return float(np.abs(latents[0] - latents[1]).max() / np.abs(latents[1]).max())


@pytest.mark.parametrize("level", [3.0, 0.3, 1e-3, 1e-5], ids=["clipped", "loud", "quiet", "faint"])
@pytest.mark.parametrize("now", [32 * FRAME, 32 * FRAME + 1, 33 * FRAME - 1537, 48 * FRAME + 512])
def test_the_rung_encodes_the_same(encoders: tuple[object, object], now: int, level: float) -> None:
    assert relative_error(encoders, window_of(now, level), mask(now // FRAME)) < 1e-4


def test_the_rung_encodes_the_same_bits_where_nothing_is_left_out(encoders: tuple[object, object]) -> None:
    assert relative_error(encoders, window_of(FRAME * WINDOW), mask(WINDOW)) == 0.0


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, FRAME * WINDOW), st.integers(-120, 20), st.integers(-2, 2))
def test_no_cut_changes_the_latent(
    encoders: tuple[object, object], now: int, level_db: int, frames_masked_more: int
) -> None:
    """Wherever `now` is, however loud, and whatever is masked beside what is not wholly heard."""
    heard = min(max(now // FRAME - frames_masked_more, 1), WINDOW)
    assert relative_error(encoders, window_of(now, 10 ** (level_db / 20)), mask(heard)) < 1e-4


def test_lengths_are_bound_once(encoders: tuple[object, object]) -> None:
    (pipeline, _), heard = encoders, mask(32)
    bound = []
    for now in (32 * FRAME, 32 * FRAME + 9, 32 * FRAME, 5, 32 * FRAME + 77):
        relative_error((pipeline,) * 2, window_of(now), heard)
        bound.append(dict(pipeline._encodes))  # type: ignore[attr-defined]
    assert {43, 44, 64} <= bound[1].keys()
    assert bound[1].keys() == bound[-1].keys()
    assert all(bound[1][frames] is bound[-1][frames] for frames in bound[1])


def test_a_device_encodes_the_whole_window(tiny: Path) -> None:
    assert OnnxRuntimeBackend(Bundle.open(tiny, verify=False), memory=DeviceMemory("cpu")).silent_frames() is None


def test_a_bundle_without_the_note_is_encoded_whole(copying: Path) -> None:
    assert OnnxRuntimeBackend(Bundle.open(copying, verify=False)).silent_frames() is None

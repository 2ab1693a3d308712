# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The ruler itself: copying networks copy exactly, and their denoiser does the contract's arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from anacrusis.engine.bundle import STAGES, Bundle
from anacrusis.engine.errors import BundleError

pytest.importorskip("onnx", reason="making a bundle needs onnx: pip install 'anacrusis[export]'")

F32 = NDArray[np.float32]
FRAME, TAIL, WINDOW = 4096, 1536, 64
KEPT = 40  # frames kept by the hand-made case
HEARD = {3: 100.0, 11: 40.0, 20: 60.0}  # context frame -> its value; 3 and 11 are one place of the period


@pytest.fixture(scope="module")
def run(copying: Path) -> Any:
    sessions = {
        s: onnxruntime.InferenceSession(copying / f"{s}.onnx", providers=["CPUExecutionProvider"]) for s in STAGES
    }
    return lambda stage, **feeds: sessions[stage].run(None, feeds)


def noise(*shape: int) -> F32:
    return np.random.default_rng(3).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("frames", [1, 3, 64])
def test_decode_undoes_encode_exactly(run: Any, frames: int) -> None:
    audio = noise(1, FRAME * frames + TAIL)
    (latent,) = run("encode", audio=audio, heard=np.ones((1, 1, frames), np.float32))
    assert latent.shape == (1, FRAME, frames)
    np.testing.assert_array_equal(latent[0, :, -1], audio[0, FRAME * (frames - 1) : FRAME * frames])
    (back,) = run("decode", latent=latent)
    np.testing.assert_array_equal(back[:, : FRAME * frames], audio[:, : FRAME * frames])
    assert back.shape == audio.shape
    assert not back[:, FRAME * frames :].any()


def test_frames_that_were_not_heard_are_zero(run: Any) -> None:
    heard = np.array([1, 0, 1, 0], np.float32).reshape(1, 1, 4)
    (latent,) = run("encode", audio=np.ones((1, 4 * FRAME + TAIL), np.float32), heard=heard)
    np.testing.assert_array_equal(latent, np.broadcast_to(heard, (1, FRAME, 4)))


def test_stems_are_decoded_each_for_itself(run: Any) -> None:
    latent = noise(3, FRAME, 2)
    (audio,) = run("decode", latent=latent)
    np.testing.assert_array_equal(audio[:, : 2 * FRAME], latent.transpose(0, 2, 1).reshape(3, -1))


def test_embed_hands_the_label_on(run: Any) -> None:
    label = np.eye(4, dtype=np.float32)[[2, 0]]
    (cond,) = run("embed", sigma=np.ones(2, np.float32), label=label)
    np.testing.assert_array_equal(cond, label)


def denoise(run: Any, inject: float, newbase: float, *, stems: int = 1, scalings: float = 9.0) -> tuple[F32, F32]:
    """u 10, b 1, source 7, noise 0.25; v = 2 b + 3 u + 5 D. The scalings (c_in, c_skip, c_out) do not matter."""
    state = (stems, FRAME, WINDOW)
    context, keep = np.zeros((1, FRAME, WINDOW), np.float32), np.zeros((1, 1, WINDOW), np.float32)
    for frame, value in HEARD.items():
        context[..., frame] = value
    keep[..., :KEPT] = 1.0
    values = {"u": 10.0, "b": 1.0, "source": 7.0, "noise": 0.25}
    u_next, b_next = run(
        "denoise",
        **{name: np.full(state, value, np.float32) for name, value in values.items()},
        context=context,
        keep=keep,
        row=np.array([*(scalings,) * 3, 2, 3, 5, inject, newbase], np.float32),
        cond_00=np.eye(4, dtype=np.float32)[:stems],
    )
    return u_next, b_next


V = 2 * 1 + 3 * 10  # without an estimate
ESTIMATE = {3: 100.0, 4: 60.0}  # place in the period -> the largest value heard there


@pytest.mark.parametrize(
    ("inject", "newbase", "kept", "made", "base"),
    [
        (0.0, 0.0, None, 0.0, 1.0),  # u' = v everywhere; b stays
        (0.0, 1.0, None, 0.0, None),  # b' = u'
        (1.0, 0.0, 7.25, 0.25, 1.0),  # kept: source + noise; made: v + noise
        (1.0, 1.0, 7.25, 0.25, None),
    ],
)
def test_denoise_by_hand(
    run: Any, inject: float, newbase: float, kept: float | None, made: float, base: float | None
) -> None:
    wanted = np.array([V + 5 * ESTIMATE.get(frame % 8, 0.0) + made for frame in range(WINDOW)], np.float32)
    if kept is not None:
        wanted[:KEPT] = kept
    u_next, b_next = denoise(run, inject, newbase)
    np.testing.assert_array_equal(u_next[0], np.broadcast_to(wanted, (FRAME, WINDOW)))
    np.testing.assert_array_equal(b_next, u_next if base is None else np.full_like(u_next, base))


def test_denoise_is_the_same_for_every_stem_and_scaling(run: Any) -> None:
    one, _ = denoise(run, 1.0, 1.0)
    several, _ = denoise(run, 1.0, 1.0, stems=3, scalings=0.5)
    np.testing.assert_array_equal(several, np.repeat(one, 3, axis=0))


def test_a_channel_is_estimated_from_its_own_past(run: Any) -> None:
    """Shift one sample and the estimate shifts by one: what makes it a ruler."""
    context = np.zeros((1, FRAME, WINDOW), np.float32)
    context[0, 17, 5] = 0.5
    zero, keep = np.zeros((1, FRAME, WINDOW), np.float32), np.zeros((1, 1, WINDOW), np.float32)
    row = np.array([0, 0, 0, 0, 0, 1, 0, 1], np.float32)
    state = dict.fromkeys(("u", "b", "source", "noise"), zero)
    u_next, _ = run("denoise", **state, context=context, keep=keep, row=row, cond_00=np.eye(4, dtype=np.float32)[:1])
    assert np.argwhere(u_next[0]).tolist() == [[17, frame] for frame in range(5, WINDOW, 8)]
    assert u_next.max() == 0.5


def test_it_opens_and_is_not_overwritten(copying: Path, tmp_path: Path) -> None:
    from anacrusis.export.copying import copying_manifest, write_copying_bundle

    assert Bundle.open(copying).manifest.sampler == copying_manifest().sampler
    target = tmp_path / "copying"
    write_copying_bundle(target)
    with pytest.raises(BundleError, match="exists; add --force"):
        write_copying_bundle(target)
    (target / "extra").write_text("gone after")
    write_copying_bundle(target, force=True)
    assert sorted(p.name for p in target.iterdir()) == sorted(p.name for p in copying.iterdir())
    assert [p.name for p in tmp_path.iterdir()] == ["copying"]


@pytest.mark.parametrize("name", ["a file", "a directory that is no bundle"])
def test_force_never_replaces_what_is_no_bundle(tmp_path: Path, name: str) -> None:
    from anacrusis.export.copying import write_copying_bundle

    target = tmp_path / name
    if name == "a file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "mine").write_text("mine")
    with pytest.raises(BundleError, match="exists; choose a new directory"):
        write_copying_bundle(target, force=True)
    assert (target if target.is_file() else target / "mine").read_text() == "mine"
    with pytest.raises(BundleError, match="is not a directory; make it first"):
        write_copying_bundle(tmp_path / "nowhere" / "bundle")
    assert [p.name for p in tmp_path.iterdir()] == [name]

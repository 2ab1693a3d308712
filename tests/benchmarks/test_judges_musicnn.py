# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The reader of TensorFlow's checkpoints on bundles written here, and the network against TensorFlow's own output."""

from __future__ import annotations

import contextlib
import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest

from anacrusis.benchmarks.judges import musicnn
from anacrusis.benchmarks.judges.packages import INSTALL, JudgeError
from anacrusis.benchmarks.judges.tensor_bundle import MAGIC, read_tensors

needs_musicnn = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("musicnn", "torch", "librosa")),
    reason=f"needs musicnn, torch and librosa: {INSTALL}",
)
TENSORS = {
    "dense/bias": np.array([1.5, -2.0], np.float32),
    "dense/kernel": np.arange(600, dtype=np.float32).reshape(2, 300),
    "dense/kernel/Adam": np.ones(3, np.float32),
    "step": np.array(7.0, np.float32),
}


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Keys with their common prefixes left out, one restart, and the trailer (no compression, no checksum)."""
    body, last = b"", b""
    for key, value in entries:
        shared = next((i for i, pair in enumerate(zip(key, last, strict=False)) if pair[0] != pair[1]), 0)
        shared = shared or (len(last) if key.startswith(last) else 0)
        body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return body + struct.pack("<II", 0, 1) + bytes(5)


def write_bundle(folder: Path, dtype: int = 1, shard: int = 0, extra_bytes: int = 0) -> None:
    data, entries = b"", [(b"", b"\x08\x01\x1a\x02\x08\x01")]
    for name, tensor in sorted(TENSORS.items()):
        dims = [b"\x08" + varint(n) for n in tensor.shape]
        shape = b"".join(b"\x12" + varint(len(dim)) + dim for dim in dims)
        fields = b"\x08" + varint(dtype) + b"\x12" + varint(len(shape)) + shape
        fields += (b"\x18" + varint(shard) if shard else b"") + b"\x20" + varint(len(data))
        fields += b"\x28" + varint(tensor.nbytes + extra_bytes) + b"\x35" + bytes(4)
        entries.append((name.encode(), fields))
        data += tensor.tobytes()
    entries_block = block(entries)
    handle = varint(0) + varint(len(entries_block) - 5)
    index_block = block([(b"z", handle)])
    footer = varint(0) + varint(0) + varint(len(entries_block)) + varint(len(index_block) - 5)
    index = entries_block + index_block + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)
    (folder / ".index").write_bytes(index)
    (folder / ".data-00000-of-00001").write_bytes(data)


def test_tensors_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    read = read_tensors(tmp_path)
    assert sorted(read) == ["dense/bias", "dense/kernel", "step"]
    for name, tensor in read.items():
        assert np.array_equal(tensor, TENSORS[name])
        assert tensor.shape == TENSORS[name].shape


@pytest.mark.parametrize("options", [{"dtype": 2}, {"shard": 1}, {"extra_bytes": 4}], ids=["float64", "shard", "size"])
def test_another_kind_of_bundle_is_refused(tmp_path: Path, options: dict[str, int]) -> None:
    write_bundle(tmp_path, **options)
    with pytest.raises(JudgeError, match="torn"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("name", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("keep", [0, 20, 0.5, -1], ids=["empty", "head", "half", "all but one byte"])
def test_a_torn_bundle_is_one_line(tmp_path: Path, name: str, keep: float) -> None:
    write_bundle(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(JudgeError, match=r"torn.*pip install") as refused:
        read_tensors(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("at", range(0, 120, 5))
def test_a_wrong_byte_is_an_answer_or_a_judge_error(tmp_path: Path, at: int) -> None:
    write_bundle(tmp_path)
    index = bytearray((tmp_path / ".index").read_bytes())
    index[at] ^= 0x5A
    (tmp_path / ".index").write_bytes(bytes(index))
    with contextlib.suppress(JudgeError):  # and no other error
        read_tensors(tmp_path)


def test_a_missing_bundle_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="cannot read the weights"):
        read_tensors(tmp_path)


def patches() -> np.ndarray:
    """Something like a mel spectrogram, by formula: [2, 187, 96]."""
    time, band = np.arange(2 * 187).reshape(2, 187, 1), np.arange(96)
    sound = 1.5 + np.sin(time / 9) * np.cos(band / 7) + 0.5 * np.sin(time * band / 300)
    return np.asarray(sound, np.float32)


# Of musicnn's own graph (MTT_musicnn) in TensorFlow 2 on `patches()`: the first six of 200 units and of 50 tags.
EMBEDDING = (
    (1.0546296, -0.0328787, -0.0922630, -0.1860576, -0.0787033, 1.2568766),
    (0.8844076, -0.0328787, -0.0922630, -0.1860576, -0.0787033, 1.0115701),
)
TAGS = (
    (0.2524520, 0.1742250, 0.1345703, 0.0174712, 0.0380384, 0.0152897),
    (0.1902110, 0.1868969, 0.0839221, 0.0152349, 0.0527785, 0.0090546),
)


@needs_musicnn
def test_the_network_is_tensorflow_s() -> None:
    import torch

    with torch.inference_mode():
        embedding, likely = musicnn._network(torch.from_numpy(patches())[:, None])
    assert embedding.shape == (2, 200)
    assert embedding[:, :6].numpy() == pytest.approx(np.array(EMBEDDING), abs=2e-5)
    assert likely[:, :6].numpy() == pytest.approx(np.array(TAGS), abs=2e-6)


@needs_musicnn
@pytest.mark.parametrize(("seconds", "count"), [(0.5, 0), (2.9, 0), (3.1, 1), (9.2, 3)])
def test_a_patch_each_three_seconds(seconds: float, count: int) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, round(seconds * 44100)).astype(np.float32)
    found = musicnn.embed(audio)
    assert found.shape == (count, 200)
    assert np.isfinite(found).all()

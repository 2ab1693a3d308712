# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Audio files: any rate, any channels, the same length back, and one line for what is no audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from anacrusis.engine.errors import AudioError
from anacrusis.performer import files
from anacrusis.performer.files import Recording, read_recording, require_writable, write_recording
from anacrusis.performer.simulate import Simulation
from anacrusis.performer.write import stem_paths, write_outputs

F32 = NDArray[np.float32]
MODEL_HZ = 44100
RATES = (8000, 22050, 44100, 48000, 96000)


def noise(*shape: int) -> F32:
    return 0.1 * np.random.default_rng(5).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("length", [1, 1000, 44101])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", RATES)
def test_any_rate_any_channels_the_same_length_back(tmp_path: Path, rate: int, channels: int, length: int) -> None:
    samples = noise(length, channels)
    write_recording(tmp_path / "a.wav", samples, rate)
    recording = read_recording(tmp_path / "a.wav")
    assert recording.rate_hz == rate
    np.testing.assert_array_equal(recording.samples, samples)
    mono = recording.mono(MODEL_HZ)
    assert (mono.dtype, mono.ndim) == (np.float32, 1)
    assert mono.shape[0] >= 1
    assert abs(mono.shape[0] - length * MODEL_HZ / rate) <= 1
    for back in (recording.fit(mono, MODEL_HZ), recording.fit(mono[:-1], MODEL_HZ)):  # a sample short is padded
        assert (back.dtype, back.shape) == (np.float32, (length,))
    if rate == MODEL_HZ:
        np.testing.assert_array_equal(mono, samples.mean(axis=1))
        np.testing.assert_array_equal(recording.fit(mono, MODEL_HZ), mono)
        np.testing.assert_array_equal(recording.fit(np.append(mono, noise(7)), MODEL_HZ), mono)  # too long: cut behind


def test_mono_is_the_mean_of_the_channels() -> None:
    samples = np.tile(np.float32([0.5, -0.25, 0.5, 0.25]), (3, 1))
    np.testing.assert_array_equal(Recording(samples, MODEL_HZ).mono(MODEL_HZ), np.full(3, 0.25, np.float32))


@pytest.mark.parametrize("rate", RATES)
def test_a_sine_survives_there_and_back_without_delay(rate: int) -> None:
    sine = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)
    recording = Recording(sine[:, None], rate)
    mono = recording.mono(MODEL_HZ)
    back = recording.fit(mono, MODEL_HZ)
    inner = slice(rate // 10, -rate // 10)
    wanted = sine[inner]
    assert 10 * np.log10(np.mean(wanted**2) / max(np.mean((back[inner] - wanted) ** 2), 1e-20)) > 60
    ideal = 0.5 * np.sin(2 * np.pi * 440 * np.arange(mono.shape[0]) / MODEL_HZ)
    assert np.abs(mono - ideal)[MODEL_HZ // 10 : -MODEL_HZ // 10].max() < 1e-3


@pytest.mark.parametrize("rate", RATES)
def test_noise_comes_back_where_it_was(rate: int) -> None:
    """A sine's correlation peaks once a period; that of noise once."""
    signal = noise(rate // 2)
    recording = Recording(signal[:, None], rate)
    back = recording.fit(recording.mono(MODEL_HZ), MODEL_HZ)
    correlation = np.fft.irfft(np.fft.rfft(signal).conj() * np.fft.rfft(back))
    assert int(np.argmax(correlation)) == 0


def not_audio(path: Path) -> None:
    path.write_text("this is no audio\n" * 9)


def cut_short(path: Path) -> None:
    soundfile.write(path, noise(100), MODEL_HZ)
    path.write_bytes(path.read_bytes()[:20])


def with_a(value: float) -> F32:
    samples = noise(100, 2)
    samples[50, 1] = value
    return samples


BAD = {
    "missing": (lambda path: None, "no such file"),
    "directory": (lambda path: path.mkdir(), "no such file"),
    "text": (not_audio, "is not audio that can be read"),
    "nothing": (lambda path: path.write_bytes(b""), "is not audio that can be read"),
    "cut in its header": (cut_short, "is not audio that can be read|holds no samples"),
    "no samples": (lambda path: soundfile.write(path, noise(0), MODEL_HZ), "holds no samples"),
    "nan": (lambda path: soundfile.write(path, with_a(np.nan), MODEL_HZ, subtype="FLOAT"), "not finite"),
    "inf": (lambda path: soundfile.write(path, with_a(-np.inf), MODEL_HZ, subtype="FLOAT"), "not finite"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_read(tmp_path: Path, what: str) -> None:
    make, says = BAD[what]
    make(tmp_path / "in.wav")
    with pytest.raises(AudioError, match=says) as caught:
        read_recording(tmp_path / "in.wav")
    assert "in.wav" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "form", "subtype"),
    [
        ("a.wav", "WAV", "FLOAT"),
        ("a.WAV", "WAV", "FLOAT"),
        ("a", "WAV", "FLOAT"),
        ("a.aif", "AIFF", "FLOAT"),
        ("a.aiff", "AIFF", "FLOAT"),
        ("a.flac", "FLAC", "PCM_16"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_suffix_decides_the_format(tmp_path: Path, name: str, form: str, subtype: str, channels: int) -> None:
    samples = noise(64, channels)
    write_recording(tmp_path / name, samples, 48000)
    info = soundfile.info(tmp_path / name)
    assert (info.format, info.subtype, info.samplerate, info.channels) == (form, subtype, 48000, channels)
    got, _ = soundfile.read(tmp_path / name, dtype="float32", always_2d=True)
    np.testing.assert_allclose(got, samples, atol=0 if subtype == "FLOAT" else 2e-5)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.xyz", r"cannot be written \(\.xyz is no audio format known here\); use \.wav or \.flac"),
        ("nowhere/a.wav", "nowhere is not a directory; make it first"),
        ("folder.wav", "is a directory; name a file in it"),
    ],
)
def test_where_nothing_can_be_written(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "folder.wav").mkdir()
    for attempt in (require_writable, lambda path: write_recording(path, noise(9), MODEL_HZ)):
        with pytest.raises(AudioError, match=says):
            attempt(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.wav"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_interrupted_write_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "a.wav"
    write_recording(path, noise(9), MODEL_HZ)
    before = path.read_bytes()

    def write(temporary: Path, *_: object, **__: object) -> None:
        temporary.write_bytes(b"half")
        raise error

    monkeypatch.setattr(files.soundfile, "write", write)
    with pytest.raises(AudioError if isinstance(error, OSError) else KeyboardInterrupt):
        write_recording(path, noise(99), MODEL_HZ)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


# -- what a run leaves --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "stems", "names"),
    [
        ("x.wav", ["bass"], ["x.wav"]),
        ("x.wav", ["bass", "drums"], ["x-bass.wav", "x-drums.wav"]),
        ("x.flac", ["bass", "drums"], ["x-bass.flac", "x-drums.flac"]),
        ("x", ["bass", "drums"], ["x-bass.wav", "x-drums.wav"]),
    ],
)
def test_one_file_a_stem(tmp_path: Path, out: str, stems: list[str], names: list[str]) -> None:
    assert [path.name for path in stem_paths(tmp_path / out, stems)] == names


@pytest.mark.parametrize("rate", [44100, 48000])
def test_stems_and_the_mix(tmp_path: Path, rate: int) -> None:
    recording = Recording(noise(rate // 4, 2), rate)
    length = recording.mono(MODEL_HZ).shape[0]
    audio = np.stack([np.full(length, 0.25, np.float32), np.full(length, -0.5, np.float32)])
    done = Simulation(
        audio=audio,
        steps=(),
        latents=np.zeros((64, 0), np.float32),
        sample_rate_hz=MODEL_HZ,
        step_samples=8192,
        lead_samples=4096,
        fade_samples=882,
        stems=("bass", "drums"),
    )
    paths = stem_paths(tmp_path / "x.wav", done.stems)
    written = write_outputs(recording, done, paths, mix=tmp_path / "mix.wav")
    assert [path.name for path in written] == ["x-bass.wav", "x-drums.wav", "mix.wav"]
    inner = slice(2000, -2000)  # a constant rings where it begins and ends
    bass, drums, mix = (read_recording(path) for path in written)
    assert {r.rate_hz for r in (bass, drums, mix)} == {rate}
    assert (bass.samples.shape, mix.samples.shape) == ((rate // 4, 1), (rate // 4, 2))
    np.testing.assert_allclose(bass.samples[inner], 0.25, atol=1e-4)
    np.testing.assert_allclose(drums.samples[inner], -0.5, atol=1e-4)
    np.testing.assert_allclose(mix.samples, recording.samples + bass.samples + drums.samples, atol=1e-6)

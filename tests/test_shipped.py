# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The bundles in the box: what they say of themselves, that they are whole and small, and that they play music."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from anacrusis.cli.main import main
from anacrusis.engine import Engine
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.paths import REPOSITORY, SHIPPED_BUNDLE, SHIPPED_CLIP, default_bundle

STARTERS = ("starter-cd", "starter-diffusion")
STEMS = ["bass", "drums", "guitar", "piano"]
MOST_MEGABYTES = 40.0
PACE = {"step_frames": 4, "lead_frames": 2}


def folder(name: str) -> Path:
    return REPOSITORY / "bundles" / name


def played(stems: list[str], context: np.ndarray, bundle: Path = SHIPPED_BUNDLE) -> np.ndarray:
    """Through the live cycle, a step after another: float32 [stems, n], where it plays, over the context's length."""
    out = np.zeros((len(stems), len(context)), np.float32)
    with Engine.open(bundle, backend="onnxruntime", stems=stems, **PACE, threads=1) as engine:  # type: ignore[arg-type]
        for now in range(0, len(context) - engine.step_samples, engine.step_samples):
            step = engine.step(context[now : now + engine.step_samples])
            assert not step.concealed  # nothing was no number
            begin = step.start_samples
            end = min(begin + step.audio.shape[1], out.shape[1])
            if begin < end:
                out[:, begin:end] = step.audio[:, : end - begin]
    return out


def clip(*stems: str, seconds: float) -> np.ndarray:
    files = [soundfile.read(SHIPPED_CLIP / f"{stem}.flac", dtype="float32")[0] for stem in stems]
    return np.asarray(np.sum(files, axis=0)[: round(seconds * 44_100)], np.float32)


def level_db(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-20))


def test_the_default_is_the_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANACRUSIS_BUNDLE", raising=False)
    assert Bundle.open(default_bundle()).manifest.name == "starter-cd"


@pytest.mark.parametrize("name", STARTERS)
def test_what_it_says_of_itself(name: str) -> None:
    bundle = Bundle.open(folder(name))  # checks every hash
    manifest, provenance = bundle.manifest, bundle.manifest.provenance
    assert manifest.name == name
    assert list(manifest.stems) == STEMS
    assert 2e6 <= provenance["parameters"] <= 5e6
    assert manifest.trained_masked_frames == tuple(range(63))
    assert manifest.licence.spdx == "Apache-2.0 AND MIT"
    assert {"commit", "commands", "seeds", "trained", "corpora"} <= set(provenance)
    assert "Frank Wen" in (bundle.path / "NOTICE").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STARTERS)
@pytest.mark.parametrize(
    "part", ["Data", "Sizes", "Training", "Scores", "What a demo shows", "Limits", "Licences", "Made again"]
)
def test_its_model_card_has_every_part(name: str, part: str) -> None:
    card = (folder(name) / "MODEL_CARD.md").read_text(encoding="utf-8")
    said = card.split(f"\n## {part}\n", 1)[1].split("\n## ", 1)[0]
    assert len(said.strip()) > 40


def test_they_are_small() -> None:
    sizes = [file.stat().st_size for name in STARTERS for file in folder(name).iterdir()]
    assert sum(sizes) / 1e6 <= MOST_MEGABYTES


def test_every_stem_plays_when_all_are_asked_at_once() -> None:
    audio = played(STEMS, clip("drums", "guitar", "piano", seconds=8))[:, 3 * 44_100 :]
    for stem, one in zip(STEMS, audio, strict=True):
        assert -50 < level_db(one) < -5, stem
    assert np.isfinite(audio).all()


def test_the_bass_goes_with_the_band_it_hears() -> None:
    """Its tones are the key's: of D minor, then of the same clip five semitones higher, which is G minor."""
    band = clip("drums", "guitar", "piano", seconds=16)
    higher = np.interp(np.arange(0, len(band) - 1, 2 ** (5 / 12)), np.arange(len(band)), band).astype(np.float32)
    for context, tonic in ((band, 2), (higher, 7)):
        bass = played(["bass"], context)[0, 4 * 44_100 :]
        assert key_share(bass, tonic) > key_share(bass, tonic + 1) + 0.3


def key_share(audio: np.ndarray, tonic: int) -> float:
    """Of the power from 40 to 200 Hz, what lies within a third of a semitone of a tone of that minor key."""
    power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    hertz = np.fft.rfftfreq(len(audio), 1 / 44_100)
    near = (hertz > 40) & (hertz < 200)
    tone = 69 + 12 * np.log2(hertz[near] / 440)
    within = np.abs(tone - np.round(tone)) < 1 / 3
    in_key = np.isin((np.round(tone).astype(int) - tonic) % 12, (0, 2, 3, 5, 7, 8, 10)) & within
    return float(power[near][in_key].sum() / power[near][within].sum())


@pytest.mark.parametrize("name", STARTERS)
def test_silence_is_something_to_play_to(name: str) -> None:
    assert np.isfinite(played(["bass", "drums"], np.zeros(2 * 44_100, np.float32), folder(name))).all()


@pytest.mark.parametrize("name", STARTERS)
def test_the_same_music_and_seed_give_the_same_stem(name: str) -> None:
    band = clip("drums", "piano", seconds=2)
    once, again = (played(["bass"], band, folder(name)) for _ in range(2))
    assert np.array_equal(once, again)


@pytest.mark.parametrize("name", [*STARTERS, "tiny-cd"])
def test_it_holds_the_report_of_the_rungs_it_was_checked_on(name: str) -> None:
    kept = json.loads((folder(name) / "precision.json").read_text(encoding="utf-8"))
    assert kept["bundle_sha256"] == Bundle.open(folder(name), verify=False).hash
    assert all(report["pass"] and report["changed_files"] == 0 for report in kept["reports"].values())
    assert "onnxruntime, float32" in kept["reports"]


def test_the_report_can_be_made_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["parity", "--rung", "onnxruntime", "--bundle", str(SHIPPED_BUNDLE), "--songs", "0", "--window", "silent"]
    assert main(line) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["oracle"].startswith("ONNX Runtime, float32, nothing optimised")
    assert {row["stage"] for row in said["rungs"][0]["rows"]} == {"encode", "denoise", "final", "decode", "audio"}

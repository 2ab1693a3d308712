# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The same training on the released models' U-Net and codec, tiny, of a folder in Slakh's layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from anacrusis.engine.networks.music2latent import Music2Latent, Music2LatentConfig  # noqa: E402
from anacrusis.engine.networks.songunet import SongUNet, SongUNetConfig  # noqa: E402
from anacrusis.engine.networks.stages import DenoiseStage, EncodeStage  # noqa: E402
from anacrusis.export.load import load_unet  # noqa: E402
from anacrusis.train import diffusion, distill  # noqa: E402
from anacrusis.train.dataset import open_dataset  # noqa: E402
from anacrusis.train.song import CorpusError  # noqa: E402
from anacrusis.train.starter import full, latents  # noqa: E402
from anacrusis.train.starter.config import PRESETS, Training, from_dict, read  # noqa: E402
from anacrusis.train.starter.latents import Encoder, audio_piece  # noqa: E402
from anacrusis.train.starter.losses import Case, Levels, dsm_loss, scalings  # noqa: E402
from anacrusis.train.starter.networks import Accompanist, network_of, released  # noqa: E402
from anacrusis.train.starter.trainer import Trainer, load_network, load_trained  # noqa: E402

from .test_slakh import make_track  # noqa: E402

CONFIGS = Path(__file__).resolve().parents[2] / "train" / "configs"
UNET = SongUNetConfig(model_channels=4, num_blocks=1)
RELEASED = SongUNetConfig(model_channels=4)  # the layout says nothing of the number of blocks
CODEC = Music2LatentConfig(base_channels=2, bottleneck_channels=16, cond_channels=8)
TINY = {
    "kind": "songunet",
    "batch": 2,
    "bfloat16": False,
    "validation_windows": 1,
    "stem_weights": [1, 1, 1, 1],
    "unet": {"model_channels": 4, "num_blocks": 1},
    "levels": {"sigma_data": 1},
    "drawing": {"gain": 0, "late_start": 0, "late_stem": 0, "redraw_rest": 0},
}


@pytest.fixture(autouse=True, scope="module")
def short_stretches() -> Iterator[None]:
    """Tracks here are of 22 frames; whole windows would be mostly silence, and take three times as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents, "STRETCH_FRAMES", 8)
        yield


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle's folder, as far as its codec goes: random weights."""
    folder = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(1)
    state = {f"codec.{name}": tensor for name, tensor in Music2Latent(CODEC).state_dict().items()}
    save_file({**state, "unet.other": torch.zeros(1)}, folder / "weights.safetensors")
    return folder


@pytest.fixture(scope="module")
def slakh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "slakh2100"
    for seed, name in enumerate(("train/Track00001", "train/Track00002", "validation/Track01501")):
        make_track(folder / name, seed=seed)
    return folder


@pytest.fixture(scope="module")
def trained(
    short_stretches: None, slakh: Path, codec: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """(where a run of three steps is, what a command needs to go on with it)."""
    out = tmp_path_factory.mktemp("run")
    (out / "tiny.json").write_text(json.dumps(TINY))
    given = ["--corpus", str(slakh), "--codec", str(codec), "--pieces", str(out / "pieces"), "--out", str(out)]
    assert diffusion.main([*given, "--config", str(out / "tiny.json"), "--steps", "3", "--seed", "5"]) == 0
    return out, given


def unet() -> Accompanist:
    torch.manual_seed(2)
    made = Accompanist(UNET).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.normal_(0, 0.1)
    return made


def test_the_estimate_is_that_of_the_bundle_s_graph() -> None:
    network, generator = unet(), torch.Generator().manual_seed(1)
    u, context = (torch.randn(2, 64, 64, generator=generator) for _ in range(2))
    of_sigma = tuple(x[:1, 0, 0] for x in scalings(torch.full((2,), 2.5), 1.0))
    cond = network.conditioning(torch.full((2,), np.log(2.5) / 4), torch.eye(4)[:2])
    heard = torch.cat([context, torch.randn(2, 1, 64, generator=generator)], dim=1)
    keep = torch.ones(2, 1, 64)
    found = network.estimate(u, of_sigma, u, keep, heard, cond)
    row = torch.tensor([*(float(x) for x in of_sigma), 0, 0, 0, 0, 0])
    torch.testing.assert_close(found, DenoiseStage(network.unet).estimate(u, context, row, cond))
    assert torch.equal(found, network.estimate(u, of_sigma, 0 * u, 0 * keep, heard, cond))


def test_a_new_network_has_the_same_loss_at_every_level() -> None:
    torch.manual_seed(1)
    network, noise = Accompanist(SongUNetConfig(16, num_blocks=1)), torch.randn(6, 64, 64)
    target, keep = torch.randn(6, 64, 64), (torch.arange(64) < 32).float().expand(6, 1, 64)
    case = Case(target, target * keep, keep, torch.randn(6, 65, 64), torch.eye(4)[[0, 1, 2, 3, 0, 1]])
    with torch.no_grad():
        loss = dsm_loss(network, case, torch.tensor([0.05, 0.3, 1.0, 3.0, 10.0, 40.0]), noise, Levels(sigma_data=1.0))
    np.testing.assert_allclose(loss.numpy(), 1.0, atol=0.1)
    ends = [block.conv1 for block in network.unet.blocks().values()]
    assert max(float(end.weight.detach().abs().max()) for end in ends) < 1e-4  # every branch is as good as absent


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.toml")))
def test_the_config_files_are_read(name: str) -> None:
    config = read(CONFIGS / name)
    if name == "starter.toml":
        assert config == PRESETS["starter"]
        return
    if name == "starter-distil.toml":  # of the shipped student: a guided teacher, as each stem plays
        assert (config.method, config.network) == ("distillation", PRESETS["starter"].network)
        assert (config.distillation.guidance, len(set(config.distillation.stem_shifts))) == (4.0, 4)
        return
    with torch.device("meta"):
        network = network_of(config)
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    assert millions == pytest.approx(257.5, abs=0.5) if name == "full-size.toml" else millions < 2
    assert (config.kind, config.rows, config.levels.sigma_data) == ("songunet", 0, 1.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"drawing": {}}, "drawing.gain"),
        ({"unet": {"model_channels": 6}}, "multiple of 4"),
        ({"unet": {"channels": 8}}, "unknown key"),
        ({"drawing": {"gain": 0, "window_frames": 48}}, "make them one"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(CorpusError, match=says):
        from_dict({**TINY, **change})


def test_a_song_is_encoded_as_a_cycle_encodes_its_windows(codec: Path) -> None:
    """Stretch by stretch, each with the samples beyond its end; the last one filled up with silence."""
    encoder, stretch = Encoder.load(codec), 8 * 4096
    audio = (0.1 * np.random.default_rng(0).standard_normal(20 * 4096)).astype(np.float32)
    stage, whole = EncodeStage(encoder.codec), np.zeros(3 * stretch + 1536, np.float32)
    whole[: len(audio)] = audio
    with torch.inference_mode():
        windows = [
            stage(torch.from_numpy(whole[i : i + stretch + 1536])[None], torch.ones(1, 1, 8))[0]
            for i in range(0, 3 * stretch, stretch)
        ]
    np.testing.assert_array_equal(encoder(audio, 20), torch.cat(windows, dim=1)[:, :20].numpy())


def test_silence_is_encoded_once_and_is_not_nothing(codec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder.load(codec)
    first = encoder(np.zeros(10 * 4096, np.float32), 10)
    monkeypatch.setattr(encoder, "_encode", None)
    np.testing.assert_array_equal(encoder(np.zeros(0, np.float32), 10), first)
    assert first.any()


def test_pieces_of_a_slakh_track(slakh: Path, codec: Path) -> None:
    """S00 and S03 are its guitar; its piano sounds though its notes are not known."""
    track, encoder = open_dataset(slakh, "train")[0], Encoder.load(codec)
    piece = audio_piece(track, encoder)
    frames = -(-(track.length_samples + piece.offset_samples) // 4096)
    assert (piece.name, piece.latents.shape, piece.events) == ("Track00001", (4, 64, frames), None)
    assert set(piece.contexts) == {1, 2, 4, 8, 14, 13, 11, 7}
    for mask, context in piece.contexts.items():
        assert context.shape == (65, frames)
        assert bool((context[-1] == 1).all())
        if mask.bit_count() == 1:
            np.testing.assert_array_equal(context[:-1], piece.latents[mask.bit_length() - 1])
    others = track.context("bass", -piece.offset_samples, frames * 4096)
    np.testing.assert_allclose(piece.contexts[14][:-1], encoder(others, frames), atol=2e-2)


def test_a_few_steps_on_slakh_s_layout_and_a_few_more(trained: tuple[Path, list[str]], slakh: Path) -> None:
    out, given = trained
    first, config, about = load_trained(out / "checkpoint.pt", None)
    assert (config.kind, config.unet, config.seed, about["step"], about["samples"]) == ("songunet", UNET, 5, 3, 6)
    assert len(list((out / "pieces").glob("latents-*/*.npz"))) == 2  # the train split
    assert diffusion.main([*given, "--resume", "--steps", "4", "--validation", str(slakh / "validation")]) == 0
    second, _, about = load_trained(out / "checkpoint.pt", None)
    assert about["step"] == 4
    moved = [float((a - b).abs().max()) for a, b in zip(first.parameters(), second.parameters(), strict=True)]
    assert 0 < max(moved) < 0.1
    checks = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert np.isfinite([c["loss"] for c in checks if c["kind"] == "validation"]).all()
    with pytest.raises(CorpusError, match="is a songunet's"):
        load_network(out / "checkpoint.pt")


@pytest.mark.parametrize(("method", "kind"), [("diffusion", "diffusion"), ("distillation", "cd")])
def test_what_was_trained_is_read_as_a_released_checkpoint(method: str, kind: str, tmp_path: Path) -> None:
    trainer = Trainer(from_dict({**TINY, "method": method, "unet": {"model_channels": 4}}))
    trainer.save(tmp_path / "c.pt")
    assert full.main(["--checkpoint", str(tmp_path / "c.pt"), "--out", str(tmp_path / "last.ckpt")]) == 0
    found, unet, _ = load_unet(tmp_path / "last.ckpt")
    assert (found, unet.config) == (kind, RELEASED)
    assert isinstance(trainer.network, Accompanist)
    own, begun = trainer.network.unet.state_dict(), Accompanist(RELEASED)
    released(begun, tmp_path / "last.ckpt")
    assert any(".qkv." in name for name in own)
    for state in (unet.state_dict(), begun.unet.state_dict()):
        assert all(torch.equal(own[name], tensor) for name, tensor in state.items())


def test_a_student_is_distilled_by_the_same_command(trained: tuple[Path, list[str]], tmp_path: Path) -> None:
    out, given = trained
    where = given.index("--out") + 1
    mine = [*given[:where], str(tmp_path / "student"), *given[where + 1 :]]
    how = {**TINY, "batch": 2, "distillation": {"sigma_min": 1e-3, "sigma_max": 80, "scales": 4, "most_steps": 2}}
    (tmp_path / "cd.json").write_text(json.dumps(how))
    teacher = ["--teacher", str(out / "checkpoint.pt"), "--config", str(tmp_path / "cd.json")]
    assert distill.main([*mine, *teacher, "--steps", "2"]) == 0
    student, config, about = load_trained(tmp_path / "student" / "checkpoint.pt")
    assert (config.kind, config.method, config.levels.sigma_data, about["step"]) == ("songunet", "distillation", 1.0, 2)
    assert all(bool(p.isfinite().all()) for p in student.parameters())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --codec"),
        (["--codec", "none.pt"], "no such file"),
        (["--codec", "."], "weights.safetensors"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], says: str, slakh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    assert diffusion.main(["--config", "tiny.json", "--corpus", str(slakh), "--out", "o", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("config", "says"),
    [(from_dict(TINY), "give the same sizes"), (PRESETS["smoke"], "only a config with kind")],
    ids=["another size", "a starter"],
)
def test_weights_that_do_not_fit_are_refused(config: Training, says: str, tmp_path: Path) -> None:
    network = network_of(config)
    state = {f"model.unet.{name}": t for name, t in SongUNet(SongUNetConfig(8)).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    with pytest.raises(CorpusError, match=says):
        released(network, tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (PRESETS["smoke"], "is a starter"),
        (from_dict({**TINY, "levels": {"sigma_data": 0.5}}), "sigma_data 1"),
        (from_dict(TINY), "sizes"),
    ],
    ids=["a starter", "another size of data", "another architecture"],
)
def test_what_export_would_misread_is_not_written(
    config: Training, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Trainer(config).save(tmp_path / "c.pt")
    assert full.main(["--checkpoint", str(tmp_path / "c.pt"), "--out", str(tmp_path / "x")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "x").exists()

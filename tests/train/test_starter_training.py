# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A training run: its settings, that it learns, that it goes on where it was, and what it says to bad input."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.starter import StarterConfig  # noqa: E402
from anacrusis.train import diffusion  # noqa: E402
from anacrusis.train.song import CorpusError  # noqa: E402
from anacrusis.train.starter import run  # noqa: E402
from anacrusis.train.starter.config import PRESETS, Optimiser, Training, from_dict, read  # noqa: E402
from anacrusis.train.starter.draws import Draws  # noqa: E402
from anacrusis.train.starter.pieces import save_piece  # noqa: E402
from anacrusis.train.starter.trainer import EventCode, Trainer, average_exponent, load_network  # noqa: E402
from anacrusis.train.starter.windows import Piece  # noqa: E402

from .starter_toys import CHANNELS, ENCODED, PLAIN, ROWS, eventful_piece, toy_classes, toy_code, toy_piece, toy_rows  # noqa: E402

WEIGHTS = Path(__file__).resolve().parents[2] / "assets" / "codec" / "roll.safetensors"
PIECES = [toy_piece(1), toy_piece(2)]
EVENTFUL = [eventful_piece(1), eventful_piece(2)]
CODE = EventCode(*(torch.from_numpy(toy()) for toy in (toy_code, toy_rows, toy_classes)))


def tiny(rows: int = 0, **more: object) -> Training:
    network = StarterConfig(
        CHANNELS, ENCODED, 64, 4, width=16, blocks=1, heads=2, conditioning=8, noise_bands=4, rows=rows
    )
    base = Training(batch=4, network=network, drawing=PLAIN, bfloat16=False, optimiser=Optimiser(warmup_steps=2))
    return dataclasses.replace(base, **more)  # type: ignore[arg-type]


def weights(trainer: Trainer) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in trainer.network.parameters()]


@pytest.mark.parametrize(("optimiser", "rows"), [("adamw", 0), ("muon", 0), ("muon", ROWS)])
def test_a_run_that_is_resumed_is_the_run_that_was_not_stopped(optimiser: str, rows: int, tmp_path: Path) -> None:
    config = tiny(rows, optimiser=Optimiser(optimiser, warmup_steps=2))
    whole, first = (Trainer(config, code=CODE) for _ in range(2))
    draws = Draws(EVENTFUL if rows else PIECES, config)
    for _ in range(6):
        whole.advance(draws[whole.step])
    for _ in range(3):
        first.advance(draws[first.step])
    first.save(tmp_path / "c.pt")
    second = Trainer.load(tmp_path / "c.pt")
    for _ in range(3):
        second.advance(draws[second.step])
    for a, b in zip(weights(whole), weights(second), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole.averages[1], second.averages[1], strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert (second.step, second.samples) == (6, 24)


def test_every_copy_of_a_scored_network_has_the_code(tmp_path: Path) -> None:
    trainer = Trainer(tiny(ROWS), code=CODE)
    trainer.advance(Draws(EVENTFUL, trainer.config)[0])
    trainer.save(tmp_path / "c.pt")
    copies = [
        trainer.network,
        trainer.averaged(),
        Trainer.load(tmp_path / "c.pt").network,
        Trainer.load(tmp_path / "c.pt").averaged(1),
        load_network(tmp_path / "c.pt")[0],
        load_network(tmp_path / "c.pt", None)[0],
    ]
    for network in copies:
        assert torch.equal(network.code, CODE.code)
        assert torch.equal(network.rows_of, CODE.rows_of)
        assert torch.equal(network.classes_of, CODE.classes_of)


@pytest.mark.parametrize("rows", [ROWS + 1, 134])
def test_a_code_that_does_not_fit_is_refused(rows: int) -> None:
    with pytest.raises(CorpusError, match=r"the codec has 8 rows of 6 channels, the network .* set network.rows"):
        Trainer(tiny(rows), code=CODE)


def test_a_plain_network_needs_no_code() -> None:
    assert not hasattr(Trainer(tiny(), code=CODE).network, "code")


def test_it_learns_which_events_there_are() -> None:
    """Every stem plays one of its rows in each frame, always the same. (No harmony: the context is noise.)"""
    piece = eventful_piece(1)
    assert piece.events is not None
    events = np.zeros_like(piece.events)
    events[:, 0, ::2], events[:, 1, ::2] = 1, 200
    own = toy_code()[::2][: ROWS // 2] + 200 / 255 * toy_code()[8 * ROWS :: 2][: ROWS // 2]
    latents = np.repeat(own[:, :, None], piece.frames, axis=2).astype(np.float16)
    always = Piece(piece.name, 0, latents, piece.contexts, events)
    config = tiny(ROWS, batch=8, optimiser=Optimiser(rate=1e-2, warmup_steps=2))
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, harmony=False))
    trainer = Trainer(config, code=CODE)
    losses = [trainer.advance(Draws([always], trainer.config)[trainer.step]).loss for _ in range(40)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_it_learns_and_its_average_follows(tmp_path: Path) -> None:
    trainer = Trainer(tiny(batch=8, optimiser=Optimiser(rate=5e-3, warmup_steps=2)))
    piece = toy_piece(1)
    piece.latents[:] = np.arange(4)[:, None, None] - 1.5  # every stem always plays the same
    losses = [trainer.advance(Draws([piece], trainer.config)[trainer.step]).loss for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    trainer.save(tmp_path / "c.pt")
    averaged, _, about = load_network(tmp_path / "c.pt")
    last, _, _ = load_network(tmp_path / "c.pt", None)
    assert about["step"] == 60
    moved = [float((a - b).abs().max()) for a, b in zip(averaged.parameters(), last.parameters(), strict=True)]
    assert 0 < max(moved) < 0.5


def test_a_gradient_that_is_no_number_is_left_out() -> None:
    trainer = Trainer(tiny(optimiser=Optimiser(weight_decay=0.0, warmup_steps=0)))
    before = weights(trainer)
    bad = toy_piece(3)
    bad.latents[:] = np.nan
    trainer.advance(Draws([bad], trainer.config)[0])
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(trainer), strict=True))


@pytest.mark.parametrize(("width", "exponent"), [(0.10, 6.94), (0.05, 16.97)])
def test_averages_are_karras_and_others_power_functions(width: float, exponent: float) -> None:
    assert average_exponent(width) == pytest.approx(exponent, abs=0.01)


@pytest.mark.parametrize(
    ("step", "progress", "share"),
    [(0, 0.0, 0.01), (99, 0.1, 1.0), (5000, 0.7, 1.0), (5000, 0.85, 0.5), (9000, 1.0, 0.01)],
)
def test_the_rate_warms_up_stays_and_falls(step: int, progress: float, share: float) -> None:
    assert Optimiser(warmup_steps=100).share(step, progress) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ("[network]\nwidth = 225", "heads"),
        ("[network]\ndepth = 2", "unknown key 'depth'"),
        ("[optimiser]\nname = 'sgd'", "unknown optimiser"),
        ("[drawing]\nwindow_frames = 32\nmost_new_frames = 8", "make them one"),
        ("batch = 'many'", "of the kind of"),
        ("network = 3", "must be a table"),
        ("preset = 'large'", "unknown preset"),
        ("kind = 'unet'", "unknown network kind"),
        ("averages = []", "one at least"),
        ("stem_weights = [1, 2]", "stem_weights must be 4"),
        ("= 3", "cannot read"),
    ],
)
def test_a_config_that_cannot_be_is_refused_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(CorpusError, match=says) as caught:
        read(file)
    assert "\n" not in str(caught.value)


def test_a_config_says_only_what_differs_and_can_be_written_and_read(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("preset = 'smoke'\nminutes = 3\n[levels]\nmean = 1\n")
    config = read(tmp_path / "c.toml")
    assert (config.minutes, config.levels.mean, config.network) == (3.0, 1.0, PRESETS["smoke"].network)
    assert from_dict(json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--corpus", "nowhere", "--out", "o"], "no folder nowhere"),
        (["--corpus", "nowhere", "--out", "o", "--resume"], "leave --resume out"),
        (["--corpus", "nowhere", "--out", "there"], "go on with --resume"),
        (["--corpus", "nowhere", "--out", "there", "--resume", "--preset", "smoke"], "keeps its config"),
        (["--corpus", "nowhere", "--out", "o", "--config", "none.toml"], "cannot read none.toml"),
        (["--corpus", "nowhere", "--out", "o", "--device", "cuda", "--processes", "2"], "--processes 1"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "checkpoint.pt").write_bytes(b"nothing")
    assert diffusion.main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_bytes(b"nothing")
    with pytest.raises(CorpusError, match="cannot read the checkpoint"):
        Trainer.load(tmp_path / "c.pt")


def test_a_sitting_ends_when_asked_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    trainer, asked = Trainer(tiny()), run.Asked()
    watch = run.Watch(tmp_path, trainer, None, tmp_path, tmp_path)
    asked.to_stop = True
    report = run.loop(trainer, PIECES, watch, asked, progress=False)
    watch.close()
    assert report["step"] == 1
    again = Trainer.load(tmp_path / "checkpoint.pt", minutes=500)
    assert (again.step, again.config.minutes) == (1, 500.0)
    report = run.loop(again, PIECES, None, run.Asked(), steps=4, progress=False)
    assert report["step"] == 4


def scored_pieces(folder: Path) -> None:
    """Of the shipped codec's size, with nothing in them: it is the command that is tested."""
    for piece in PIECES:
        latents, events = np.zeros((4, 64, piece.frames), np.float16), np.zeros((piece.frames, 4, 134), np.uint8)
        save_piece(Piece(piece.name, 0, latents, piece.contexts, events), folder / f"{piece.name}.npz")


@pytest.mark.parametrize("processes", [1, 2])
def test_the_command_trains_and_goes_on(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With two processes every step sees twice the windows, and both end together."""
    scored_pieces(tmp_path)
    monkeypatch.setattr(run, "make_pieces", lambda *_, **__: sorted(tmp_path.glob("*.npz")))
    config, small = tmp_path / "config.json", tiny(134, minutes=5.0)
    network = dataclasses.replace(small.network, latent_channels=64)
    config.write_text(json.dumps(dataclasses.replace(small, network=network).as_dict()))
    common = ["--corpus", ".", "--out", str(tmp_path / "out"), "--processes", str(processes), "--codec", str(WEIGHTS)]
    assert diffusion.main([*common, "--config", str(config), "--steps", "3"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["step"], said["samples"], said["stopped"]) == (3, 12 * processes, False)
    if processes == 1:
        assert diffusion.main([*common, "--resume", "--steps", "5", "--minutes", "9"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["step"] == 5
        assert json.loads((tmp_path / "out" / "config.json").read_text())["minutes"] == 9.0


def test_windows_drawn_ahead_are_the_same_windows() -> None:
    draws = Draws(PIECES, tiny())
    here, ahead = draws.stream(3), draws.stream(3, workers=1)
    for _ in range(3):
        a, b = next(here), next(ahead)
        assert torch.equal(a.noise, b.noise)
        assert torch.equal(a.sigma, b.sigma)
        assert torch.equal(a.case.source, b.case.source)


def test_a_further_stage_keeps_what_was_learned_and_has_its_own_settings(tmp_path: Path) -> None:
    config = tiny(ROWS)
    first = Trainer(config, code=CODE)
    draws = Draws(EVENTFUL, config)
    for _ in range(3):
        first.advance(draws[first.step])
    first.elapsed_s = 99.0
    first.save(tmp_path / "c.pt")
    stage = dataclasses.replace(config, drawing=dataclasses.replace(PLAIN, nobody=0.5), minutes=7.0)
    second = Trainer.load(tmp_path / "c.pt", stage=stage)
    assert (second.config, second.step, second.elapsed_s) == (stage, 3, 0.0)
    for a, b in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(a, b)
    assert second.optimisers[0].state_dict()["state"]
    with pytest.raises(CorpusError, match="keeps both"):
        Trainer.load(tmp_path / "c.pt", stage=tiny(0))

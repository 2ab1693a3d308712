# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Windows for training: masks over every pace, what is kept and heard where, and what is made wrong on purpose."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from anacrusis.train.song import CorpusError
from anacrusis.train.starter.windows import Drawing, draw_batch, draw_masks, with_gain

from .starter_toys import CHANNELS, PLAIN, cells_of, eventful_piece, toy_code, toy_piece, toy_rows


def drawn(count: int = 20_000) -> set[tuple[int, int]]:
    rng = np.random.default_rng(0)
    return {draw_masks(rng, Drawing(whole=0)) for _ in range(count)}


def test_masks_stay_within_the_window_and_cover_every_pace_of_use() -> None:
    masks = drawn()
    assert all(1 <= new <= 32 and 0 <= unheard <= 62 for new, unheard in masks)
    for step in (1, 4, 8, 16):
        for lead in (-step, 0, 1, step):
            assert (step, step + lead) in masks, (step, lead)
    assert len(masks) > 1000


def test_a_plain_window_is_the_song_s() -> None:
    piece = toy_piece(1)
    batch = draw_batch(np.random.default_rng(4), [piece], 40, PLAIN)
    for row in range(40):
        stem, heard = int(batch.label[row].argmax()), batch.context[row, -1] > 0
        new = int((batch.keep[row, 0] == 0).sum())
        assert batch.label[row].sum() == 1
        assert not batch.keep[row, 0, 64 - new :].any()
        np.testing.assert_array_equal(batch.source[row], batch.target[row] * batch.keep[row])
        assert not batch.context[row, :, ~heard].any()
        places = batch.context[row, 0, heard]
        for k in np.flatnonzero((places > 0) & heard[: len(places)]):
            frame = int(places[k]) - 1
            np.testing.assert_array_equal(batch.target[row, :, k], piece.latents[stem, :, frame].astype(np.float32))
            assert int(batch.context[row, 1, k]) == 15 & ~(1 << stem)


@pytest.mark.parametrize("drawing", [PLAIN, Drawing(gain=0)], ids=["plain", "all that goes wrong"])
def test_what_is_to_be_written_is_the_code_of_the_window_s_events(drawing: Drawing) -> None:
    """Events are of all stems, and right where they are to be written whatever went wrong before."""
    pieces = [eventful_piece(1), eventful_piece(2, 40)]
    batch = draw_batch(np.random.default_rng(4), pieces, 40, drawing)
    assert batch.events is not None
    assert (batch.events.shape, batch.events.dtype) == ((40, 64, 4, 8), np.uint8)
    for row in range(40):
        own = np.tile(toy_rows()[batch.label[row].argmax()], 25)
        latent = (cells_of(batch.events[row]) * own) @ toy_code()
        made = batch.keep[row, 0] == 0
        np.testing.assert_allclose(latent[made], batch.target[row].T[made], atol=5e-3)
    others = batch.events * (1 - batch.label @ toy_rows()).astype(np.uint8)[:, None, None]
    assert others.any()


def test_pieces_without_events_give_windows_without() -> None:
    assert draw_batch(np.random.default_rng(4), [toy_piece(1)], 2, PLAIN).events is None


def test_a_stem_is_never_heard_while_it_is_written() -> None:
    batch = draw_batch(np.random.default_rng(2), [toy_piece(1)], 200, dataclasses.replace(PLAIN, all_others=0.0))
    masks = {(int(batch.label[r].argmax()), int(batch.context[r, 1].max())) for r in range(200)}
    assert not any(mask >> stem & 1 for stem, mask in masks)
    assert len(masks) > 6


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"late_stem": 1.0}, lambda b: not b.source.any() and b.target.any()),
        ({"nobody": 1.0, "all_others": 0.0}, lambda b: not b.context[:, :-1].any() and b.context[:, -1].any()),
        ({"whole": 1.0}, lambda b: not b.keep.any() and not b.source.any()),
        ({"late_start": 1.0}, lambda b: (b.target[:, :, 0] == 0).all(axis=1).mean() > 0.8),
        (
            {"past_noise": 1.0},
            lambda b: 0.05 < np.std((b.source - b.target)[(b.keep * np.ones_like(b.target)) > 0]) < 0.3,
        ),
        ({"other_past": 1.0}, lambda b: np.abs((b.source - b.target) * b.keep).mean() > 0.1),
    ],
    ids=["late_stem", "nobody", "whole", "late_start", "past_noise", "other_past"],
)
def test_what_goes_wrong_live_goes_wrong_here(change: dict[str, float], what: object) -> None:
    drawing = dataclasses.replace(PLAIN, **change)
    batch = draw_batch(np.random.default_rng(3), [toy_piece(1), toy_piece(2)], 30, drawing)
    assert what(batch)  # type: ignore[operator]


def test_rests_are_drawn_less_often() -> None:
    piece = toy_piece(1)
    piece.latents[:, :, :50] = 0
    shares = []
    for redraw in (0.0, 1.0):
        batch = draw_batch(np.random.default_rng(5), [piece], 200, dataclasses.replace(PLAIN, redraw_rest=redraw))
        made = batch.target * (1 - batch.keep)
        shares.append((made != 0).any(axis=(1, 2)).mean())
    assert shares[1] > shares[0] + 0.2


def test_gain_is_what_a_louder_signal_would_have_given() -> None:
    torch = pytest.importorskip("torch")
    from anacrusis.engine.networks.filterbank import Filterbank

    audio = torch.randn(1, 4096 * 6, generator=torch.Generator().manual_seed(0)) * 0.05
    bank, heard = Filterbank().eval(), torch.ones(1, 1, 6)
    quiet, loud = (bank(audio * g, heard)[0, :-1].numpy() for g in (1.0, 10 ** (5 / 20)))
    np.testing.assert_allclose(with_gain(quiet, 5.0), loud, atol=1e-4)


def test_the_same_seed_draws_the_same_windows() -> None:
    pieces = [eventful_piece(1), eventful_piece(2, 30)]
    a, b = (draw_batch(np.random.default_rng(9), pieces, 8, Drawing(gain=0)) for _ in range(2))
    assert all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    assert a.target.shape == (8, CHANNELS, 64)


@pytest.mark.parametrize(
    "change", [{"most_new_frames": 62}, {"past_noise": 1.5}, {"late_stem": 0.9, "late_start": 0.2}]
)
def test_an_impossible_drawing_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(CorpusError):
        dataclasses.replace(Drawing(), **change).validate()  # type: ignore[arg-type]

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A network that scores events: what it is scored on, what does not count, and that both its losses mean one latent."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.starter import RARE, Scores, Starter, StarterConfig  # noqa: E402
from anacrusis.train.starter.losses import (  # noqa: E402
    VELOCITY_WEIGHT,
    Case,
    Made,
    bits,
    estimate,
    event_loss,
    own_events,
    score_losses,
)
from anacrusis.train.starter.windows import draw_batch  # noqa: E402

from .starter_toys import (  # noqa: E402
    CHANNELS,
    ENCODED,
    HOPS,
    PLAIN,
    ROWS,
    cells_of,
    eventful_piece,
    toy_classes,
    toy_code,
    toy_piece,
    toy_rows,
)

SMALL = StarterConfig(CHANNELS, ENCODED, 64, 4, width=16, blocks=1, heads=2, conditioning=8, noise_bands=4, rows=ROWS)
SIZE, SIGMA_DATA = 6, 0.75


def with_code(network: Starter) -> Starter:
    network.code.copy_(torch.from_numpy(toy_code()))
    network.rows_of.copy_(torch.from_numpy(toy_rows()))
    network.classes_of.copy_(torch.from_numpy(toy_classes()))
    return network.eval().requires_grad_(False)


def awake() -> Starter:
    torch.manual_seed(1)
    network = with_code(Starter(SMALL))
    for parameter in network.parameters():
        parameter.normal_(0, 0.1)
    return network


class Knows(Starter):
    """Is sure of what it was told; off: of another thing. Its latents are the code's own."""

    def told(self, case: Case, off: int = 0) -> Knows:
        events = own_events(self, case, Made.of(case.keep))
        self.truth = events ^ off
        return self

    def scores(self, tokens: torch.Tensor, fits: torch.Tensor, never: torch.Tensor) -> Scores:
        onset, end = (100 * (2 * bits(self.truth[:, plane]) - 1) for plane in (0, 2))
        velocity = torch.logit(self.truth[:, 1].float() / 255, eps=1e-6)
        return Scores(onset, end, 100.0 * (2 * self.truth[:, 3].float() - 1), velocity)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case.of(draw_batch(np.random.default_rng(1), [eventful_piece(1), eventful_piece(2)], SIZE, PLAIN))


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(SIZE, CHANNELS, 64, generator=torch.Generator().manual_seed(2))


SIGMA = torch.linspace(0.1, 20, SIZE)


def test_who_knows_the_events_has_no_loss_of_either_kind(case: Case, noise: torch.Tensor) -> None:
    network = with_code(Knows(SMALL)).told(case)
    square, nats = score_losses(network, case, SIGMA, noise, SIGMA_DATA)
    assert square.shape == nats.shape == (SIZE,)
    assert float(square.max()) < 1e-5  # latents are float16
    assert float(nats.max()) < 1e-6


def test_who_is_sure_of_the_contrary_has_much_of_both(case: Case, noise: torch.Tensor) -> None:
    network = with_code(Knows(SMALL)).told(case, off=1)
    square, nats = score_losses(network, case, SIGMA, noise, SIGMA_DATA)
    assert float(square.min()) > 0.1
    assert float(nats.min()) > 100


def test_a_new_network_is_as_surprised_as_its_first_bias_says(case: Case, noise: torch.Tensor) -> None:
    """Rows of other stems cost nothing: they are impossible. An event costs -RARE more than none."""
    _, nats = score_losses(with_code(Starter(SMALL)), case, SIGMA, noise, SIGMA_DATA)
    made = Made.of(case.keep)
    events = own_events(with_code(Starter(SMALL)), case, made).numpy()
    count = cells_of(events)
    onsets, _, rest = np.split(count, [HOPS * ROWS, 2 * HOPS * ROWS], axis=1)
    nothing = (2 * HOPS + 1) * ROWS / 4 * math.log1p(math.exp(RARE))
    velocity = (np.square(0.5 - events[:, 1] / 255) * (events[:, 0] > 0)).sum(axis=1)
    want = nothing - RARE * (onsets.sum(axis=1) + rest.sum(axis=1)) + VELOCITY_WEIGHT * velocity
    torch.testing.assert_close(nats, made.mean(torch.from_numpy(want).float(), SIZE), rtol=1e-4, atol=1e-4)


def test_the_square_is_that_of_the_estimate_that_is_run(case: Case, noise: torch.Tensor) -> None:
    """The head on the frames to be made, and the head on all of them."""
    network = awake()
    square, _ = score_losses(network, case, SIGMA, noise, SIGMA_DATA)
    u = torch.where(case.keep > 0, case.source, case.target) + SIGMA[:, None, None] * noise
    error = (estimate(network, u, SIGMA, case, SIGMA_DATA) - case.target).square() * (1 - case.keep)
    want = error.sum((1, 2)) / ((1 - case.keep).sum((1, 2)) * CHANNELS)
    torch.testing.assert_close(square, want)


@pytest.mark.parametrize(
    ("what", "matters"), [("kept", False), ("others", False), ("own", True)], ids=["kept", "others", "own"]
)
def test_only_own_events_of_frames_to_be_made_count(what: str, matters: bool, case: Case, noise: torch.Tensor) -> None:
    network = awake()
    assert case.events is not None
    own = (case.label @ network.rows_of)[:, None, None].bool()  # [B, 1, 1, rows]
    made = (case.keep == 0).transpose(1, 2)[..., None]  # [B, W, 1, 1]
    where = {"kept": ~made & own, "others": made & ~own, "own": made & own}[what]
    changed = replace(case, events=torch.where(where, case.events ^ 1, case.events))
    if what == "kept":
        changed = replace(changed, target=torch.where(case.keep > 0, case.target + 3, case.target))
    before, after = (score_losses(network, c, SIGMA, noise, SIGMA_DATA) for c in (case, changed))
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1]) is not matters


def test_made_frames_are_averaged_window_by_window() -> None:
    keep = torch.ones(3, 1, 5)
    keep[0, 0, 3:], keep[1, 0, 2:4], keep[2, 0, :] = 0, 0, 0
    made = Made.of(keep)
    assert made.which.tolist() == [3, 4, 7, 8, 10, 11, 12, 13, 14]
    assert made.window.tolist() == [0, 0, 1, 1, 2, 2, 2, 2, 2]
    values = torch.arange(9.0)
    torch.testing.assert_close(made.mean(values, 3), torch.tensor([0.5, 2.5, 6.0]))
    torch.testing.assert_close(made.mean(values.double().float(), 4)[3], torch.tensor(0.0))  # a window without any


def test_bits_are_hops() -> None:
    planes = torch.tensor([[0b10000001, 0, 0b00000100]], dtype=torch.uint8)
    assert bits(planes).shape == (1, HOPS, 3)
    assert torch.nonzero(bits(planes)[0]).tolist() == [[0, 0], [2, 2], [7, 0]]


@pytest.mark.parametrize("velocity", [20, 128, 255])
def test_a_velocity_counts_only_where_a_note_begins(velocity: int) -> None:
    events = torch.zeros(1, 4, 2, dtype=torch.uint8)
    events[0, 1] = velocity
    silent = Scores(*(torch.full(shape, -100.0) for shape in [(1, HOPS, 2), (1, HOPS, 2), (1, 2)]), torch.zeros(1, 2))
    assert float(event_loss(silent, events)) == pytest.approx(0.0, abs=1e-6)
    events[0, 0, 1] = 1
    onset = silent.onset.clone()
    onset[0, 0, 1] = 100.0
    found = float(event_loss(replace(silent, onset=onset), events))
    assert found == pytest.approx(VELOCITY_WEIGHT * (0.5 - velocity / 255) ** 2, abs=1e-6)


def test_the_nats_are_least_at_the_true_share() -> None:
    """Of frames a third of which have an onset: the best that can be said of all is a third."""
    events = torch.zeros(9, 4, 1, dtype=torch.uint8)
    events[::3, 0] = 1
    never = torch.full((9, HOPS, 1), -100.0)

    def nats(share: float) -> float:
        onset = never.clone()
        onset[:, 0] = math.log(share / (1 - share))
        return float(event_loss(Scores(onset, never, never[:, 0], torch.zeros(9, 1)), events).mean())

    shares = [0.1, 0.2, 1 / 3, 0.5, 0.7]
    assert min(shares, key=nats) == 1 / 3


def test_pieces_without_events_cannot_be_scored(noise: torch.Tensor) -> None:
    case = Case.of(draw_batch(np.random.default_rng(1), [toy_piece(1)], SIZE, PLAIN))
    assert case.events is None
    with pytest.raises(Exception, match="rows = 0"):
        score_losses(awake(), case, SIGMA, noise, SIGMA_DATA)


def test_a_case_goes_to_another_place_whole(case: Case) -> None:
    there = case.to(torch.device("cpu"))
    assert there.events is not None
    assert torch.equal(there.events, case.events)
    assert torch.equal(there.label, case.label)
    assert (
        Case.of(draw_batch(np.random.default_rng(1), [toy_piece(1)], 2, PLAIN)).to(torch.device("cpu")).events is None
    )

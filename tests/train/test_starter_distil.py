# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Consistency distillation: where the teacher's ODE goes, what has no loss, who learns, and what a checkpoint keeps.

The networks here that know the truth read it in the context, where the test has put it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.starter import Scores, Starter, StarterConfig  # noqa: E402
from anacrusis.train.song import CorpusError  # noqa: E402
from anacrusis.train.starter.config import Optimiser, Training, from_dict  # noqa: E402
from anacrusis.train.starter.distil import (  # noqa: E402
    Check,
    Distillation,
    Said,
    Weights,
    apart,
    distillation_loss,
    solve,
)
from anacrusis.train.starter.draws import Draws  # noqa: E402
from anacrusis.train.starter.losses import Case, Levels, bits, noised  # noqa: E402
from anacrusis.train.starter.trainer import EventCode, Trainer, load_network  # noqa: E402
from anacrusis.train.starter.windows import draw_batch  # noqa: E402

from .starter_toys import CHANNELS, ENCODED, PLAIN, ROWS, eventful_piece, toy_classes, toy_code, toy_rows  # noqa: E402

PIECES = [eventful_piece(1), eventful_piece(2)]
CODE = EventCode(*(torch.from_numpy(toy()) for toy in (toy_code, toy_rows, toy_classes)))
SMALL = StarterConfig(CHANNELS, ENCODED, 64, 4, width=16, blocks=1, heads=2, conditioning=8, noise_bands=4)
BOTH = pytest.mark.parametrize("rows", [0, ROWS], ids=["plain", "scored"])
SIZE, HOW = 8, Distillation()
SIGMAS = torch.tensor(HOW.sigmas)


class Tells(Starter):
    """Says what the context tells: the target itself, or for certain which events there are."""

    def estimate(self, u, scalings, kept, keep, context, cond):  # type: ignore[no-untyped-def]
        if self.config.rows:
            return super().estimate(u, scalings, kept, keep, context, cond)
        return context[:, :CHANNELS] + 0 * self.last.weight.sum()

    def tokens(self, scaled, kept, keep, context, cond):  # type: ignore[no-untyped-def]
        return context.transpose(1, 2) + 0 * self.last.weight.sum()

    def fits(self, tokens, context, never):  # type: ignore[no-untyped-def]
        return never[:, None].expand(-1, tokens.shape[1], -1)

    def scores(self, tokens: torch.Tensor, fits: torch.Tensor, never: torch.Tensor) -> Scores:
        told = tokens[:, CHANNELS : CHANNELS + 4 * ROWS].reshape(-1, 4, ROWS)
        events = told.round().to(torch.uint8) * (never > -1)[:, None]
        onset, end = (100 * (2 * bits(events[:, plane]) - 1) for plane in (0, 2))
        velocity = torch.logit(events[:, 1].float() / 255, eps=1e-6)
        return Scores(onset, end, 100 * (2 * events[:, 3].float() - 1), velocity + 0 * told[:, 1])


def network(rows: int, kind: type[Starter] = Starter, seed: int = 1) -> Starter:
    torch.manual_seed(seed)
    made = kind(dataclasses.replace(SMALL, rows=rows))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.1)
    CODE.into(made)
    return made


@pytest.fixture(scope="module")
def case() -> Case:
    drawn = Case.of(draw_batch(np.random.default_rng(1), PIECES, SIZE, PLAIN))
    assert drawn.events is not None
    context = drawn.context.clone()
    context[:, :CHANNELS] = drawn.target
    context[:, CHANNELS : CHANNELS + 4 * ROWS] = drawn.events.permute(0, 2, 3, 1).reshape(SIZE, 4 * ROWS, 64).float()
    return dataclasses.replace(drawn, context=context)


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(SIZE, CHANNELS, 64, generator=torch.Generator().manual_seed(2))


def loss_of(
    student: Starter, average: Starter, teacher: Starter, case: Case, noise: torch.Tensor, how: Distillation = HOW
) -> torch.Tensor:
    start, steps = how.draw(np.random.default_rng(3), SIZE)
    sigma = torch.linspace(0.2, 2, SIZE)
    weights = Weights(0.3, 0.5, 5.0)
    return distillation_loss(student, average, teacher, case, noise, start, steps, sigma, how, Levels(), weights)


def test_draws_start_where_the_student_will_and_end_on_the_scale() -> None:
    start, steps = HOW.draw(np.random.default_rng(0), 20_000)
    assert steps.min() == 1
    assert steps.max() == HOW.most_steps
    assert start.min() == 0
    assert int((start + steps).max()) == HOW.scales - 1
    share = np.bincount(start.numpy(), minlength=HOW.scales) / len(start)
    even = (1 - HOW.top - HOW.middle) / (HOW.scales - 1)
    middle = int(np.abs(np.log(HOW.sigmas) - np.log(HOW.middle_sigma)).argmin())
    for level, expected in {0: HOW.top + even, middle: HOW.middle + even, 1: even}.items():
        assert share[level] == pytest.approx(expected, abs=0.015)


@BOTH
def test_the_ode_of_a_teacher_that_knows_goes_straight_to_the_target(
    rows: int, case: Case, noise: torch.Tensor
) -> None:
    """x = target + sigma noise stays on that line, every window as far as its own steps."""
    start, steps = torch.tensor([0, 0, 3, 6, 11, 5, 2, 9]), torch.tensor([1, 6, 2, 6, 1, 3, 4, 2])
    begun = noised(case, SIGMAS[start], noise)
    found = solve(network(rows, Tells), begun, case, noise, SIGMAS, start, steps, Levels())
    torch.testing.assert_close(found, noised(case, SIGMAS[start + steps], noise), atol=2e-2, rtol=1e-4)
    torch.testing.assert_close(begun, noised(case, SIGMAS[start], noise), rtol=0, atol=0)  # left as it was


@BOTH
def test_when_all_know_the_truth_there_is_no_loss(rows: int, case: Case, noise: torch.Tensor) -> None:
    loss = loss_of(*(network(rows, Tells) for _ in range(3)), case, noise)
    assert loss.shape == (SIZE,)
    assert float(loss.detach().abs().max()) < 1e-3


@BOTH
def test_at_the_last_level_the_teacher_tells_and_before_it_the_average(
    rows: int, case: Case, noise: torch.Tensor
) -> None:
    ends = Distillation(dsm_weight=0.0, top=0.0, middle=0.0, scales=2, most_steps=1)
    before = Distillation(dsm_weight=0.0, top=1.0, middle=0.0, most_steps=2)
    student, right = network(rows), network(rows, Tells)
    for how, whose in ((ends, "teacher"), (before, "average")):
        a, b, c = (
            loss_of(student, average, right, case, noise, how).detach()
            for average in (right, network(rows, seed=4), right)
        )
        assert float(a.min()) > 0
        assert torch.equal(a, c)
        assert torch.equal(a, b) is (whose == "teacher")


@BOTH
def test_only_the_student_learns(rows: int, case: Case, noise: torch.Tensor) -> None:
    student, average, teacher = (network(rows, seed=seed) for seed in (1, 2, 3))
    loss_of(student, average, teacher, case, noise).mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in student.parameters())
    assert all(p.grad is None for other in (average, teacher) for p in other.parameters())


def test_score_matching_is_asked_of_its_share_alone_and_weighs_as_if_of_all(case: Case, noise: torch.Tensor) -> None:
    nets = [network(ROWS, seed=seed) for seed in (1, 2, 3)]
    with torch.no_grad():
        none, some = (loss_of(*nets, case, noise, Distillation(dsm_weight=w, dsm_share=0.25)) for w in (0.0, 0.7))
        twice = loss_of(*nets, case, noise, Distillation(dsm_weight=1.4, dsm_share=0.25))
        half = loss_of(*nets, case, noise, Distillation(dsm_weight=0.7, dsm_share=0.5))
    assert torch.equal(some[2:], none[2:])
    assert bool((some[:2] > none[:2]).all())
    torch.testing.assert_close(twice - none, 2 * (some - none), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close((half - none)[:2], 0.5 * (some - none)[:2], rtol=1e-3, atol=1e-3)


def test_two_answers_are_apart_unless_they_are_one() -> None:
    torch.manual_seed(0)

    def answer() -> Said:
        shapes = [(20, 8, ROWS), (20, 8, ROWS), (20, ROWS), (20, ROWS)]
        return Said(torch.zeros(20, CHANNELS), Scores(*(3 * torch.randn(s) for s in shapes)))

    a, b = answer(), answer()
    assert float(apart(a, a).abs().max()) < 1e-4
    assert float(apart(a, b).min()) > 1
    nearer = Said(a.latent, Scores(*(0.9 * getattr(a.scores, f.name) for f in dataclasses.fields(Scores))))
    assert bool((apart(nearer, a) > 0).all())
    assert bool((apart(nearer, a) < apart(b, a)).all())


@BOTH
def test_the_check_measures_from_where_the_teacher_arrives(rows: int, case: Case, noise: torch.Tensor) -> None:
    check = Check(network(rows, Tells), [case], [noise], HOW, Levels())
    known, strange = check(network(rows, Tells)), check(network(rows))
    assert known["loss"] == pytest.approx(0.0, abs=1e-3)
    assert strange["loss"] > 0.05
    assert len(strange["sigmas"]) == 2
    assert set(strange["stems"]) <= {"bass", "drums", "guitar", "piano"}


def config_of(rows: int) -> Training:
    net = dataclasses.replace(SMALL, rows=rows)
    made = Training(batch=4, network=net, drawing=PLAIN, bfloat16=False, optimiser=Optimiser(warmup_steps=2))
    return dataclasses.replace(made, method="distillation")


@BOTH
def test_a_distillation_that_is_resumed_is_the_one_that_was_not_stopped(rows: int, tmp_path: Path) -> None:
    config, teacher = config_of(rows), network(rows)
    whole, first = (Trainer(config, teacher=teacher) for _ in range(2))
    draws = Draws(PIECES, config)
    for _ in range(4):
        whole.advance(draws[whole.step])
    for _ in range(2):
        first.advance(draws[first.step])
    first.save(tmp_path / "c.pt")
    second = Trainer.load(tmp_path / "c.pt")
    for _ in range(2):
        second.advance(draws[second.step])
    assert whole.target is not None
    assert whole.teacher is not None
    for name in ("network", "target", "teacher"):
        a, b = (getattr(trainer, name).state_dict() for trainer in (whole, second))
        assert all(torch.equal(a[key], b[key]) for key in a), name
    taught = teacher.state_dict()
    assert all(torch.equal(taught[key], t) for key, t in whole.teacher.state_dict().items())
    whole.save(tmp_path / "d.pt")
    for shipped in (load_network(tmp_path / "d.pt")[0], whole.averaged()):  # what gives the targets is what is shipped
        assert all(torch.equal(t, shipped.state_dict()[key]) for key, t in whole.target.state_dict().items())
    moved = [float((t - taught[key]).abs().max()) for key, t in whole.target.state_dict().items()]
    assert 0 < max(moved) < 0.1


@pytest.mark.parametrize(
    "change", [{"scales": 1}, {"most_steps": 13}, {"top": 0.9}, {"dsm_share": 1.5}, {"sigma_min": 50.0}]
)
def test_a_distillation_that_cannot_be_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(CorpusError):
        from_dict({"distillation": change})

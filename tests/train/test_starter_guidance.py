# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A guided teacher: weight 1 is the network, 0 the network that hears nobody, 2 as far again beyond."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.starter import Starter, StarterConfig  # noqa: E402
from anacrusis.train.starter.distil import Distillation, guided, said  # noqa: E402
from anacrusis.train.starter.guidance import Guided  # noqa: E402
from anacrusis.train.starter.losses import Case, Made, estimate  # noqa: E402
from anacrusis.train.starter.trainer import EventCode  # noqa: E402
from anacrusis.train.starter.windows import draw_batch  # noqa: E402

from .starter_toys import CHANNELS, ENCODED, PLAIN, ROWS, eventful_piece, np, toy_code, toy_rows  # noqa: E402

SIGMA = torch.tensor([0.5, 2.0, 20.0])


def network(rows: int = ROWS) -> Starter:
    torch.manual_seed(5)
    config = StarterConfig(
        CHANNELS, ENCODED, 64, 4, width=16, blocks=1, heads=2, conditioning=8, noise_bands=4, rows=rows
    )
    made = Starter(config).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.normal_(0, 0.1)
    EventCode(torch.from_numpy(toy_code()), torch.from_numpy(toy_rows()), torch.zeros(12, ROWS)).into(made)
    return made


def case(deaf: bool = False) -> Case:
    pieces = [eventful_piece(1), eventful_piece(2)]
    made = Case.of(draw_batch(np.random.default_rng(3), pieces, len(SIGMA), PLAIN))
    if deaf:
        made.context.zero_()
    return made


@pytest.mark.parametrize(("weight", "deaf"), [(1.0, False), (0.0, True)])
def test_at_its_ends_it_is_a_network(weight: float, deaf: bool) -> None:
    net, given = network(), case()
    u, made = given.target + SIGMA[:, None, None], Made.of(given.keep)
    found, want = (
        said(who, u, SIGMA, heard, made, 0.75).scores
        for who, heard in ((Guided(net, weight), given), (net, case(deaf)))
    )
    for name in ("onset", "end", "carried"):
        torch.testing.assert_close(getattr(found, name), getattr(want, name), atol=1e-5, rtol=1e-5)


def test_the_sampler_and_the_distillation_guide_alike() -> None:
    net, given = Guided(network(), 1.7, (0.5, 1.0, 0.0, -2.0)), case()
    u, made = given.target + SIGMA[:, None, None], Made.of(given.keep)
    whole = estimate(net, u, SIGMA, given, 0.75).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(whole[made.which], said(net, u, SIGMA, given, made, 0.75).latent, atol=1e-5, rtol=1e-5)


def test_beyond_it_goes_the_way_the_context_went() -> None:
    net, given = network(), case()
    u, made = given.target + SIGMA[:, None, None], Made.of(given.keep)
    scores = [
        said(who, u, SIGMA, heard, made, 0.75).scores
        for who, heard in ((net, case(True)), (net, given), (Guided(net, 2.0), given))
    ]
    alone, told, beyond = (score.onset for score in scores if score is not None)
    assert (told - alone).abs().max() > 0.01
    torch.testing.assert_close(beyond - told, told - alone, atol=1e-4, rtol=1e-4)
    assert scores[2] is not None
    assert scores[1] is not None
    assert torch.equal(scores[2].velocity, scores[1].velocity)


def test_each_stem_has_its_own_shift() -> None:
    net, given = network(), case()
    u, made = given.target + SIGMA[:, None, None], Made.of(given.keep)
    shifts = (0.5, 1.0, 0.0, -2.0)
    plain, shifted = (said(Guided(net, 2.0, s), u, SIGMA, given, made, 0.75).scores for s in ((0.0,), shifts))
    assert plain is not None
    assert shifted is not None
    off = (given.label @ torch.tensor(shifts))[made.window]
    assert off.unique().numel() > 1
    torch.testing.assert_close(plain.onset - shifted.onset, off[:, None, None].expand_as(plain.onset))
    assert torch.equal(plain.end, shifted.end)


@pytest.mark.parametrize(("guidance", "rows", "kind"), [(1.0, ROWS, Starter), (2.0, ROWS, Guided), (2.0, 0, Starter)])
def test_a_distillation_guides_who_scores_events(guidance: float, rows: int, kind: type) -> None:
    assert type(guided(network(rows), Distillation(guidance=guidance))) is kind

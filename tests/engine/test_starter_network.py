# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The starter's network: its shapes, what it may see, and what it says in either form: the mean of a code of events
(scored), or EDM's skip and residual (plain).

Its graphs: tests/train/test_starter_bundle.py; its beat: test_pulse.py; its chords: test_harmony.py.
"""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.starter import HOPS, RARE, Scores, Starter, StarterConfig, StarterDenoise, StarterEmbed  # noqa: E402

SCORED = StarterConfig(8, 149, 16, 4, width=24, blocks=2, heads=3, conditioning=10, noise_bands=4, rows=6)
PLAIN = dataclasses.replace(SCORED, context_channels=5, rows=0, pulse=False)
BOTH = pytest.mark.parametrize("config", [SCORED, PLAIN], ids=["scored", "plain"])
SCALINGS = tuple(torch.tensor(x) for x in (0.5, 0.3, 0.7))
OWN = torch.tensor([[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1]]).float()
Inputs = tuple["torch.Tensor", ...]


def new(config: StarterConfig) -> Starter:
    """As training begins, with a code and rows that are somebody's."""
    torch.manual_seed(3)
    network = Starter(config).eval().requires_grad_(False)
    if config.rows:
        network.code.normal_()
        network.rows_of.copy_(OWN)
        network.classes_of.copy_(torch.eye(12, 6))
    return network


def awake(config: StarterConfig) -> Starter:
    """Every weight random: a new network says nothing, whatever it sees."""
    network = new(config)
    for parameter in network.parameters():
        parameter.normal_(0.0, 0.2)
    if network.harmony is not None:
        network.harmony.intervals.weight *= 0.1  # a fit is some units of logit
        network.harmony.intervals.bias *= 0.1
    return network


def inputs(config: StarterConfig, stems: int = 2) -> Inputs:
    generator = torch.Generator().manual_seed(1)
    c, e, w = config.latent_channels, config.context_channels, config.window_frames
    latents = [torch.randn(stems, c, w, generator=generator) for _ in range(4)]
    keep = (torch.arange(w) < w // 2).float()[None, None]
    row = torch.tensor([*(float(x) for x in SCALINGS), 0.2, -0.4, 1.1, 1.0, 0.0])
    return (*latents, torch.rand(1, e, w, generator=generator), keep, row)


def conditions(network: Starter, stems: int = 2) -> list[torch.Tensor]:
    return list(StarterEmbed(network)(torch.full((stems,), 2.5), torch.eye(4)[:stems]))


def test_the_default_is_small() -> None:
    assert 2e6 < sum(p.numel() for p in Starter(StarterConfig()).parameters()) < 5e6


def test_a_new_plain_network_says_only_what_it_was_given() -> None:
    network = new(PLAIN)
    u, _, source, _, context, keep, _ = inputs(PLAIN)
    d = network.estimate(u, SCALINGS, source, keep, context, conditions(network))
    assert torch.equal(d, SCALINGS[1] * u)


def test_a_new_scored_network_says_that_all_is_rare_in_the_stem_s_rows_and_impossible_in_others() -> None:
    network = new(SCORED)
    u, _, source, _, context, keep, _ = inputs(SCORED)
    cond = conditions(network)
    tokens = network.tokens(u, source, keep, context, cond)
    fits = network.fits(tokens, context, cond[-1])
    for stem in range(2):
        scores = network.scores(tokens[stem], fits[stem], cond[-1][stem].expand(16, -1))
        for logits in (scores.onset, scores.end, scores.carried):
            own = OWN[stem].bool().expand_as(logits)
            assert torch.equal(logits[own], torch.full_like(logits[own], RARE))
            assert float(torch.sigmoid(logits[~own]).max()) < 1e-14


@BOTH
def test_the_row_is_the_sampler_s_formula(config: StarterConfig) -> None:
    network = awake(config)
    u, b, source, noise, context, keep, row = inputs(config)
    cond = conditions(network)
    u_next, b_next = StarterDenoise(network)(u, b, source, noise, context, keep, row, cond)
    d = network.estimate(u, SCALINGS, source * keep, keep, context, cond)
    v = row[3] * b + row[4] * u + row[5] * d
    assert torch.allclose(u_next, keep * source + (1 - keep) * v + noise, atol=1e-5)
    assert torch.equal(b_next, b)


@BOTH
@pytest.mark.parametrize("which", range(5), ids=["u", "kept", "keep", "context", "label"])
def test_everything_it_is_given_matters(config: StarterConfig, which: int) -> None:
    network = awake(config)
    u, _, source, _, context, keep, _ = inputs(config)
    given, cond = [u, source * keep, keep, context], conditions(network)
    before = network.estimate(u, SCALINGS, *given[1:], cond)
    if which < 4:
        given[which] = given[which] * 1.5 + 0.5
    else:
        cond = list(StarterEmbed(network)(torch.full((2,), 2.5), torch.eye(4)[2:]))
    assert (network.estimate(given[0], SCALINGS, *given[1:], cond) - before).abs().max() > 1e-3


@BOTH
def test_what_is_not_kept_of_the_source_is_not_seen(config: StarterConfig) -> None:
    network = awake(config)
    u, b, source, noise, context, keep, row = inputs(config)
    cond = conditions(network)
    other = torch.where(keep > 0, source, source + 5)
    a, c = (StarterDenoise(network)(u, b, s, noise, context, keep, row, cond)[0] for s in (source, other))
    assert torch.equal(a, c)


@BOTH
def test_one_context_serves_several_stems(config: StarterConfig) -> None:
    network = awake(config)
    u, _, source, _, context, keep, _ = inputs(config)
    cond = conditions(network)
    together = network.estimate(u, SCALINGS, source, keep, context, cond)
    for i in range(2):
        one = [c[i : i + 1] for c in cond]
        alone = network.estimate(u[i : i + 1], SCALINGS, source[i : i + 1], keep, context, one)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("config", "same"), [(SCORED, True), (PLAIN, False)], ids=["scored", "plain"])
def test_skip_and_residual_are_the_plain_network_s_alone(config: StarterConfig, same: bool) -> None:
    network = awake(config)
    u, _, source, _, context, keep, _ = inputs(config)
    cond = conditions(network)
    other = (SCALINGS[0], torch.tensor(0.9), torch.tensor(0.1))
    a, b = (network.estimate(u, of_sigma, source, keep, context, cond) for of_sigma in (SCALINGS, other))
    assert torch.equal(a, b) is same


def certain(events: int, rows: int = 6) -> Scores:
    """One frame in which exactly one of the cells of the code happens (a velocity: with its onset)."""
    x = torch.full((1, 3 * HOPS + 1, rows), -200.0)
    hop, row = divmod(events, rows)
    x[0, hop, row] = 200.0
    velocity = torch.full((1, rows), -200.0)
    if HOPS <= hop < 2 * HOPS:
        x[0, hop - HOPS, row], velocity[0, row] = 200.0, 200.0
    return Scores(x[:, :HOPS], x[:, 2 * HOPS : 3 * HOPS], x[:, 3 * HOPS], velocity)


@pytest.mark.parametrize("cell", [0, 13, 47, 48, 95, 96, 120, 143, 144, 149])
def test_who_is_sure_of_an_event_says_its_latent_exactly(cell: int) -> None:
    network = new(SCORED)
    expected = network.code[cell]
    if HOPS <= cell // 6 < 2 * HOPS:  # a velocity comes with its onset
        expected = expected + network.code[cell - 6 * HOPS]
    assert torch.equal(network.latent(certain(cell))[0], expected)


def test_who_is_in_doubt_says_the_mean_latent() -> None:
    network = new(SCORED)
    never = torch.full((1, 6), -200.0)
    nothing = never[:, None].expand(1, HOPS, 6)
    carried = never.clone()
    carried[0, 2] = 0.0  # one half
    torch.testing.assert_close(
        network.latent(Scores(nothing, nothing, carried, never))[0], 0.5 * network.code[3 * HOPS * 6 + 2]
    )


@BOTH
def test_what_a_scored_network_writes_is_of_its_stem_s_rows(config: StarterConfig) -> None:
    """Whatever the weights: changing the code of others' rows changes nothing. A plain network has no code."""
    network = awake(config)
    if not config.rows:
        assert not [name for name in network.state_dict() if name in ("code", "rows_of")]
        return
    u, _, source, _, context, keep, _ = inputs(config)
    cond = conditions(network)
    before = network.estimate(u, SCALINGS, source, keep, context, cond)
    for stem in range(2):
        others = 1 - OWN[stem].repeat(3 * HOPS + 1)[:, None]
        changed = new(config)
        changed.load_state_dict(network.state_dict())
        changed.code += 100 * others
        after = changed.estimate(u, SCALINGS, source, keep, context, cond)
        torch.testing.assert_close(after[stem], before[stem], atol=1e-4, rtol=1e-4)
        assert (after[1 - stem] - before[1 - stem]).abs().max() > 1


@pytest.mark.parametrize(("change", "says"), [({"heads": 5}, "heads"), ({"blocks": 0}, "at least one")])
def test_an_impossible_network_is_refused(change: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Starter(StarterConfig(**change))

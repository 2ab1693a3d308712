# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The losses are the engine's own formula, and the sampler in torch is the engine's table.

(What is scored of events: test_starter_events.py.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.starter import Starter, StarterConfig, StarterDenoise, StarterEmbed  # noqa: E402
from anacrusis.engine.sampler import Parametrisation, SamplerConfig  # noqa: E402
from anacrusis.train.starter.losses import Case, Levels, dsm_loss, estimate, scalings, weight_of  # noqa: E402
from anacrusis.train.starter.sample import Job, Voice, run_table, write  # noqa: E402
from anacrusis.train.starter.windows import draw_batch  # noqa: E402

from .starter_toys import CHANNELS, ENCODED, PLAIN, ROWS, toy_classes, toy_code, toy_piece, toy_rows  # noqa: E402

SMALL = StarterConfig(CHANNELS, ENCODED, 64, 4, width=16, blocks=1, heads=2, conditioning=8, noise_bands=4, rows=0)
Scalings = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]


def tiny_network(rows: int = 0) -> Starter:
    torch.manual_seed(1)
    network = Starter(replace(SMALL, rows=rows)).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.1)
    if rows:
        network.code.copy_(torch.from_numpy(toy_code()))
        network.rows_of.copy_(torch.from_numpy(toy_rows()))
        network.classes_of.copy_(torch.from_numpy(toy_classes()))
    return network


@dataclass
class Knows:
    """A network that knows the target, and is wrong only where it does not count. Remembers what it was given."""

    case: Case
    off: float = 0.0
    given: tuple[torch.Tensor, Scalings] | None = None

    def conditioning(self, c_noise: torch.Tensor, label: torch.Tensor) -> list[torch.Tensor]:
        return [c_noise]

    def estimate(self, u: torch.Tensor, scalings: Scalings, *_: object) -> torch.Tensor:
        self.given = (u, scalings)
        return self.case.target + self.off * self.case.keep


def case_of(rows: int = 6) -> Case:
    return Case.of(draw_batch(np.random.default_rng(1), [toy_piece(1), toy_piece(2)], rows, PLAIN))


@pytest.mark.parametrize("sigma", [0.05, 0.75, 80.0])
@pytest.mark.parametrize(("name", "sigma_min"), [("edm", 0.0), ("consistency", 1e-3)])
def test_scalings_are_the_engine_s(sigma: float, name: str, sigma_min: float) -> None:
    want = Parametrisation(name, 0.75, sigma_min).scalings(sigma)  # type: ignore[arg-type]
    found = [float(x) for x in scalings(torch.tensor([sigma]), 0.75, sigma_min)]
    np.testing.assert_allclose(found, want, rtol=1e-4)


@pytest.mark.parametrize("off", [0.0, 3.0], ids=["right", "wrong where kept"])
def test_who_knows_the_target_has_no_loss(off: float) -> None:
    case, levels, sigma = case_of(), Levels(), torch.linspace(0.1, 20, 6)
    noise = torch.randn(case.target.shape, generator=torch.Generator().manual_seed(2))
    network = Knows(case, off)
    loss = dsm_loss(network, case, sigma, noise, levels)
    assert loss.shape == (6,)
    assert not loss.any()
    assert network.given is not None
    u, (c_in, _, _) = network.given
    torch.testing.assert_close(
        u, case.source * case.keep + case.target * (1 - case.keep) + sigma[:, None, None] * noise
    )
    torch.testing.assert_close(c_in[:, 0, 0], torch.rsqrt(sigma**2 + levels.sigma_data**2))


def test_every_window_counts_alike_however_much_of_it_is_made() -> None:
    case, sigma = case_of(), torch.full((6,), 2.0)
    assert len(set(case.keep.sum((1, 2)).tolist())) > 1

    class Off(Knows):
        def estimate(self, u: torch.Tensor, scalings: Scalings, *_: object) -> torch.Tensor:
            return self.case.target + 0.5

    loss = dsm_loss(Off(case), case, sigma, torch.zeros_like(case.target), Levels())
    torch.testing.assert_close(loss, 0.25 * weight_of(sigma, 0.75))


def test_who_says_nothing_has_a_loss_of_about_the_data_s_variance_over_sigma_data() -> None:
    case, levels = case_of(32), Levels(sigma_data=1.0)  # toy latents are standard normal
    sigma = torch.full((32,), 1.0)
    noise = torch.randn(case.target.shape, generator=torch.Generator().manual_seed(2))
    loss = dsm_loss(Starter(SMALL), case, sigma, noise, levels).mean()
    assert float(loss.detach()) == pytest.approx(1.0, abs=0.1)


def test_noise_levels_are_as_declared() -> None:
    sigma = Levels(0.3, 1.4).draw(np.random.default_rng(0), 4000).log()
    assert float(sigma.mean()) == pytest.approx(0.3, abs=0.02)
    assert float(sigma.std()) == pytest.approx(1.4, abs=0.02)


@pytest.mark.parametrize("rows", [0, ROWS])
@pytest.mark.parametrize("name", ["heun", "consistency", "dpm2"])
def test_the_sampler_is_the_graph_run_row_by_row(name: str, rows: int) -> None:
    network, config = tiny_network(rows), SamplerConfig(name, 3, 0.05, 20.0, 7.0, 2)  # type: ignore[arg-type]
    voice = Voice(network, Parametrisation("edm", 0.75), config.table())
    case, table = case_of(2), config.table()
    made = run_table(voice, case.source, case.keep, case.context, case.label, np.random.default_rng(3))
    draws = np.random.default_rng(3).standard_normal((table.draws, *case.source.shape), dtype=np.float32)
    noise = np.empty((len(table.mixes), *case.source.shape), np.float32)
    table.mix_noise(draws, case.keep.numpy(), noise)
    mixes = [torch.from_numpy(n) for n in noise]
    u = b = case.source * case.keep + mixes.pop(0)
    for row, fields in zip(table.rows, table.coefficients(voice.parametrisation), strict=True):
        cond = list(StarterEmbed(network)(torch.full((2,), row.sigma), case.label))
        given = mixes.pop(0) if row.mix is not None else torch.zeros_like(u)
        u, b = StarterDenoise(network)(
            u, b, case.source, given, case.context, case.keep, torch.from_numpy(fields), cond
        )
    torch.testing.assert_close(made, u, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made * case.keep, case.source * case.keep)


@dataclass
class Watches:
    """D is 1; remembers what it was given."""

    seen: list[tuple[torch.Tensor, torch.Tensor]]

    def conditioning(self, c_noise: torch.Tensor, label: torch.Tensor) -> list[torch.Tensor]:
        return []

    def estimate(
        self, u: torch.Tensor, _: Scalings, kept: torch.Tensor, keep: torch.Tensor, context: torch.Tensor, cond: object
    ) -> torch.Tensor:
        self.seen.append((context, kept))
        return torch.ones_like(u)


@pytest.mark.parametrize(("step", "lead"), [(8, 8), (4, 0), (4, -4), (1, 1)])
@pytest.mark.parametrize("from_silence", [True, False])
def test_writing_live_hears_up_to_now_and_keeps_what_it_wrote(step: int, lead: int, from_silence: bool) -> None:
    piece, watcher = toy_piece(1), Watches([])
    voice = Voice(watcher, Parametrisation("edm", 1.0), SamplerConfig("consistency", 1, 0.05, 20.0, 7.0).table())
    job = Job(piece, 0, 40, 14)
    made = write(voice, [job], step_frames=step, lead_frames=lead, cycles=3, from_silence=from_silence)
    assert made.shape == (1, CHANNELS, 3 * step)
    for cycle, (context, kept) in enumerate(watcher.seen):
        now = 40 + (cycle + 1) * step - (step + lead)  # frames heard
        assert int(context[0, 0].max()) == now
        assert context[0, -1].sum() == 64 - step - lead
        written = kept[0, :, 64 - step - cycle * step : 64 - step].numpy()
        np.testing.assert_allclose(written, made[0, :, : cycle * step], atol=1e-5)
        before = kept[0, :, : 64 - step - cycle * step].abs().sum()
        assert bool(before > 0) is not from_silence


@pytest.mark.parametrize("rows", [0, ROWS])
def test_the_estimate_is_finite_at_the_ends_of_the_noise(rows: int) -> None:
    case = case_of(2)
    for sigma in (1e-3, 80.0):
        d = estimate(tiny_network(rows), case.target * sigma, torch.full((2,), sigma), case, 0.75)
        assert torch.isfinite(d).all()

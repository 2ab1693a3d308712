# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The head that scores pitch classes: it knows no key, hears only what was heard, and of each register its own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from anacrusis.engine.networks.filterbank import CHANNELS, TONES  # noqa: E402
from anacrusis.engine.networks.harmony import CLASSES, REGISTERS, Harmony, chroma  # noqa: E402

WIDTH, FRAMES = 12, 16


def awake() -> Harmony:
    torch.manual_seed(1)
    made = Harmony(WIDTH, FRAMES).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.normal_(0, 0.5)
    return made


def given(heard: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    context = torch.rand(2, CHANNELS, FRAMES, generator=generator)
    context[:, -1] = 1.0
    context[:, :, heard:] = 0.0
    return torch.randn(2, FRAMES, WIDTH, generator=generator), context


def turned(context: torch.Tensor, semitones: int) -> torch.Tensor:
    """Every octave's classes rotated: another key."""
    tones = context[:, :TONES].reshape(len(context), -1, CLASSES, FRAMES).roll(semitones, dims=2)
    return torch.cat([tones.reshape(len(context), TONES, FRAMES), context[:, TONES:]], dim=1)


@pytest.mark.parametrize("semitones", range(1, CLASSES))
def test_another_key_is_the_same_music(semitones: int) -> None:
    tokens, context = given()
    network = awake()
    fits = network(tokens, context)
    assert fits.std() > 0.01
    torch.testing.assert_close(network(tokens, turned(context, semitones)), fits.roll(semitones, dims=2))


def test_a_new_one_says_nothing() -> None:
    assert not Harmony(WIDTH, FRAMES)(*given()).any()


def test_what_was_not_heard_is_not_listened_to() -> None:
    """Tones in frames that say they were not heard (no context has any) change nothing."""
    tokens, context = given()
    noisy = context.clone()
    noisy[:, :TONES, 10:] = 1.0 + torch.rand(2, TONES, FRAMES - 10)
    torch.testing.assert_close(awake()(tokens, noisy), awake()(tokens, context))


@pytest.mark.parametrize("heard", [0, 1])
def test_little_or_nothing_heard_gives_numbers(heard: int) -> None:
    fits = awake()(*given(heard))
    assert bool(fits.isfinite().all())
    assert bool(fits.any()) is (heard > 0)


def test_chroma_is_by_register_and_has_no_mean() -> None:
    context = torch.zeros(1, CHANNELS, FRAMES)
    for octave in range(TONES // CLASSES):
        context[0, octave * CLASSES + octave] = 1.0
    found = chroma(context)[0, 0].reshape(len(REGISTERS), CLASSES)
    torch.testing.assert_close(found.sum(dim=1), torch.zeros(len(REGISTERS)), atol=1e-5, rtol=0)
    for row, (low, high) in zip(found, REGISTERS, strict=True):
        assert sorted(row.topk(high - low).indices.tolist()) == list(range(low, high))


def test_one_context_serves_several_stems() -> None:
    tokens, context = given()
    network = awake()
    both = network(tokens, context[:1])
    for i in range(2):
        torch.testing.assert_close(both[i : i + 1], network(tokens[i : i + 1], context[:1]))

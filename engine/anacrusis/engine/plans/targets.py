# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Which cards a plan is built for.

TensorRT-RTX builds for SM 75, 80, 86, 89 and 120 on any machine. Plans of 80, 86, 89 and 120 share one file, the
portable plan; Turing (75) is its own, because in a shared plan it weakens fusion for every other card. (Turing takes no
float32 matrix product at all; float32 convolutions it takes.)

Sharing costs nothing else. Of the full-size float16 networks (1.7.1) the portable plan has as many kernels of each type
as single ones: denoise 553 as on each of its four cards (Turing: 615), encode 122 and decode 387 as on SM 89, all
within 0.1 MB. Some workspaces differ in size, so a machine's own card still gets its own plan.

Pure functions; any thread. Not covered: GB10 (12.1), whose plans this project never built.
"""

from __future__ import annotations

from dataclasses import dataclass

from anacrusis.engine.errors import PlanError
from anacrusis.engine.plans.device import Card

SMS = (75, 80, 86, 89, 120)
CHOICES = ("auto", *(f"sm{sm}" for sm in SMS), "all")


@dataclass(frozen=True, slots=True)
class Target:
    """The cards of one plan, by compute capability, rising. `name` is what a key holds: "sm80+sm86"."""

    sms: tuple[int, ...]

    @property
    def name(self) -> str:
        return "+".join(f"sm{sm}" for sm in self.sms)


TURING = Target((75,))
PORTABLE = Target((80, 86, 89, 120))


def parse_target(choice: str, card: Card | None) -> tuple[Target, ...]:
    """The plans that --target asks for. card: the one in this machine, if any.

    "auto" is this machine's card alone, or the portable plan where there is none; "all" is the portable plan
    and Turing's. Raises PlanError for an unknown target or a card that TensorRT-RTX has no plan for.
    """
    if choice == "all":
        return (PORTABLE, TURING)
    if choice == "auto":
        if card is None:
            return (PORTABLE,)
        if card.sm not in SMS:
            raise PlanError(f"{no_plan_for(card)}; for another machine name a target (--target sm89)")
        return (Target((card.sm,)),)
    if choice not in CHOICES:
        raise PlanError(f"unknown target {choice!r}; choose {', '.join(CHOICES)}, or run other cards with torch-cuda")
    return (Target((int(choice[2:]),)),)


def candidates(sm: int) -> tuple[Target, ...]:
    """Targets whose plans run on a card of this compute capability, best first; none for a card outside the list."""
    if sm not in SMS:
        return ()
    alone = Target((sm,))
    return (alone, PORTABLE) if sm in PORTABLE.sms else (alone,)


def no_plan_for(card: Card) -> str:
    """One line for a card outside the list, naming the rung that runs it."""
    return f"TensorRT-RTX has no plan for {card.name} (sm{card.sm}); run it with --backend torch-cuda"

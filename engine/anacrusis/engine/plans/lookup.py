# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The plan that a card can run, of those in the cache. What a running backend asks; it never builds."""

from __future__ import annotations

from anacrusis.engine.bundle import Bundle
from anacrusis.engine.plans.device import Card
from anacrusis.engine.plans.key import plan_key
from anacrusis.engine.plans.library import Library
from anacrusis.engine.plans.sidecar import Entry
from anacrusis.engine.plans.store import Store
from anacrusis.engine.plans.targets import candidates
from anacrusis.engine.plans.wanted import Wanted


def usable_plan(store: Store, bundle: Bundle, plan: Wanted, library: Library, card: Card) -> Entry | None:
    """The best plan of this stage for this card: built for it alone, else the portable one, else None.

    Looks at sizes and first bytes only. Any thread; milliseconds.
    """
    for target in target_names(library, card):
        entry = store.find(plan_key(bundle, plan.stage, dict(plan.dims), library, target))
        if entry is not None:
            return entry
    return None


def target_names(library: Library, card: Card) -> tuple[str, ...]:
    """What a key's target may be for plans that run on this card, best first."""
    if library.name == "rtx":
        return tuple(target.name for target in candidates(card.sm))
    return (own_target(card),)


def own_target(card: Card) -> str:
    """The target of a full-TensorRT plan: this card and no other."""
    return f"sm{card.sm} {card.name}"

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What may go from the cache: leftovers, plans that the installed library cannot load, plans not used for long."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from anacrusis.engine.errors import PlanError
from anacrusis.engine.plans.sidecar import Entry
from anacrusis.engine.plans.store import Store


@dataclass(frozen=True, slots=True)
class Removed:
    """name: of the file or plan. why: in a few words. freed_bytes: None where it was kept, and why says why."""

    name: str
    why: str
    freed_bytes: int | None


@dataclass(frozen=True, slots=True)
class PruneRule:
    """versions: of the installed libraries, by name; a plan of another version of these goes, it cannot be loaded.

    older_than_days: a plan not used for so long goes. keep_graphs: if given, a plan of any graph but these (SHA-256)
    goes. everything: all goes. Raises nothing; `reason` is pure.
    """

    versions: tuple[tuple[str, str], ...] = ()
    older_than_days: float | None = None
    keep_graphs: Collection[str] | None = None
    everything: bool = False

    def reason(self, entry: Entry, unused_days: float) -> str | None:
        """Why this plan goes, or None."""
        if self.everything:
            return "all plans"
        installed = dict(self.versions).get(entry.key.library)
        if installed is not None and installed != entry.key.library_version:
            return f"of {entry.key.library} {entry.key.library_version}, installed is {installed}"
        if self.keep_graphs is not None and entry.key.onnx not in self.keep_graphs:
            return "of another bundle"
        if self.older_than_days is not None and unused_days > self.older_than_days:
            return f"not used for {unused_days:.0f} days"
        return None


def prune(store: Store, rule: PruneRule, now_s: float | None = None) -> list[Removed]:
    """Remove leftovers and what the rule says. now_s: seconds since 1970, now unless given. A plan in use is kept."""
    now = time.time() if now_s is None else now_s
    done = []
    for file in store.leftovers():
        try:
            freed = store.remove_leftover(file)
        except PlanError as error:
            done.append(Removed(file.name, str(error), None))
        else:
            done.append(Removed(file.name, "being built" if freed is None else "left over", freed))
    for entry in store.entries():
        try:
            why = rule.reason(entry, (now - entry.sidecar.stat().st_mtime) / 86400)
            if why is not None:
                done.append(Removed(entry.path.stem, why, store.remove(entry)))
        except FileNotFoundError:
            continue  # another process was faster
        except PlanError as error:
            done.append(Removed(entry.path.stem, str(error), None))
    return done

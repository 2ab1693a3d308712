# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What may go from the cache, and what stays."""

from __future__ import annotations

import os
import time

import filelock
import pytest

from anacrusis.engine.plans.prune import PruneRule, Removed, prune
from anacrusis.engine.plans.store import LOCKS, Store

from .conftest import KEY, Maker, changed

NOW_S, DAY_S = time.time(), 86400.0
OLD = changed(library_version="1.6.0")
OTHER = changed(onnx="c" * 64)
KEYS = {"new": KEY, "of an old library": OLD, "of another graph": OTHER}


@pytest.fixture
def three(store: Store) -> Store:
    """A plan of each kind, last used one, two and three days ago."""
    for days, key in enumerate(KEYS.values(), 1):
        entry = store.obtain(key, "tiny", Maker()).entry
        os.utime(entry.sidecar, (NOW_S - days * DAY_S,) * 2)
    return store


@pytest.mark.parametrize(
    ("rule", "gone", "why"),
    [
        (PruneRule(), set(), ""),
        (PruneRule(versions=(("rtx", "1.7.1"),)), {"of an old library"}, "of rtx 1.6.0, installed is 1.7.1"),
        (PruneRule(versions=(("tensorrt", "11.0"),)), set(), ""),
        (PruneRule(older_than_days=2.5), {"of another graph"}, "not used for 3 days"),
        (PruneRule(older_than_days=0), set(KEYS), "not used for"),
        (PruneRule(keep_graphs=[KEY.onnx]), {"of another graph"}, "of another bundle"),
        (PruneRule(keep_graphs=[]), set(KEYS), "of another bundle"),
        (PruneRule(everything=True), set(KEYS), "all plans"),
    ],
    ids=["nothing asked", "older library", "another library", "days", "any age", "another bundle", "no bundle", "all"],
)
def test_what_a_rule_removes(three: Store, rule: PruneRule, gone: set[str], why: str) -> None:
    done = prune(three, rule, NOW_S)
    left = {entry.key for entry in three.entries()}
    assert {name for name, key in KEYS.items() if key not in left} == gone
    assert {one.name for one in done} == {KEYS[name].file_stem for name in gone}
    assert all(one.freed_bytes and one.freed_bytes > 204 and why in one.why for one in done)
    assert len([path for path in three.root.iterdir() if path.name != LOCKS]) == 3 * len(left)


def test_a_use_keeps_a_plan(three: Store) -> None:
    assert three.obtain(OTHER, "tiny", Maker()).hit
    prune(three, PruneRule(older_than_days=1.5), NOW_S)
    assert {entry.key for entry in three.entries()} == {KEY, OTHER}


def test_leftovers_go_but_not_of_a_plan_that_is_being_built(filled: Store) -> None:
    files = [filled.root / name for name in ("decode-1.x.tmp", "decode-2.plan", "encode-3.x.tmp", "encode-4.json")]
    for file in files:
        file.write_bytes(bytes(10))
    (filled.root / "notes.txt").write_text("not ours")
    with filelock.FileLock(filled.root / LOCKS / "encode-3.lock"):
        done = prune(filled, PruneRule())
    assert done == [
        Removed("decode-1.x.tmp", "left over", 10),
        Removed("decode-2.plan", "left over", 10),
        Removed("encode-3.x.tmp", "being built", None),
        Removed("encode-4.json", "left over", 10),
    ]
    assert [file.exists() for file in files] == [False, False, True, False]
    assert (filled.root / "notes.txt").exists()
    assert filled.find(KEY) is not None


def test_no_cache_is_an_empty_one(store: Store) -> None:
    assert (prune(store, PruneRule(everything=True)), store.entries(), store.leftovers()) == ([], [], [])
    assert not store.root.exists()

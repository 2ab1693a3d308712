# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The cache: every field of the key is a miss that is named, damage is one warning, nothing is left half-written."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from anacrusis.engine.errors import PlanError
from anacrusis.engine.plans.key import PlanKey
from anacrusis.engine.plans.progress import REFERENCE_S
from anacrusis.engine.plans.sidecar import Entry
from anacrusis.engine.plans.store import LOCKS, Store

from .conftest import KEY, Maker, changed, layer

Obtain = Callable[..., tuple[bool, int, str | None]]

MISSES = {
    "stage": (changed(stage="decode"), "no plan of decode yet"),
    "onnx": (changed(onnx="c" * 64), "onnx changed"),
    "weights": (changed(weights="c" * 64), "weights changed"),
    "library": (changed(library="tensorrt"), "library tensorrt, have rtx"),
    "library_version": (changed(library_version="1.7.2"), "library 1.7.1 -> 1.7.2"),
    "target": (changed(target="sm86"), "target sm86, have sm89"),
    "precision": (changed(precision="float32"), "precision float32, have float16"),
    "dims": (changed(dims=(("stems", 2),)), "stems 2, have 1"),
    "flags": (changed(flags=()), "flags none, have detailed"),
}


def names(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.iterdir() if path.name != LOCKS)


def assert_clean(store: Store, plans: int = 0) -> None:
    """So many plans, no other file, no lock held."""
    assert len(names(store)) == 3 * plans
    for lock in (store.root / LOCKS).iterdir():
        filelock.FileLock(lock).acquire(timeout=0)


def test_the_second_request_is_a_hit(filled: Store, obtain: Obtain) -> None:
    assert obtain(KEY) == (True, 0, None)
    assert_clean(filled, plans=1)


def test_every_field_of_the_key_has_its_row() -> None:
    assert set(MISSES) == {field.name for field in dataclasses.fields(PlanKey)}


@pytest.mark.parametrize("field", MISSES)
def test_a_changed_field_is_a_miss_that_names_it(filled: Store, obtain: Obtain, field: str) -> None:
    key, says = MISSES[field]
    assert obtain(key) == (False, 1, says)
    assert obtain(key) == obtain(KEY) == (True, 0, None)
    assert_clean(filled, plans=2)


def test_the_nearest_plan_is_the_one_compared_with(filled: Store, obtain: Obtain) -> None:
    assert obtain(changed(target="sm86", onnx="c" * 64))[2] == "onnx changed, target sm86, have sm89"
    assert obtain(changed(target="sm86"))[2] == "onnx changed"  # of two as near, the newest
    assert obtain(changed(target="sm86", dims=(("stems", 2),)))[2] == "stems 2, have 1"


def truncate(entry: Entry) -> None:
    os.truncate(entry.path, entry.size_bytes // 2)


def overwrite_the_header(entry: Entry) -> None:
    entry.path.write_bytes(bytes(entry.size_bytes))


DAMAGE = {
    "truncated": (truncate, "has 102 of 204 bytes"),
    "another header": (overwrite_the_header, "does not begin as it was written"),
    "gone": (lambda entry: entry.path.unlink(), "cannot be read (No such file or directory)"),
    "half a sidecar": (lambda entry: os.truncate(entry.sidecar, 99), "cannot be read (JSONDecodeError"),
    "another schema": (
        lambda entry: entry.sidecar.write_text('{"schema": 99}'),
        "not a plan's sidecar of this version",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_plan_is_one_warning_and_a_rebuild(
    filled: Store, obtain: Obtain, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    do, says = DAMAGE[damage]
    do(filled.entries()[0])
    assert filled.find(KEY) is None
    with caplog.at_level(logging.WARNING):
        assert obtain(KEY) == (False, 1, "damaged")
    (record,) = caplog.records
    assert says in record.getMessage()
    assert record.getMessage().endswith("; building it again")
    assert obtain(KEY) == (True, 0, None)
    assert_clean(filled, plans=1)


def test_a_hit_reads_the_first_bytes_and_verify_reads_all(filled: Store) -> None:
    (entry,) = filled.entries()
    data = bytearray(entry.path.read_bytes())
    data[-1] ^= 1
    entry.path.write_bytes(data)
    assert filled.find(KEY) == entry
    assert "SHA-256 differs" in (filled.verify(entry) or "")
    data[-1] ^= 1
    entry.path.write_bytes(data)
    assert filled.verify(entry) is None


@pytest.mark.parametrize("error", [PlanError("cannot build"), KeyboardInterrupt()], ids=["an error", "an interrupt"])
def test_a_build_that_ends_early_leaves_nothing(store: Store, error: BaseException) -> None:
    with pytest.raises(type(error)):
        store.obtain(KEY, "tiny", Maker(error=error))
    assert_clean(store)


def test_an_interrupt_while_writing_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(number: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.obtain(KEY, "tiny", Maker())
    assert_clean(store)


def test_a_full_disk_is_an_error_of_ours(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PlanError, match=r"No space left on device\); free space or set ANACRUSIS_CACHE"):
        store.obtain(KEY, "tiny", Maker())
    assert_clean(store)


def test_a_cache_that_is_a_file_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "plans").write_text("")
    with pytest.raises(PlanError, match=r"cannot make .*plans.*; set ANACRUSIS_CACHE"):
        Store(tmp_path / "plans").obtain(KEY, "tiny", Maker())


def test_a_dead_build_s_temporary_is_swept_by_the_next(store: Store, obtain: Obtain) -> None:
    store.root.mkdir()
    (store.root / f"{KEY.file_stem}.x7_.tmp").write_bytes(bytes(99))
    other = store.root / "decode-0.x7_.tmp"
    other.write_bytes(bytes(99))
    assert obtain(KEY)[0] is False
    assert store.leftovers() == [other]


def test_the_sidecar_says_what_was_written(filled: Store) -> None:
    (entry,) = filled.entries()
    assert Entry.read(entry.sidecar) == entry
    assert (entry.key, entry.bundle, entry.size_bytes, entry.build_s) == (KEY, "tiny", 204, 2.5)
    assert (entry.kernels, entry.kernel_types) == (2, {"correlation": 1, "kgen": 1})
    assert json.loads(entry.sidecar.read_text())["key"]["dims"] == {"stems": 1}
    assert filled.layers(entry) == (layer(), layer("add", "kgen"))


def test_a_lost_list_of_layers_is_an_error_of_ours(filled: Store) -> None:
    (entry,) = filled.entries()
    entry.layers.write_bytes(b"no gzip")
    with pytest.raises(PlanError, match=r"cannot be read; remove the plan and build it again"):
        filled.layers(entry)


def test_a_build_is_told_how_long_it_took_before(store: Store) -> None:
    first, second, third = Maker(), Maker(), Maker()
    store.obtain(KEY, "tiny", first)
    store.obtain(changed(target="sm86"), "tiny", second)
    store.obtain(changed(stage="decode"), "tiny", third)
    scale = 2.5 / REFERENCE_S["denoise"]
    assert (first.expected_s, second.expected_s) == (REFERENCE_S["denoise"], 2.5)
    assert third.expected_s == pytest.approx(REFERENCE_S["decode"] * scale)

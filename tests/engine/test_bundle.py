# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle is whole or refused in one line that says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anacrusis.engine.bundle import MANIFEST, Bundle, Manifest
from anacrusis.engine.errors import BundleError


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    out = tmp_path / "bundle"
    shutil.copytree(tiny, out)
    return out


def edit(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads((bundle / MANIFEST).read_text())
    change(raw)
    (bundle / MANIFEST).write_text(json.dumps(raw))


def test_the_shipped_bundle_is_whole_and_small(tiny: Path) -> None:
    bundle = Bundle.open(tiny)
    assert sum(file.stat().st_size for file in tiny.iterdir()) <= 8_000_000
    assert bundle.manifest.precision.weights == "float16"
    assert bundle.manifest.precision.compute == "float32"
    assert bundle.manifest.provenance["seeded"]["size"] == "tiny"
    assert "noise" in bundle.manifest.licence.notice


def test_manifest_survives_its_own_json(tiny: Path) -> None:
    manifest = Bundle.open(tiny, verify=False).manifest
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize("name", ["weights.safetensors", "encode.onnx", "embed.onnx", "denoise.onnx", "decode.onnx"])
def test_a_changed_byte_is_named(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} was changed or damaged"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(schema=2), "schema is 2, this version reads 1; upgrade"),
        (lambda m: m.pop("schema"), "schema is None"),
        (lambda m: m.update(colour="blue"), "unknown key 'colour'"),
        (lambda m: m["sampler"].update(colour="blue"), "sampler has unknown key 'colour'"),
        (lambda m: m["sampler"].update(name="euler"), "unknown sampler"),
        (lambda m: m["sampler"].update(steps="two"), "not valid|cannot run"),
        (lambda m: m.pop("geometry"), "geometry is missing"),
        (lambda m: m["geometry"].update(frame_samples=0), "not valid"),
        (lambda m: m["geometry"].pop("window_frames"), "geometry lacks one of"),
        (lambda m: m.update(stems=[]), "distinct stems"),
        (lambda m: m.update(stems=["a", "a"]), "distinct stems"),
        (lambda m: m["parametrisation"].update(name="v"), "unknown parametrisation"),
        (lambda m: m.update(sample_rate_hz=0), "must be positive"),
        (lambda m: m.update(context_channels=0), "context channels must be positive"),
        (lambda m: m.update(context_channels="many"), "not valid"),
        (lambda m: m["files"].pop("decode.onnx"), "does not list decode.onnx"),
        (lambda m: m["files"].update({"../../etc/passwd": "0"}), "lacks ../../etc/passwd"),
        (lambda m: m["files"].update({"absent.onnx": "0"}), "lacks absent.onnx"),
    ],
)
def test_a_manifest_that_cannot_be(copy: Path, change: Callable[[dict[str, Any]], object], says: str) -> None:
    edit(copy, change)
    with pytest.raises(BundleError, match=says) as caught:
        Bundle.open(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00\xff", '{"schema": 1}'])
def test_a_manifest_that_is_none(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError):
        Bundle.open(copy)


def test_a_directory_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is not a bundle: it has no manifest\.json; make one"):
        Bundle.open(tmp_path)

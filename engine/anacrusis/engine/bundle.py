# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The bundle: a directory, the only thing that passes from export to engine.

    manifest.json        what the model is (this module's dataclasses), SHA-256 of every other file
    weights.safetensors  every tensor, once
    encode.onnx embed.onnx denoise.onnx decode.onnx   graphs whose external data points into it

Any networks that keep the graph contract of `engine/README.md` run; nothing in a bundle is ever unpickled.
Unknown manifest keys are an error: a newer schema says so by its number, and guessing is worse than refusing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from anacrusis.engine.errors import AnacrusisError, BundleError, StemError
from anacrusis.engine.sampler import Parametrisation, SamplerConfig
from anacrusis.engine.window import Geometry

SCHEMA = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
STAGES = ("encode", "embed", "denoise", "decode")


@dataclass(frozen=True, slots=True)
class Precision:
    """How weights are stored, and what type the networks compute in ("float32" or "float16")."""

    weights: str
    compute: str


@dataclass(frozen=True, slots=True)
class Licence:
    """spdx: identifier of the weights' licence. notice: one line, printed wherever the bundle is opened."""

    spdx: str
    notice: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that the engine knows of a model.

    decoder_noise_shape: standard normals the decoder takes per frame, () if none.
    context_channels: channels of the encoded context where it is not in the latents that are written; the latent of
    silence is then zeros. None: one codec does both, and the latent of silence is what it makes of zeros.
    trained_masked_frames: context masks the model saw in training, in frames at the window's right.
    """

    name: str
    kind: str
    parametrisation: Parametrisation
    sampler: SamplerConfig
    stems: tuple[str, ...]
    sample_rate_hz: int
    geometry: Geometry
    latent_channels: int
    decoder_noise_shape: tuple[int, ...]
    trained_masked_frames: tuple[int, ...]
    precision: Precision
    licence: Licence
    files: Mapping[str, str]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    verification: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
    context_channels: int | None = None

    def validate(self) -> None:
        """Raise BundleError or GeometryError where a value cannot be."""
        self.geometry.validate()
        self.sampler.validate()
        if self.parametrisation.name not in ("consistency", "edm"):
            raise BundleError(f"unknown parametrisation {self.parametrisation.name!r}")
        if not self.stems or len(set(self.stems)) != len(self.stems):
            raise BundleError(f"a bundle needs distinct stems, not {list(self.stems)}")
        if self.sample_rate_hz < 1 or self.latent_channels < 1:
            raise BundleError("sample rate and latent channels must be positive")
        if self.context_channels is not None and self.context_channels < 1:
            raise BundleError(f"context channels must be positive, not {self.context_channels}")

    @property
    def encoded_channels(self) -> int:
        """Channels that `encode` gives and `denoise` takes as its context."""
        return self.latent_channels if self.context_channels is None else self.context_channels

    def stem_index(self, stem: str) -> int:
        """Raises StemError for a stem this model does not know."""
        if stem not in self.stems:
            raise StemError(f"unknown stem {stem!r}; this model writes {', '.join(self.stems)}")
        return self.stems.index(stem)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Raises BundleError for anything but a manifest of this schema."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise BundleError(f"{MANIFEST} is not JSON ({error})") from None
        if not isinstance(raw, dict):
            raise BundleError(f"{MANIFEST} must hold an object")
        if raw.get("schema") != SCHEMA:
            raise BundleError(
                f"bundle schema is {raw.get('schema')!r}, this version reads {SCHEMA}; "
                "upgrade anacrusis or export the bundle again"
            )
        nested = {
            "parametrisation": Parametrisation,
            "sampler": SamplerConfig,
            "geometry": Geometry,
            "precision": Precision,
            "licence": Licence,
        }
        values = dict(raw)
        try:
            for name, kind in nested.items():
                values[name] = _build(kind, values.get(name), name)
            for name in ("stems", "decoder_noise_shape", "trained_masked_frames"):
                values[name] = tuple(values.get(name, ()))
            manifest: Manifest = _build(cls, values, "manifest")
            manifest.validate()
        except BundleError:
            raise
        except (AnacrusisError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(f"{MANIFEST} is not valid: {error}") from None
        return manifest


def _build(kind: type[Any], values: object, where: str) -> Any:
    if not isinstance(values, dict):
        raise BundleError(f"{MANIFEST}: {where} is missing or not an object")
    unknown = set(values) - {f.name for f in fields(kind)}
    if unknown:
        raise BundleError(f"{MANIFEST}: {where} has unknown key {sorted(unknown)[0]!r}")
    try:
        return kind(**values)
    except TypeError:
        missing = {f.name for f in fields(kind)} - set(values)
        raise BundleError(f"{MANIFEST}: {where} lacks one of {sorted(missing)}") from None


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle: its directory, its manifest, and the manifest's own hash (what names it on the wire)."""

    path: Path
    manifest: Manifest
    hash: str

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> Bundle:
        """Read and check a bundle. Any thread; reads every file once when `verify`.

        Raises BundleError for a missing file, a changed byte, or a manifest this version does not read.
        """
        path = Path(path)
        manifest_path = path / MANIFEST
        if not manifest_path.is_file():
            raise BundleError(f"{path} is not a bundle: it has no {MANIFEST}; make one with `anacrusis export`")
        data = manifest_path.read_bytes()
        try:
            manifest = Manifest.from_json(data.decode("utf-8"))
        except UnicodeDecodeError:
            raise BundleError(f"{manifest_path} is not UTF-8 text; export the bundle again") from None
        required = {WEIGHTS, *(f"{stage}.onnx" for stage in STAGES)}
        lacking = required - set(manifest.files)
        if lacking:
            raise BundleError(f"{manifest_path} does not list {sorted(lacking)[0]}; export the bundle again")
        for name, digest in manifest.files.items():
            file = path / name
            if Path(name).name != name or not file.is_file():
                raise BundleError(f"{path} lacks {name}; copy or export the bundle again")
            if verify and sha256(file) != digest:
                raise BundleError(f"{file} was changed or damaged (SHA-256 differs); copy or export it again")
        return cls(path, manifest, hashlib.sha256(data).hexdigest())

    def stage(self, name: str) -> Path:
        """Path of one stage's graph."""
        return self.path / f"{name}.onnx"

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What names a plan: everything that, changed, makes another plan.

A plan's file is named by the digest of its key, so a changed field is a file that is not there: a miss. What it
differed in is said by comparing with the plans that are there (`PlanKey.difference`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from anacrusis.engine.bundle import WEIGHTS, Bundle, sha256
from anacrusis.engine.errors import BundleError, PlanError
from anacrusis.engine.plans.library import Library
from anacrusis.engine.plans.targets import Target


@dataclass(frozen=True, slots=True)
class PlanKey:
    """onnx, weights: SHA-256 in hex. precision: the type the networks compute in. dims: name and number, sorted.

    library_version: all its numbers. flags: builder settings, see `Library.flags`. target: see `Target.name`; with
    full TensorRT the card's name.
    """

    stage: str
    onnx: str
    weights: str
    library: str
    library_version: str
    target: str
    precision: str
    dims: tuple[tuple[str, int], ...]
    flags: tuple[str, ...]

    @property
    def file_stem(self) -> str:
        """Name of the plan's files without their endings: the stage and 80 bits of the key's digest."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return f"{self.stage}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"

    @property
    def dims_text(self) -> str:
        return " ".join(f"{name}={size}" for name, size in self.dims)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "dims": dict(self.dims), "flags": list(self.flags)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> PlanKey:
        """Raises PlanError for anything that `to_dict` does not write."""
        try:
            texts = {f.name: raw[f.name] for f in fields(cls) if f.name not in ("dims", "flags")}
            dims = tuple(sorted((str(name), int(size)) for name, size in raw["dims"].items()))
            key = cls(**texts, dims=dims, flags=tuple(str(flag) for flag in raw["flags"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise PlanError("a plan's sidecar lacks its key; run `anacrusis plans prune`") from None
        if not all(isinstance(value, str) for value in texts.values()):
            raise PlanError("a plan's sidecar has a key that is not text; run `anacrusis plans prune`")
        return key

    def differs(self, other: PlanKey) -> tuple[str, ...]:
        """Names of the fields that differ."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name))

    def difference(self, have: Iterable[PlanKey]) -> str:
        """Why none of `have` will do: the fields in which the nearest of the same stage differs, of equals the last."""
        same = [other for other in have if other.stage == self.stage and other != self]
        if not same:
            return f"no plan of {self.stage} yet"
        # On reversed(): min keeps the first of equals, and `have` is oldest first.
        nearest = min(reversed(same), key=lambda other: len(self.differs(other)))
        return ", ".join(self._say(name, nearest) for name in self.differs(nearest))

    def _say(self, field: str, other: PlanKey) -> str:
        if field in ("onnx", "weights"):
            return f"{field} changed"
        if field == "library_version":
            return f"library {other.library_version} -> {self.library_version}"
        if field == "dims":
            here, there = dict(self.dims), dict(other.dims)
            names = [name for name in here if here[name] != there.get(name)]
            return ", ".join(f"{name} {here[name]}, have {there.get(name, 'none')}" for name in names) or "other dims"
        wanted, have = getattr(self, field), getattr(other, field)
        if field == "flags":
            wanted, have = "+".join(wanted) or "none", "+".join(have) or "none"
        return f"{field} {wanted}, have {have}"


def plan_key(bundle: Bundle, stage: str, dims: Mapping[str, int], library: Library, target: Target | str) -> PlanKey:
    """The key of a bundle's stage.

    The graph (some 300 kB) is hashed as it lies there, so a changed byte is another key. The weights (1.3 GB at full
    size) are taken from the manifest; `check_files` reads them before a build. Raises BundleError if unreadable.
    """
    try:
        onnx = sha256(bundle.stage(stage))
    except OSError as error:
        raise BundleError(f"{bundle.stage(stage)} cannot be read ({error.strerror}); export the bundle again") from None
    return PlanKey(
        stage=stage,
        onnx=onnx,
        weights=bundle.manifest.files[WEIGHTS],
        library=library.name,
        library_version=library.version,
        target=target if isinstance(target, str) else target.name,
        precision=bundle.manifest.precision.compute,
        dims=tuple(sorted(dims.items())),
        flags=library.flags(),
    )


def check_files(bundle: Bundle, names: Iterable[str]) -> None:
    """Raise BundleError unless these files are as the manifest says; reads them whole."""
    for name in names:
        if sha256(bundle.path / name) != bundle.manifest.files[name]:
            raise BundleError(f"{bundle.path / name} was changed or damaged (SHA-256 differs); copy or export it again")

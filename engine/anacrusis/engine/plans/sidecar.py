# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What is written beside a plan: the key it was built for, and what is needed to trust and describe it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anacrusis.engine.errors import PlanError
from anacrusis.engine.plans.key import PlanKey

SCHEMA = 1
PLAN_SUFFIX, SIDECAR_SUFFIX, LAYERS_SUFFIX = ".plan", ".json", ".layers.json.gz"


@dataclass(frozen=True, slots=True)
class Entry:
    """A plan in the cache.

    path: of the plan. bundle: the model's name, for people. header: the plan's first bytes in hex. sha256: of the whole
    plan. build_s: parsing and building. peak_memory_bytes: of the process that built it. built_at: UTC, ISO 8601.
    """

    path: Path
    key: PlanKey
    bundle: str
    size_bytes: int
    sha256: str
    header: str
    build_s: float
    peak_memory_bytes: int | None
    kernels: int
    built_at: str
    kernel_types: Mapping[str, int] = field(default_factory=dict)

    @property
    def sidecar(self) -> Path:
        return self.path.with_suffix(SIDECAR_SUFFIX)

    @property
    def layers(self) -> Path:
        return self.path.with_suffix(LAYERS_SUFFIX)

    @property
    def files(self) -> tuple[Path, ...]:
        """In the order of removal: without its sidecar a plan is no entry."""
        return (self.sidecar, self.layers, self.path)

    def to_dict(self) -> dict[str, Any]:
        """What the sidecar holds."""
        return {
            "schema": SCHEMA,
            "key": self.key.to_dict(),
            **{name: getattr(self, name) for name in _TEXTS + _NUMBERS},
            "peak_memory_bytes": self.peak_memory_bytes,
            "kernel_types": dict(self.kernel_types),
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1) + "\n"

    @classmethod
    def read(cls, sidecar: Path) -> Entry:
        """Raises PlanError for a file that is not a sidecar of this version."""
        try:
            raw = json.loads(sidecar.read_text("utf-8"))
            if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
                raise PlanError(f"{sidecar} is not a plan's sidecar of this version; run `anacrusis plans prune`")
            peak = raw["peak_memory_bytes"]
            return cls(
                path=sidecar.with_suffix(PLAN_SUFFIX),
                key=PlanKey.from_dict(raw["key"]),
                bundle=str(raw["bundle"]),
                size_bytes=int(raw["size_bytes"]),
                sha256=str(raw["sha256"]),
                header=str(raw["header"]),
                build_s=float(raw["build_s"]),
                peak_memory_bytes=None if peak is None else int(peak),
                kernels=int(raw["kernels"]),
                built_at=str(raw["built_at"]),
                kernel_types={str(name): int(count) for name, count in raw["kernel_types"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlanError(f"{sidecar} cannot be read ({error!r}); run `anacrusis plans prune`") from None


_TEXTS = ("bundle", "sha256", "header", "built_at")
_NUMBERS = ("size_bytes", "build_s", "kernels")

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The library that builds and runs plans: TensorRT-RTX ("rtx") or full TensorRT ("tensorrt").

TensorRT-RTX builds without a card. Full TensorRT times kernels on the card in this machine and ends the process where
there is no driver, so it is not touched before `device.find_cards` has named a card. Their calls have the same names;
what differs is in this file and in `build.py`.

Not covered: full TensorRT was never opened by this project's tests, whose machines have no card.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from anacrusis.engine.errors import BackendError, MissingExtraError, PlanError
from anacrusis.engine.plans.device import Cards

LIBRARIES = ("rtx", "tensorrt")
# The first name exists with the metapackage only, which is an sdist that asks another index: we depend on the second.
_MODULES = {"rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"), "tensorrt": ("tensorrt", "tensorrt_bindings")}
_PACKAGES = {"rtx": ("tensorrt-rtx-cu13-bindings",), "tensorrt": ("tensorrt-cu13-bindings", "tensorrt")}
_FLAGS = ("detailed", "no_tf32", "one_stream", "require_user_allocation")
_SAYS = {"rtx": "TensorRT-RTX", "tensorrt": "TensorRT"}


@dataclass(frozen=True, slots=True)
class Library:
    """An imported library. name: "rtx" or "tensorrt"; version: all its numbers ("1.7.1.116"); module: its bindings."""

    name: str
    version: str
    module: Any

    @property
    def title(self) -> str:
        return _SAYS[self.name]

    def flags(self) -> tuple[str, ...]:
        """Builder settings that change a plan, in the order a key holds them. See `build.configure`."""
        return _FLAGS if self.name == "rtx" else _FLAGS[:-1]

    def header_refusals(self, header: bytes) -> tuple[str, ...]:
        """Why the card in this machine cannot run a plan, from its first bytes (`Entry.header`): "unsupported_cc" ...

        () where it can, and for full TensorRT, which has no such check. Without a driver the answer means nothing
        but "malformed_engine" (tried with 1.7.1: versions and targets are not looked at), so ask `find_cards` first.
        """
        if self.name != "rtx":
            return ()
        trt = self.module
        validity, diagnostics = trt.Runtime(trt.Logger(trt.Logger.INTERNAL_ERROR)).get_engine_validity(header)
        if validity != trt.EngineValidity.INVALID:
            return ()
        members = trt.EngineInvalidityDiagnostics.__members__.items()
        return tuple(name.lower() for name, bit in members if int(bit) & int(diagnostics)) or ("invalid",)


def open_library(name: str, cards: Cards) -> Library:
    """Import a library. cards: what this machine has, for full TensorRT.

    Raises MissingExtraError where it is not installed, BackendError where it cannot build here, PlanError for an
    unknown name. Any thread; about 0.1 s.
    """
    if name not in LIBRARIES:
        raise PlanError(f"unknown library {name!r}; choose {' or '.join(LIBRARIES)}")
    if name == "tensorrt" and cards.first is None:
        raise BackendError(
            f"full TensorRT builds only for a card in this machine, and {cards.reason}; use --library rtx"
        )
    for module in _MODULES[name]:
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        except (ImportError, OSError) as error:
            raise BackendError(f"{_SAYS[name]} does not load ({_first_line(error)}); install it again") from None
        if hasattr(found, "Builder"):
            return Library(name, str(found.__version__), found)
    how = "'anacrusis[tensorrt]'; there is none for macOS" if name == "rtx" else "tensorrt-cu13, from NVIDIA's index"
    raise MissingExtraError(f"{_SAYS[name]} is not installed (pip install {how})")


def installed_versions() -> tuple[tuple[str, str], ...]:
    """(library, version) of those installed, from the packages' metadata: imports nothing."""
    found = []
    for name, packages in _PACKAGES.items():
        for package in packages:
            try:
                found.append((name, version(package)))
                break
            except PackageNotFoundError:
                continue
    return tuple(found)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [repr(error)])[0]

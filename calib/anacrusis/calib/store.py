# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""calibration.json: every calibration of this user, one entry a key; the newest of a key stays.

Written beside and renamed, so that a reader never finds half a file. Two writers at once: the last one's entry stays.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from anacrusis.calib.calibration import Calibration
from anacrusis.calib.errors import CalibrationError
from anacrusis.calib.machine import Machine

SCHEMA: Final = 1


class Store:
    """The file at `path`, which need not be there. Any thread; reads the file anew each time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[Calibration]:
        """Oldest first; [] where there is no file. Raises CalibrationError for a damaged one or another version's."""
        again = f"remove {self.path} and run `anacrusis calibrate BUNDLE` again"
        try:
            raw = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CalibrationError(
                f"{self.path} cannot be read ({error.strerror}); give --out or set ANACRUSIS_CACHE"
            ) from None
        except ValueError:
            raise CalibrationError(f"{self.path} is damaged (it is not JSON); {again}") from None
        if not isinstance(raw, dict) or not isinstance(raw.get("calibrations"), list):
            raise CalibrationError(f"{self.path} is damaged (it holds no calibrations); {again}")
        if raw.get("schema") != SCHEMA:
            said = repr(raw.get("schema"))[:20]
            raise CalibrationError(f"{self.path} was written by another version (schema {said}); {again}")
        try:
            found = [Calibration.from_dict(one) for one in raw["calibrations"]]
        except CalibrationError as error:
            raise CalibrationError(f"{self.path} is damaged ({error}); {again}") from None
        return sorted(found, key=lambda one: one.measured_at)

    def check(self) -> None:
        """Raise CalibrationError where `put` could not work: better before minutes of measuring than after."""
        self.entries()
        self._make_directory()
        if not os.access(self.path.parent, os.W_OK):
            raise CalibrationError(f"{self.path.parent} cannot be written; give --out or set ANACRUSIS_CACHE")

    def put(self, measured: Sequence[Calibration]) -> None:
        """Add these; each replaces the entry of its key. Raises CalibrationError where the file cannot be written."""
        new = {one.key for one in measured}
        kept = [one for one in self.entries() if one.key not in new]
        text = json.dumps({"schema": SCHEMA, "calibrations": [one.to_dict() for one in (*kept, *measured)]}, indent=1)
        self._make_directory()
        temporary: Path | None = None
        try:
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self.path.parent, prefix=self.path.name, suffix=".tmp", delete=False
            ) as file:
                temporary = Path(file.name)
                file.write(text + "\n")
            os.replace(temporary, self.path)
        except OSError as error:
            raise CalibrationError(f"cannot write {self.path} ({error.strerror}); give --out") from None
        finally:
            if temporary is not None:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)

    def find(
        self,
        machine: Machine,
        bundle_sha256: str,
        stems: int,
        *,
        bundle: str = "",
        rung: str | None = None,
        threads: int | None = None,
        nfe: int | None = None,
        client: str | None = None,
    ) -> Calibration:
        """The newest of these; what is None may be any, but the NFE is then the bundle's own.

        bundle: its name, for the message only. Raises CalibrationError, saying what there is instead.
        """
        entries = self.entries()
        do = f"run `anacrusis calibrate {bundle or 'BUNDLE'}`"
        if not entries:
            raise CalibrationError(f"nothing was calibrated yet; {do}")
        here = [one for one in entries if one.machine == machine]
        if not here:
            raise CalibrationError(f"only other machines were calibrated ({entries[-1].machine}); {do} on this one")
        of_bundle = [one for one in here if one.bundle_sha256 == bundle_sha256]
        if not of_bundle:
            older = any(bundle and one.bundle == bundle for one in here)
            what = "this bundle has changed since it was calibrated" if older else "this bundle was not calibrated here"
            raise CalibrationError(f"{what}; {do}")
        wanted = {"rung": rung, "threads": threads, "stems": stems, "nfe": nfe, "client": client}
        found = of_bundle
        for name, value in wanted.items():
            if value is None:
                continue
            left = [one for one in found if getattr(one, name) == value]
            if not left:
                had = ", ".join(dict.fromkeys(str(getattr(one, name)) for one in found))
                raise CalibrationError(f"calibrated for {name} {had}, not {value}; {do} for that")
            found = left
        own = [one for one in found if one.nfe == one.bundle_nfe] if nfe is None else found
        return (own or found)[-1]

    def _make_directory(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CalibrationError(f"cannot make {self.path.parent} ({error.strerror}); give --out") from None

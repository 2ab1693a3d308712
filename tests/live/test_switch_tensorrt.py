# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The TensorRT backend over a double of driver and library: built in a child, prepared, and taken mid-song over UDP.

What a card does is not shown here; who waits for whom, and that no sample is lost, is.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anacrusis.benchmarks.device_double import DeviceDouble
from anacrusis.engine.backends.cuda_device import CudaDevice
from anacrusis.engine.backends.tensorrt import TensorRtBackend
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import PlanMissingError
from anacrusis.engine.ladder import Rung
from anacrusis.engine.standby import Wanted
from anacrusis.performer.events import FromServer
from anacrusis.server.rungs import Upgrade
from anacrusis.server.wire.extension import Dropped, RungState

from .harness import WAIT_S, Duo

S = 8 * 4096  # a step, and the copying networks' period
SOUND = np.random.default_rng(6).uniform(0.1, 0.9, S).astype(np.float32)
BUILD = """
import json, pathlib, sys
for i, stage in enumerate(("encode", "denoise", "decode"), 1):
    print(json.dumps({"event": "progress", "plan": i, "plans": 3, "stage": stage, "fraction": .5}), flush=True)
pathlib.Path(sys.argv[1]).touch()
"""


class Card:
    """One machine: its plans are what a build left in a folder, a file for a count of stems."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.double, self.built = folder, DeviceDouble(), list[int]()

    def open(self, bundle: Bundle, threads: int) -> Any:
        make = self.double.plans(bundle)

        def plans(stage: str, dims: Mapping[str, int]) -> bytes:
            if not (self.folder / str(dims.get("stems", 1))).exists():
                raise PlanMissingError(f"no plan for {stage} {dict(dims)}")
            return make(stage, dims)

        device = CudaDevice(self.double.driver)
        return TensorRtBackend(bundle, device=device, library=self.double.library, plans=plans, name="tensorrt-rtx")

    def build(self, rung: str, wanted: Wanted) -> list[str]:
        self.built.append(len(wanted.stems))
        return [sys.executable, "-c", BUILD, str(self.folder / str(len(wanted.stems)))]


def said(duo: Duo, kind: type[Any]) -> list[Any]:
    messages = [event.message for event in duo.events if isinstance(event, FromServer)]
    return [message for message in messages if isinstance(message, kind)]


def playing(duo: Duo) -> list[tuple[str, int]]:
    return [(one.rung, one.batch) for one in said(duo, RungState) if one.state == "playing"]


def test_built_prepared_taken_left_for_other_stems_and_taken_again(copying: Path, tmp_path: Path, silent: Any) -> None:
    card, steps = Card(tmp_path), 20
    rung = Rung("tensorrt-rtx", "a double", lambda: None, card.open)
    upgrade = Upgrade(lambda playing: [rung], after_s=1e-6, trial_steps=2, build=card.build)
    with Duo(copying, (steps + 2) * S, noise=silent, upgrade=upgrade) as duo:
        duo.buffer[:, 3] = np.tile(SOUND, steps + 2)
        duo.load(r=0.125, lead=S)
        for k in range(1, steps + 1):
            if k in (6, 14):  # whenever it is ready
                duo.until(lambda count=k // 6: [name for name, _ in playing(duo)].count("tensorrt-rtx") == count)
            if k == 10:
                duo.external.set_predict_instruments([1, 0, 1, 0])
            duo.step(k * S)
        assert duo.server.worker.settle(WAIT_S)
        counters = duo.server.counters
        assert (counters.dropped, counters.failed, counters.concealed_replies, counters.answered) == (0, 0, 0, steps)
        assert said(duo, Dropped) == []
        names = [name for name, _ in playing(duo)]
        assert names == ["tensorrt-rtx", "onnxruntime", "tensorrt-rtx"]
        (_, first), (_, left), (_, again) = playing(duo)
        assert (first in range(6), left, again in range(9, 14)) == (True, 9, True)
        assert card.built == [1, 2]
        texts = [one.text for one in said(duo, RungState) if one.state == "preparing"]
        assert any(text.startswith("building: encode, plan 1 of 3, 50 %") for text in texts)
        played, expected = (duo.buffer[4 * S : (steps + 2) * S, channel] for channel in (0, 3))
        np.testing.assert_allclose(played, expected, rtol=0, atol=2e-7)  # the client's crossfade rounds

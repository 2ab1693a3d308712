# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A judge whose package is missing says so in one line; importing the judges imports none of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from anacrusis.benchmarks.judges.packages import JudgeError, folder_of, need
from anacrusis.engine.errors import AnacrusisError

HEAVY = ("torch", "madmom", "librosa", "mir_eval", "scipy", "numba", "BeatNet", "musicnn", "matplotlib", "tensorflow")
JUDGES = ("packages", "onsets", "harmony", "rhythm", "beats", "musicnn", "fad", "tensor_bundle")


def test_importing_every_judge_imports_no_judge_package() -> None:
    code = f"import sys; {'; '.join(f'import anacrusis.benchmarks.judges.{name}' for name in JUDGES)}; "
    code += f"print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("ask", [need, folder_of])
def test_a_missing_package_is_one_line_that_says_what_to_install(ask: object) -> None:
    with pytest.raises(JudgeError, match=r"needs no_such_judge.*pip install -e '.\[judge\]'") as missing:
        ask("no_such_judge")  # type: ignore[operator]
    assert isinstance(missing.value, AnacrusisError)
    assert "\n" not in str(missing.value)


@pytest.mark.parametrize("judge", ["harmony.listen", "beats.beats", "musicnn.embed", "rhythm.beat_f1"])
def test_every_judge_without_its_package_is_one_line(judge: str) -> None:
    module, function = judge.split(".")
    hidden = ("madmom", "BeatNet", "musicnn", "mir_eval", "librosa", "torch")
    given = "np.arange(3.0), np.arange(3.0)" if function == "beat_f1" else "np.zeros(44100, np.float32)"
    code = f"""
import sys, numpy as np
sys.modules.update(dict.fromkeys({hidden}))
from anacrusis.benchmarks.judges import {module}
from anacrusis.benchmarks.judges.packages import JudgeError
try:
    {module}.{function}({given})
except JudgeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "this judge needs" in done.stdout
    assert done.stdout.count("\n") == 1

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis build` and `anacrusis plans`, with a library that builds at once (a real one: tests/engine/plans)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anacrusis.engine.bundle import sha256
from anacrusis.engine.plans import device, library, planner
from anacrusis.engine.plans.build import Built
from anacrusis.engine.plans.device import Card, Cards
from anacrusis.engine.plans.layers import Layer, Tensor
from anacrusis.engine.plans.library import Library
from anacrusis.engine.plans.progress import BuildWatch
from anacrusis.engine.plans.wanted import Wanted

from .conftest import Capture, refused, run

NO_CARD = Cards((), reason="no driver")
PORTABLE = "sm80+sm86+sm89+sm120"
LAYERS = tuple(
    Layer(name, type_, (Tensor("x", (1, 2), "Half"),), (), (Tensor("y", (3,), "Float"),), "", 0, ())
    for name, type_ in (("conv_1", "correlation"), ("add_2", "kgen"), ("add_3", "kgen"))
)


class Machine:
    """What the command finds, and what was built."""

    def __init__(self) -> None:
        self.cards = NO_CARD
        self.version = "1.7.1"
        self.built: list[str] = []
        self.error: BaseException | None = None

    def build(self, library: Library, manifest: Any, onnx: Path, plan: Wanted, target: Any, watch: BuildWatch) -> Built:
        if self.error is not None:
            raise self.error
        self.built.append(str(plan))
        return Built(f"vtrt {plan} {target}".encode() * 99, LAYERS, 1.5)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    machine = Machine()
    monkeypatch.setenv("ANACRUSIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(device, "find_cards", lambda: machine.cards)
    monkeypatch.setattr(library, "open_library", lambda name, cards: Library(name, machine.version, None))
    monkeypatch.setattr(library, "installed_versions", lambda: (("rtx", machine.version),))
    monkeypatch.setattr(planner, "build_plan", machine.build)
    return machine


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny, bundle)
    return bundle


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(capsys: Capture) -> Ask:
    """The JSON that a command ends with; "said" is its stderr."""

    def run_json(*arguments: object, code: int = 0) -> dict[str, Any]:
        assert run(*arguments, "--json") == code
        out, err = capsys.readouterr()
        return {**json.loads(out.splitlines()[-1]), "said": err, "lines": out.splitlines()[:-1]}

    return run_json


def plans_of(answer: dict[str, Any]) -> list[tuple[str, dict[str, int], str, bool]]:
    return [(plan["stage"], plan["dims"], plan["target"], plan["hit"]) for plan in answer["plans"]]


def test_one_stem_and_the_count_asked_for_then_a_hit(machine: Machine, tiny: Path, ask: Ask) -> None:
    first = ask("build", tiny, "--stems", 2)
    expected = [
        ("encode", {"frames": 64}),
        ("denoise", {"stems": 1}),
        ("denoise", {"stems": 2}),
        *(("decode", {"frames": frames, "stems": stems}) for stems in (1, 2) for frames in (17, 18)),
    ]
    assert plans_of(first) == [(stage, dims, PORTABLE, False) for stage, dims in expected]
    assert (first["built"], first["hits"], machine.built[0]) == (7, 0, "encode frames=64")
    assert "encode frames=64 sm80+sm86+sm89+sm120: building (no plan of encode yet)" in first["said"]
    assert first["lines"][0].startswith(f"encode frames=64 {PORTABLE}: built in ")
    assert first["lines"][0].endswith(", 3 kernels")
    assert first["peak_memory_bytes"] is None or first["peak_memory_bytes"] > 10**7
    second = ask("build", tiny, "--stems", 2)
    assert (second["built"], second["hits"], len(machine.built)) == (0, 7, 7)
    assert second["said"] == ""


@pytest.mark.parametrize(
    ("options", "cards", "targets"),
    [
        ([], NO_CARD, [PORTABLE]),
        ([], Cards((Card("RTX 4090", 89),)), ["sm89"]),
        (["--target", "all"], Cards((Card("RTX 4090", 89),)), [PORTABLE, "sm75"]),
        (["--target", "sm120"], NO_CARD, ["sm120"]),
        (["--library", "tensorrt"], Cards((Card("H100", 90),)), ["sm90 H100"]),
    ],
    ids=["no card", "a card", "all", "one", "full TensorRT"],
)
def test_which_targets_are_built(
    machine: Machine, tiny: Path, ask: Ask, options: list[str], cards: Cards, targets: list[str]
) -> None:
    machine.cards = cards
    answer = ask("build", tiny, "--stage", "denoise", *options)
    assert [plan["target"] for plan in answer["plans"]] == targets


def test_a_step_decides_the_decode(machine: Machine, tiny: Path, ask: Ask) -> None:
    def frames(*pace: object) -> tuple[int, list[int]]:
        answer = ask("build", tiny, "--stage", "decode", *pace)
        return answer["hits"], [plan["dims"]["frames"] for plan in answer["plans"]]

    assert frames("--step-frames", 1) == (0, [2, 3])
    assert frames("--step-frames", 8) == (0, [9, 10])
    assert frames("--step-frames", 16) == (0, [17, 18])
    assert frames("--step-samples", 16 * 4096) == (2, [17, 18])
    assert frames("--r", 0.25, "--window-samples", 264600) == (1, [18])


def test_a_changed_byte_is_a_miss_that_names_the_graph_and_is_refused(
    machine: Machine, copy: Path, ask: Ask, capsys: Capture
) -> None:
    ask("build", copy, "--stage", "encode")
    data = bytearray((copy / "encode.onnx").read_bytes())
    data[data.index(b"anacrusis")] ^= 1  # in the producer's name: still a graph
    (copy / "encode.onnx").write_bytes(data)
    assert run("build", copy, "--stage", "encode") == 2
    miss, refusal = [text for text in capsys.readouterr().err.splitlines() if text.startswith(("encode", "anacrusis"))]
    assert miss.endswith("building (onnx changed)")
    assert refusal.endswith("encode.onnx was changed or damaged (SHA-256 differs); copy or export it again")
    # As an export would leave it: manifest and graph agree, so it is another model and is built.
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["encode.onnx"] = sha256(copy / "encode.onnx")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    answer = ask("build", copy, "--stage", "encode")
    assert (answer["built"], "building (onnx changed)" in answer["said"]) == (1, True)


def test_damaged_weights_are_not_built_from(machine: Machine, copy: Path, capsys: Capture) -> None:
    data = bytearray((copy / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(data)
    assert run("build", copy) == 2
    assert "weights.safetensors was changed or damaged" in capsys.readouterr().err
    assert machine.built == []


@pytest.mark.parametrize(
    ("options", "version", "says"),
    [
        (["--target", "sm86"], "1.7.1", f"(target sm86, have {PORTABLE})"),
        ([], "1.7.2", "(library 1.7.1 -> 1.7.2)"),
        (["--stems", "2"], "1.7.1", "(stems 2, have 1)"),
    ],
    ids=["target", "version", "stems"],
)
def test_a_miss_names_what_differs(
    machine: Machine, tiny: Path, ask: Ask, options: list[str], version: str, says: str
) -> None:
    ask("build", tiny, "--stage", "denoise")
    machine.version = version
    answer = ask("build", tiny, "--stage", "denoise", *options)
    assert (answer["built"], says in answer["said"]) == (1, True)


def test_a_truncated_plan_is_a_warning_and_a_rebuild(machine: Machine, tiny: Path, ask: Ask) -> None:
    path = ask("build", tiny, "--stage", "encode")["plans"][0]["path"]
    os.truncate(path, 100)
    answer = ask("build", tiny, "--stage", "encode")
    assert answer["built"] == 1
    (warning,) = [text for text in answer["said"].splitlines() if text.startswith("anacrusis.plans: ")]
    assert "has 100 of " in warning
    assert ask("build", tiny, "--stage", "encode")["hits"] == 1


def test_progress_for_a_program_is_one_object_a_line(machine: Machine, tiny: Path, capsys: Capture) -> None:
    assert run("build", tiny, "--stage", "encode", "--json-progress") == 0
    lines = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines if line["event"] != "progress"] == ["miss", "plan", "summary"]
    for line in lines[:-1]:
        assert (line["plan"], line["plans"], line["stage"], line["target"]) == (1, 1, "encode", PORTABLE)
    for line in lines:
        if line["event"] == "progress":
            assert {"phase", "fraction", "elapsed_s", "remaining_s"} <= set(line)


@pytest.mark.parametrize(
    ("options", "cards", "says"),
    [
        (["--target", "sm90"], NO_CARD, "unknown target 'sm90'; choose auto, sm75"),
        ([], Cards((Card("H100", 90),)), "no plan for H100 (sm90); run it with --backend torch-cuda"),
        (["--stage", "embed"], NO_CARD, "stage 'embed' has no plan; choose encode, denoise, decode"),
        (["--stems", "0"], NO_CARD, "this model writes 1 to 4 stems"),
        (["--stems", "9"], NO_CARD, "this model writes 1 to 4 stems, not 9"),
        (["--r", "2"], NO_CARD, "r = 2 is not a step ratio"),
        (["--library", "tensorrt", "--target", "sm89"], Cards((Card("RTX", 89),)), "leave --target out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_built(
    machine: Machine, capsys: Capture, out: Path, tiny: Path, options: list[str], cards: Cards, says: str
) -> None:
    machine.cards = cards
    assert says in refused(capsys, out, "build", tiny, "--cache", out, *options)


def test_an_interrupt_is_130_and_leaves_nothing(machine: Machine, tiny: Path, out: Path, capsys: Capture) -> None:
    machine.error = KeyboardInterrupt()
    assert run("build", tiny, "--cache", out) == 130
    assert "nothing was left half-written" in capsys.readouterr().err
    assert [path.name for path in (out / "plans").iterdir()] == [".locks"]


# -- anacrusis plans ------------------------------------------------------------------------------


def test_list_show_and_verify(machine: Machine, tiny: Path, ask: Ask, capsys: Capture) -> None:
    built = ask("build", tiny)
    listed = ask("plans", "list")
    assert [plan["path"] for plan in listed["plans"]] == [plan["path"] for plan in built["plans"]]
    assert run("plans", "list") == 0
    text = capsys.readouterr().out
    assert f"denoise-{listed['plans'][1]['name'][8:]}  tiny-cd float32 stems=1 {PORTABLE}  rtx 1.7.1" in text
    assert text.splitlines()[-1].startswith("4 plans, ")

    shown = ask("plans", "show", "encode", "--layers", "--verify")
    assert (shown["key"]["stage"], shown["kernels"], shown["damage"]) == ("encode", 3, None)
    assert shown["kernel_types"] == {"kgen": 2, "correlation": 1}
    assert [layer["name"] for layer in shown["layers"]] == ["conv_1", "add_2", "add_3"]
    assert run("plans", "show", "encode", "--layers") == 0
    text = capsys.readouterr().out
    assert "kernels          3: 2 kgen, 1 correlation" in text
    assert "   0 correlation      conv_1: Half[1,2] -> Float[3]" in text

    path = Path(shown["path"])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert ask("plans", "show", "encode")["damage"] is None
    assert "SHA-256 differs" in ask("plans", "show", "encode", "--verify", code=1)["damage"]
    os.truncate(path, 9)
    assert "has 9 of " in ask("plans", "show", "encode", code=1)["damage"]


@pytest.mark.parametrize(("name", "says"), [("refine", "no plan in "), ("de", "3 plans in ")], ids=["none", "several"])
def test_show_wants_one_plan(machine: Machine, tiny: Path, ask: Ask, capsys: Capture, name: str, says: str) -> None:
    ask("build", tiny)
    assert run("plans", "show", name) == 2
    line = capsys.readouterr().err
    assert says in line
    assert "see `anacrusis plans list`" in line


def test_prune_says_what_it_removed(machine: Machine, tiny: Path, copying: Path, ask: Ask, capsys: Capture) -> None:
    ask("build", tiny, "--stage", "encode")
    machine.version = "1.7.2"
    ask("build", tiny, "--stage", "encode")
    ask("build", copying, "--stage", "encode")
    done = ask("plans", "prune")
    assert [one["why"] for one in done["removed"]] == ["of rtx 1.7.1, installed is 1.7.2"]
    assert done["freed_bytes"] > 99
    assert ask("plans", "prune", "--older-than", 1)["removed"] == []
    assert [one["why"] for one in ask("plans", "prune", "--keep-bundle", tiny)["removed"]] == ["of another bundle"]
    assert run("plans", "prune", "--all") == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("encode-")
    assert "removed, 0.0 MB (all plans)" in first
    assert "0 plans left in " in last


def test_prune_wants_a_number_of_days(machine: Machine, capsys: Capture, out: Path) -> None:
    says = "--older-than -1 is no number of days; give 0 or more"
    assert says in refused(capsys, out, "plans", "prune", "--older-than", "-1")


def test_an_empty_cache(machine: Machine, ask: Ask) -> None:
    assert ask("plans", "list")["plans"] == []
    assert ask("plans", "prune", "--all")["removed"] == []

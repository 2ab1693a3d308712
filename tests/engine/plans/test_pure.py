# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Targets, wanted plans, keys and progress: functions on values."""

from __future__ import annotations

from pathlib import Path

import pytest

from anacrusis.engine.bundle import Bundle, sha256
from anacrusis.engine.errors import BackendError, BundleError, PlanError
from anacrusis.engine.plans.device import Card, Cards
from anacrusis.engine.plans.key import PlanKey, check_files, plan_key
from anacrusis.engine.plans.library import Library
from anacrusis.engine.plans.lookup import target_names, usable_plan
from anacrusis.engine.plans.planner import make_jobs
from anacrusis.engine.plans.progress import BuildWatch, PastBuild, expected_seconds
from anacrusis.engine.plans.store import Store
from anacrusis.engine.plans.targets import PORTABLE, candidates, parse_target
from anacrusis.engine.plans.wanted import decode_plan, denoise_plan, encode_plan, freeze, input_shapes, wanted_plans
from anacrusis.engine.window import Pace

from .conftest import KEY, Maker

ADA, HOPPER, TURING = Card("RTX 4090", 89), Card("H100", 90), Card("RTX 2080", 75)
RTX, FULL = Library("rtx", "1.7.1", None), Library("tensorrt", "11.4", None)


# -- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "card", "expected"),
    [
        ("auto", None, ["sm80+sm86+sm89+sm120"]),
        ("auto", ADA, ["sm89"]),
        ("auto", TURING, ["sm75"]),
        ("sm86", ADA, ["sm86"]),
        ("sm120", None, ["sm120"]),
        ("all", None, ["sm80+sm86+sm89+sm120", "sm75"]),
        ("all", HOPPER, ["sm80+sm86+sm89+sm120", "sm75"]),
        ("sm89", HOPPER, ["sm89"]),
    ],
)
def test_what_a_target_builds(choice: str, card: Card | None, expected: list[str]) -> None:
    assert [target.name for target in parse_target(choice, card)] == expected


@pytest.mark.parametrize(
    ("choice", "card", "says"),
    [
        ("sm90", None, "unknown target 'sm90'; choose auto, sm75, sm80, sm86, sm89, sm120, all"),
        ("", ADA, "unknown target ''"),
        ("auto", HOPPER, "no plan for H100 (sm90); run it with --backend torch-cuda"),
    ],
)
def test_a_target_that_cannot_be(choice: str, card: Card | None, says: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_target(choice, card)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("sm", "expected"), [(89, ["sm89", PORTABLE.name]), (75, ["sm75"]), (90, []), (121, [])], ids=str
)
def test_which_plans_run_on_a_card(sm: int, expected: list[str]) -> None:
    assert [target.name for target in candidates(sm)] == expected
    assert list(target_names(RTX, Card("", sm))) == expected


def test_full_tensorrt_builds_for_the_card_it_has() -> None:
    plans = (denoise_plan(1),)
    assert [job.target_name for job in make_jobs(plans, "auto", FULL, Cards((ADA,)))] == ["sm89 RTX 4090"]
    with pytest.raises(PlanError, match="for the card in this machine only; leave --target out"):
        make_jobs(plans, "sm89", FULL, Cards((ADA,)))
    with pytest.raises(BackendError, match="full TensorRT needs a card: no driver"):
        make_jobs(plans, "auto", FULL, Cards((), reason="no driver"))


def test_a_card_takes_its_own_plan_before_the_portable_one(tiny: Path, store: Store) -> None:
    bundle, plan = Bundle.open(tiny), denoise_plan(1)
    assert usable_plan(store, bundle, plan, RTX, ADA) is None
    for target in (PORTABLE.name, "sm89"):
        store.obtain(plan_key(bundle, "denoise", {"stems": 1}, RTX, target), "tiny", Maker())
        entry = usable_plan(store, bundle, plan, RTX, ADA)
        assert entry is not None
        assert entry.key.target == target
    assert usable_plan(store, bundle, plan, RTX, TURING) is None
    assert usable_plan(store, bundle, denoise_plan(2), RTX, ADA) is None


# -- wanted ---------------------------------------------------------------------------------------


def test_which_plans_a_pace_needs(tiny: Path) -> None:
    manifest = Bundle.open(tiny).manifest
    pace = Pace(16 * 4096, 16 * 4096, 882)
    assert pace.decode_sizes(manifest.geometry) == (17, 18)
    plans = wanted_plans(manifest, pace, (2, 1, 2))
    assert plans == (
        encode_plan(manifest),
        denoise_plan(1),
        denoise_plan(2),
        *(decode_plan(stems, frames) for stems in (1, 2) for frames in (17, 18)),
    )
    assert [str(plan) for plan in plans[:2]] == ["encode frames=64", "denoise stems=1"]
    assert wanted_plans(manifest, pace, (1,), ("decode",)) == (decode_plan(1, 17), decode_plan(1, 18))


@pytest.mark.parametrize(
    ("stems", "stages", "says"),
    [
        ((1, 0), ("encode",), "this model writes 1 to 4 stems, not"),
        ((5,), ("encode",), "this model writes 1 to 4 stems, not 5"),
        ((1,), ("embed",), "stage 'embed' has no plan; choose encode, denoise, decode"),
    ],
)
def test_plans_that_cannot_be(tiny: Path, stems: tuple[int, ...], stages: tuple[str, ...], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        wanted_plans(Bundle.open(tiny).manifest, Pace(4096, 4096), stems, stages)


def test_the_contract_s_shapes_are_those_of_the_graphs(tiny: Path) -> None:
    import onnx

    manifest = Bundle.open(tiny).manifest
    for plan in (encode_plan(manifest), denoise_plan(2), decode_plan(3, 5)):
        known = input_shapes(manifest, plan)
        graph = onnx.load(tiny / f"{plan.stage}.onnx", load_external_data=False).graph
        assert set(known) <= {value.name for value in graph.input}
        for value in graph.input:
            sizes = [dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim]
            frozen = freeze(value.name, sizes, known, plan)
            assert min(frozen) > 0
            assert value.name in known or frozen[0] == dict(plan.dims)["stems"]


@pytest.mark.parametrize("shape", [(1, 2, -1), (-1, -1), (7, -1, -1)], ids=str)
def test_a_graph_that_breaks_the_contract(tiny: Path, shape: tuple[int, ...]) -> None:
    manifest = Bundle.open(tiny).manifest
    plan = encode_plan(manifest)
    with pytest.raises(PlanError, match=r"encode: input heard is .*is needed; export the bundle again"):
        freeze("heard", shape, input_shapes(manifest, plan), plan)


# -- keys -----------------------------------------------------------------------------------------


def test_a_key_takes_the_graph_as_it_lies_there(tiny: Path) -> None:
    bundle = Bundle.open(tiny, verify=False)
    key = plan_key(bundle, "decode", {"stems": 1, "frames": 19}, RTX, PORTABLE)
    assert (key.onnx, key.weights) == (sha256(tiny / "decode.onnx"), bundle.manifest.files["weights.safetensors"])
    assert (key.dims_text, key.precision) == ("frames=19 stems=1", "float32")
    check_files(bundle, bundle.manifest.files)
    with pytest.raises(BundleError, match="cannot be read"):
        plan_key(bundle, "refine", {}, RTX, PORTABLE)


def test_a_key_survives_its_sidecar() -> None:
    assert PlanKey.from_dict(KEY.to_dict()) == KEY


@pytest.mark.parametrize("change", [{"dims": 3}, {"dims": {"stems": "x"}}, {"flags": None}, {"onnx": 5}], ids=str)
def test_a_key_that_is_none(change: dict[str, object]) -> None:
    with pytest.raises(PlanError, match="anacrusis plans prune"):
        PlanKey.from_dict({**KEY.to_dict(), **change})


# -- progress -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "graph", "past", "expected"),
    [
        ("denoise", "a", [], 9.0),
        ("denoise", "a", [PastBuild("encode", "x", 3.6)], 18.0),
        ("denoise", "a", [PastBuild("denoise", "b", 4.0), PastBuild("encode", "x", 3.6)], 4.0),
        ("denoise", "a", [PastBuild("denoise", "a", 7.0), PastBuild("denoise", "b", 4.0)], 7.0),
    ],
    ids=["nothing", "another stage", "another graph", "the same"],
)
def test_how_long_it_will_take(stage: str, graph: str, past: list[PastBuild], expected: float) -> None:
    assert expected_seconds(stage, graph, past) == pytest.approx(expected)


def test_a_share_is_of_the_expected_time_and_whole_only_at_the_end() -> None:
    now = [100.0]
    watch = BuildWatch(10.0, clock=lambda: now[0])
    seen = []
    watch.start("Building engine", None)
    for now[0], phase in ((101.0, "Optimizing graph"), (105.0, "Optimizing graph"), (130.0, "Building engine")):
        watch.start(phase, "Building engine")
        seen.append(watch.progress())
    watch.finish("Building engine")
    seen.append(watch.progress())
    assert [(p.fraction, p.elapsed_s, p.remaining_s) for p in seen] == [
        (0.1, 1.0, 9.0),
        (0.5, 5.0, 5.0),
        (0.99, 30.0, None),
        (1.0, 30.0, 0.0),
    ]
    assert [p.phase for p in seen[:2]] == ["Optimizing graph", "Optimizing graph"]

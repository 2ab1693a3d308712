# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint -> bundle -> sound: one export of the small released-layout files, traced once for this file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="an export needs torch: pip install 'anacrusis[export]'")
pytest.importorskip("onnxscript", reason="an export needs onnxscript: pip install 'anacrusis[export]'")

import onnxruntime  # noqa: E402

from anacrusis.engine import Engine  # noqa: E402
from anacrusis.engine.bundle import STAGES, Bundle, Manifest  # noqa: E402
from anacrusis.engine.errors import BundleError, CheckpointError  # noqa: E402
from anacrusis.engine.networks.stages import EncodeStage, Networks  # noqa: E402
from anacrusis.export import export as export_module  # noqa: E402
from anacrusis.export.export import GEOMETRY, Options, export_checkpoint, export_seeded  # noqa: E402
from anacrusis.export.graphs import stage_specs, stage_to_onnx  # noqa: E402
from anacrusis.export.load import load_codec, load_unet  # noqa: E402
from anacrusis.export.verify import snr_db  # noqa: E402

MODEL, CODEC = "cd_lightning.ckpt", "m2l.safetensors"


def silent(line: str) -> None:
    """No report."""


def no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the minute of tracing."""
    monkeypatch.setattr(export_module, "stage_specs", lambda *_: [])


def test_the_released_layout_becomes_a_bundle_that_plays(golden: Path, tmp_path: Path) -> None:
    """One test, because tracing takes a minute and workers share no fixtures."""
    out, lines = tmp_path / "bundle", list[str]()
    returned = export_checkpoint(golden / MODEL, golden / CODEC, out, options=Options(), report=lines.append)
    assert [line for line in lines if line.startswith("trace")] == [f"trace {stage}" for stage in STAGES]
    manifest = Bundle.open(out).manifest
    assert (returned.name, returned.verification) == (manifest.name, manifest.verification)
    check_what_it_is(out, manifest)
    check_every_stage_was_verified(manifest)
    check_it_says_where_it_comes_from(out, manifest, golden)
    check_weights_are_the_checkpoints_own(out, golden)
    check_the_backends_agree(out)


def check_what_it_is(out: Path, manifest: Manifest) -> None:
    assert (manifest.name, manifest.kind) == ("cd_lightning-cd", "cd")
    assert (manifest.parametrisation.name, manifest.sampler.name, manifest.sampler.steps) == (
        "consistency",
        "consistency",
        2,
    )
    assert (manifest.precision.weights, manifest.precision.compute) == ("float32", "float32")
    assert sorted(path.name for path in out.iterdir()) == sorted([*manifest.files, "manifest.json"])
    assert [path.name for path in out.parent.iterdir()] == ["bundle"]
    assert manifest.licence.spdx == "LicenseRef-research-only"
    assert "Do not redistribute this bundle" in manifest.licence.notice
    assert "CC BY-NC 4.0" in manifest.licence.notice


def check_every_stage_was_verified(manifest: Manifest) -> None:
    assert list(manifest.verification["stages"]) == sorted(STAGES)
    for stage, result in manifest.verification["stages"].items():
        assert result["snr_db"] >= 60, stage
        assert 0 < result["max_abs_error"] < 1e-2, stage


def check_it_says_where_it_comes_from(out: Path, manifest: Manifest, golden: Path) -> None:
    provenance = manifest.provenance
    for part, name in (("model", MODEL), ("codec", CODEC)):
        assert provenance[part]["file"] == name
        assert provenance[part]["sha256"] == hashlib.sha256((golden / name).read_bytes()).hexdigest()
    assert provenance["model"]["foreign_classes"] == "argparse.Namespace"
    assert provenance["tools"]["torch"] == torch.__version__
    assert str(golden) not in (out / "manifest.json").read_text()


def check_the_backends_agree(out: Path) -> None:
    # A whole window is heard first: in silence the encoder's normalisation magnifies float32 rounding.
    context = (0.1 * np.random.default_rng(1).standard_normal(GEOMETRY.window_samples)).astype(np.float32)
    outs = []
    for name in ("onnxruntime", "torch"):
        pace = {"step_frames": 2, "lead_frames": 1}
        with Engine.open(out, backend=name, stems=["drums"], threads=1, **pace) as engine:
            outs.append(np.stack([engine.step(chunk).audio[0] for chunk in (context, context[:8192])]))
    assert outs[0].shape == (2, 8192)
    assert np.abs(outs[0]).max() > 1e-3
    assert snr_db(outs[1], outs[0]) > 60


def check_weights_are_the_checkpoints_own(out: Path, golden: Path) -> None:
    from safetensors.numpy import load_file

    stored = load_file(out / "weights.safetensors")
    networks = Networks(load_unet(golden / MODEL)[1], load_codec(golden / CODEC)[0])
    for name, tensor in networks.state().items():
        np.testing.assert_array_equal(stored[name], tensor.numpy(), err_msg=name)


def test_a_half_precision_encoder_graph(golden: Path, tmp_path: Path) -> None:
    """Half weights inside, float32 at the door, and close to the float32 network."""
    import onnx_ir as ir

    codec, _, _ = load_codec(golden / CODEC)
    audio = (0.1 * np.random.default_rng(2).standard_normal((1, 8 * 4096 + 1536))).astype(np.float32)
    feeds = {"audio": audio, "heard": np.ones((1, 1, 8), np.float32)}
    with torch.inference_mode():
        wanted = EncodeStage(codec)(*map(torch.from_numpy, feeds.values())).numpy()
    networks = Networks(load_unet(golden / MODEL)[1], codec)
    model = stage_to_onnx(stage_specs(networks, GEOMETRY, torch.float16)[0])
    weights = {n: v.dtype for n, v in model.graph.initializers.items() if str(n).startswith("codec.")}
    assert len(weights) > 40
    assert set(weights.values()) == {ir.DataType.FLOAT16}
    assert {v.dtype for v in (*model.graph.inputs, *model.graph.outputs)} == {ir.DataType.FLOAT}
    ir.save(model, tmp_path / "encode.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "encode.onnx", providers=["CPUExecutionProvider"])
    (got,) = session.run(None, feeds)
    assert got.dtype == np.float32
    assert 25 < snr_db(wanted, got) < 80  # above: it would not be half at all


# -- refusals: none traces ----------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("what", ["a bundle", "another directory", "a file"])
def test_an_existing_target(
    golden: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, force: bool
) -> None:
    no_traces(monkeypatch)
    out = tmp_path / "out"
    if what == "a file":
        out.write_text("mine")
    else:
        out.mkdir()
        source = tiny / "manifest.json"
        (out / ("manifest.json" if what == "a bundle" else "mine")).write_text(source.read_text())
    options = Options(verify=False, force=force)
    if what == "a bundle" and force:
        export_checkpoint(golden / MODEL, golden / CODEC, out, options=options, report=silent)
        assert json.loads((out / "manifest.json").read_text())["name"] == "cd_lightning-cd"
    else:
        hint = "add --force" if what == "a bundle" else "choose a new directory"
        with pytest.raises(BundleError, match=f"exists; {hint}"):
            export_checkpoint(golden / MODEL, golden / CODEC, out, options=options, report=silent)
        assert out.is_file() or len(list(out.iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [BundleError("the encode graph is wrong"), KeyboardInterrupt(), OSError("disk full")])
@pytest.mark.parametrize("replaces", [False, True])
def test_an_error_on_the_way_leaves_nothing(
    golden: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, replaces: bool
) -> None:
    no_traces(monkeypatch)
    out, before = tmp_path / "out", (tiny / "manifest.json").read_bytes()
    if replaces:
        out.mkdir()
        (out / "manifest.json").write_bytes(before)
    written: list[str] = []

    def fail(directory: Path, *_: Any, **__: Any) -> None:
        written.extend(path.name for path in directory.iterdir())
        raise error

    monkeypatch.setattr(export_module, "verify_graphs", fail)
    with pytest.raises(type(error)):
        export_checkpoint(golden / MODEL, golden / CODEC, out, options=Options(force=True), report=silent)
    assert written == ["weights.safetensors"]  # it was on its way
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if replaces else [])
    assert not replaces or (out / "manifest.json").read_bytes() == before


def test_files_that_do_not_belong_together(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no U-Net"):
        export_checkpoint(golden / CODEC, golden / CODEC, tmp_path / "out", options=Options(), report=silent)
    with pytest.raises(CheckpointError, match="is not Music2Latent"):
        export_checkpoint(golden / MODEL, golden / MODEL, tmp_path / "out", options=Options(), report=silent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "sampler"), [("cd", ("consistency", 2, 1)), ("diffusion", ("dpm2", 5, 2))])
def test_seeded_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, sampler: tuple[Any, ...]) -> None:
    no_traces(monkeypatch)
    options = Options(stored="fp16", verify=False)
    manifest = export_seeded("tiny", kind, 5, tmp_path / "out", options=options, report=silent)
    assert (manifest.sampler.name, manifest.sampler.steps, manifest.sampler.resamples) == sampler
    assert manifest.provenance["seeded"] == {"size": "tiny", "seed": 5}
    assert (manifest.precision.weights, manifest.precision.compute) == ("float16", "float32")
    assert (manifest.licence.spdx, "noise" in manifest.licence.notice) == ("Apache-2.0", True)

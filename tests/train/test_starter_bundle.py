# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A starter's checkpoint as a bundle: its graphs compute what it does, from weights stored once, and it plays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript", reason="needs the export extra")
ort = pytest.importorskip("onnxruntime")

from safetensors.numpy import load_file  # noqa: E402

from anacrusis.engine import Engine  # noqa: E402
from anacrusis.engine.bundle import Bundle  # noqa: E402
from anacrusis.engine.errors import BackendError, BundleError  # noqa: E402
from anacrusis.engine.networks.filterbank import CHANNELS  # noqa: E402
from anacrusis.engine.networks.starter import Starter, StarterConfig, StarterDenoise, StarterEmbed  # noqa: E402
from anacrusis.export.graphs import StageSpec, stage_to_onnx  # noqa: E402
from anacrusis.export.write import Weights, write_graphs  # noqa: E402
from anacrusis.train.codec.bundle import stored  # noqa: E402
from anacrusis.train.song import STEMS, CorpusError  # noqa: E402
from anacrusis.train.starter import bundle as command  # noqa: E402
from anacrusis.train.starter.bundle import write_starter_bundle  # noqa: E402
from anacrusis.train.starter.config import Training  # noqa: E402
from anacrusis.train.starter.graphs import as_traced, middle, verified  # noqa: E402
from anacrusis.train.starter.guidance import Guided  # noqa: E402

from .codec_toys import toy_codec, traced_once  # noqa: E402

CODEC = toy_codec(("guitar",))
TRACED: dict[str, Any] = {}  # the bundle's graphs, before they were written
STUDENT = replace(Training(), method="distillation")


def made() -> Starter:
    torch.manual_seed(2)
    config = StarterConfig(
        16, CHANNELS, width=24, blocks=1, heads=3, conditioning=12, noise_bands=4, rows=len(CODEC.rows)
    )
    network = Starter(config).eval().requires_grad_(False)
    for tensor in (*network.parameters(), network.code):
        tensor.copy_(tensor.normal_(0, 0.1).half())  # as the bundle rounds them
    return network


@pytest.fixture(scope="module")
def network() -> Starter:
    return made()


@pytest.fixture(scope="module")
def bundle(network: Starter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of kind consistency."""
    out = tmp_path_factory.mktemp("starter") / "starter-cd"

    def traced(spec: StageSpec) -> Any:
        model = traced_once(spec)
        TRACED[spec.name] = model.clone()
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "stage_to_onnx", traced)
        write_starter_bundle(network, STUDENT, CODEC, out, provenance={"commit": "abc"})
    return out


def test_the_manifest_says_what_it_is_and_that_its_graphs_were_checked(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    assert (manifest.name, manifest.kind, manifest.sampler.name) == ("starter-cd", "cd", "consistency")
    assert manifest.sampler.table().nfe == 2
    assert manifest.provenance["commit"] == "abc"
    assert manifest.trained_masked_frames == tuple(range(63))
    assert {*manifest.verification["stages"]} == {"encode", "embed", "denoise", "decode"}
    assert "NOTICE" in manifest.files
    text = (bundle / "NOTICE").read_text()
    assert "Frank Wen" in text
    assert "Permission is hereby granted" in text


@pytest.mark.parametrize(("steps", "stems"), [(1, ["guitar"]), (2, [*STEMS])], ids=["1-one", "2-all"])
def test_it_plays_with_one_and_with_two_evaluations(bundle: Path, steps: int, stems: list[str]) -> None:
    rng = np.random.default_rng(0)
    given = {"backend": "onnxruntime", "stems": stems, "step_frames": 8, "lead_frames": 1, "sampler_steps": steps}
    with Engine.open(bundle, **given) as player:  # type: ignore[arg-type]
        for _ in range(2):
            step = player.step(rng.normal(0, 0.1, player.step_samples).astype(np.float32))
            assert step.audio.shape == (len(stems), player.step_samples)
            assert np.isfinite(step.audio).all()
            assert step.nfe == steps


def test_the_torch_rung_does_not_know_its_networks(bundle: Path) -> None:
    with pytest.raises(BackendError, match="does not know this bundle's networks"):
        Engine.open(bundle, backend="torch", stems=["bass"], step_frames=8, lead_frames=1)


def test_the_denoise_graph_computes_what_the_module_does(bundle: Path, network: Starter) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(bundle / "denoise.onnx", options, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(1)
    latents = [torch.randn(3, 16, 64, generator=generator) for _ in range(4)]
    keep = (torch.arange(64) < 50).float()[None, None]
    row = torch.tensor([0.5, 0.3, 0.7, 0.2, -0.4, 1.1, 1.0, 0.0])
    cond = list(StarterEmbed(network)(torch.full((3,), 2.5), torch.eye(4)[:3]))
    given = (*latents, torch.rand(1, CHANNELS, 64, generator=generator), keep, row)
    feed = {i.name: t.numpy() for i, t in zip(session.get_inputs(), (*given, *cond), strict=True)}
    for a, b in zip(session.run(None, feed), StarterDenoise(network)(*given, cond), strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=2e-4)


def test_each_weight_is_stored_once_and_in_float16(bundle: Path) -> None:
    """What is made in a graph (the ear's kernels, the pulse's waves) is not worked out by the exporter; only notes as
    few as the toy's are."""
    tensors = load_file(bundle / "weights.safetensors")
    kept = {name: t for name, t in tensors.items() if not name.startswith(("graph.decode.", "codec."))}
    strays = {name: t.shape for name, t in kept.items() if name.startswith("graph.") and t.size > 200}
    assert not strays
    wide = {name for name, t in kept.items() if t.dtype == np.float32 and t.size > 200}
    assert wide == {"filterbank.angles", "starter.pulse.angles"}
    contents = [(t.dtype, t.tobytes()) for t in kept.values() if t.size > 80]
    assert len(contents) == len(set(contents))


@pytest.mark.usefixtures("bundle")
def test_the_same_weights_give_the_same_bytes(network: Starter, tmp_path: Path) -> None:
    """Of the smallest graph and its weights; the others take seconds more."""
    for name, model in (("once", TRACED["embed"]), ("twice", stage_to_onnx(middle(network)[0]).clone())):
        out = tmp_path / name
        out.mkdir()
        write_graphs(out, {"embed": model}, Weights(stored(as_traced(network, [model]))))
    for name in ("embed.onnx", "weights.safetensors"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


def test_a_graph_that_computes_something_else_is_refused(bundle: Path) -> None:
    other = made()
    other.of_label.weight += 0.5
    with pytest.raises(BundleError, match=r"the embed graph is .* dB from torch"):
        verified(bundle, middle(other)[:1], torch.zeros(4, 16, 8))


def test_what_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Starter(StarterConfig(8, CHANNELS, 64, 4, width=24, blocks=1, heads=3))
    with pytest.raises(CorpusError, match="writes 8 channels, the codec reads 16"):
        write_starter_bundle(other, Training(), CODEC, tmp_path / "x")
    assert command.main(["--checkpoint", str(tmp_path / "none.pt"), "--out", str(tmp_path / "x")]) == 2
    assert "cannot read the checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [("[1]", "must hold a JSON object"), ("{", "cannot read"), ('{"training": {}}', "says 'training'")],
)
def test_provenance_that_cannot_be_is_refused(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.json"
    file.write_text(text)
    given = ["--checkpoint", str(tmp_path / "c.pt"), "--out", str(tmp_path / "x"), "--provenance", str(file)]
    assert command.main(given) == 2
    assert says in capsys.readouterr().err


def test_a_corpus_is_named_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "corpus.json").write_text(json.dumps({"songs": [{}, {}], "hours": 0.03333, "seed": 5}))
    (tmp_path / "plan.json").write_text(json.dumps({"split": "train", "soundfont_sha256": "f0"}))
    said = command.of_corpus(tmp_path)
    assert (said["songs"], said["hours"], said["seed"], said["split"]) == (2, 0.033, 5, "train")
    assert len(said["corpus_json_sha256"]) == 64
    with pytest.raises(CorpusError, match="no corpus"):
        command.of_corpus(tmp_path / "none")


def test_guidance_in_the_graph_is_what_the_guided_network_says(network: Starter, tmp_path: Path) -> None:
    """`verified` compares them; here that it does, and that the two differ."""
    specs = middle(Guided(network, 2.5, (1.0, 0.0, 0.5, 2.0)))
    models = {spec.name: stage_to_onnx(spec) for spec in specs}
    out = tmp_path / "guided"
    out.mkdir()
    write_graphs(out, models, Weights(stored(as_traced(network, models.values()))))
    assert len(specs[0].outputs) == len(middle(network)[0].outputs) + 1
    found = verified(out, specs, torch.zeros(4, 16, 8))["stages"]
    assert set(found) == {"embed", "denoise"}
    other = middle(Guided(network, 1.0, (1.0, 0.0, 0.5, 2.0)))
    with pytest.raises(BundleError, match="denoise graph"):
        verified(out, other, torch.zeros(4, 16, 8))


def test_a_shift_of_its_own_network_is_what_guidance_of_one_shifts() -> None:
    net, shifts = made(), (1.0, 0.0, 0.5, -2.0)
    net.rows_of.copy_(torch.eye(4)[torch.arange(net.config.rows) % 4].T)
    generator = torch.Generator().manual_seed(3)
    u, kept = (torch.randn(4, 16, 64, generator=generator) for _ in range(2))
    keep, context = torch.ones(1, 1, 64), torch.rand(1, CHANNELS, 64, generator=generator)
    scalings = tuple(torch.tensor(x) for x in (0.5, 0.3, 0.7))
    wanted, plain = (
        who.estimate(u, scalings, kept, keep, context, who.conditioning(torch.zeros(4), torch.eye(4)))
        for who in (Guided(net, 1.0, shifts), net)
    )
    net.onset_bias().sub_(torch.tensor(shifts) @ net.rows_of)
    found = net.estimate(u, scalings, kept, keep, context, net.conditioning(torch.zeros(4), torch.eye(4)))
    assert (wanted - plain).abs().max() > 1e-3
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)

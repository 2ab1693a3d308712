# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime with device-resident tensors, the device being a second memory on the CPU: same code, same result.

What only a GPU shows (that the provider starts, what it costs) is in docs/gpu-log.md.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anacrusis.engine.backends.onnxruntime import CPU, CUDA, OnnxRuntimeBackend, open_session, provider_options
from anacrusis.engine.backends.onnxruntime_memory import DeviceMemory, DeviceSlot, HostMemory, Memory
from anacrusis.engine.bundle import Bundle
from anacrusis.engine.errors import BackendError
from anacrusis.engine.pipeline import Binding, Pipeline

FRAMES, STEMS = 64, 2


def pipeline_of(path: Path, memory: Memory) -> Pipeline:
    bundle = Bundle.open(path, verify=False)
    labels = np.eye(len(bundle.manifest.stems), dtype=np.float32)[:STEMS]
    backend = OnnxRuntimeBackend(bundle, memory=memory)
    return backend.bind(Binding(labels, bundle.manifest.sampler.table(), 8))


def cycles(pipeline: Pipeline, sizes: tuple[int, ...]) -> list[list[np.ndarray]]:
    """A few cycles, no two with the same inputs; decode-only where the size is odd."""
    outs = []
    for seed, frames in enumerate(sizes):
        rng = np.random.default_rng(seed)
        for name in ("audio", "source", "noise", "decoder_noise"):
            array = getattr(pipeline.inputs, name)
            array[...] = rng.standard_normal(array.shape, dtype=np.float32)
        pipeline.inputs.heard[...], pipeline.inputs.keep[...] = 1.0, 1.0
        pipeline.inputs.heard[..., 48 - seed :], pipeline.inputs.keep[..., 56 + seed :] = 0.0, 0.0
        made = pipeline.cycle(generate=not frames % 2, decode_first=FRAMES - frames, decode_frames=frames)
        outs.append([made.latents.copy(), made.audio.copy()])
    pipeline.inputs.audio[...] = 0.25
    outs.append([pipeline.encode().copy()])
    return outs


def equal(a: list[list[np.ndarray]], b: list[list[np.ndarray]]) -> bool:
    return all(np.array_equal(x, y) for left, right in zip(a, b, strict=True) for x, y in zip(left, right, strict=True))


SIZES = (4, 6, 3, 4)


def test_a_device_gives_what_the_host_gives(copying: Path) -> None:
    host, device = (cycles(pipeline_of(copying, m), SIZES) for m in (HostMemory(), DeviceMemory("cpu")))
    assert equal(host, device)
    assert not np.array_equal(host[0][1], host[3][1])  # the inputs matter


def arrays_of(pipeline: Any, name: str) -> np.ndarray:
    if name == "u":
        return pipeline._first["u"].array
    return pipeline._decode_latent if name == "latent" else getattr(pipeline.inputs, name)


@pytest.mark.parametrize(
    ("bundle", "name"),
    [
        *(("copying", name) for name in ("audio", "heard", "keep", "source", "latent")),
        *(("tiny", name) for name in ("u", "noise", "decoder_noise")),  # what the copying networks do not look at
    ],
)
def test_an_array_not_sent_is_heard(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, bundle: str, name: str
) -> None:
    """The bug that this memory is there for: what is bound once is not looked at again unless it is sent."""
    path, sizes = request.getfixturevalue(bundle), SIZES if bundle == "copying" else (2, 2)
    pipelines = [pipeline_of(path, DeviceMemory("cpu")) for _ in range(2)]
    wanted = cycles(pipelines[0], sizes)
    kept_back = arrays_of(pipelines[1], name)
    upload = DeviceSlot.upload
    held = 0

    def hold(slot: DeviceSlot) -> None:
        nonlocal held
        if np.shares_memory(slot.array, kept_back) and held >= (name in ("latent", "decoder_noise")):
            return  # the slots of a decode are made, and sent, in its first cycle
        held += np.shares_memory(slot.array, kept_back)
        upload(slot)

    monkeypatch.setattr(DeviceSlot, "upload", hold)
    assert not equal(wanted, cycles(pipelines[1], sizes))


def with_float16_conditioning(bundle: Path, out: Path) -> Path:
    """`embed` gives float16 and `denoise` takes it, as in a bundle that computes in float16."""
    onnx = pytest.importorskip("onnx")
    shutil.copytree(bundle, out)
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT

    def cast(model: Any, source: str, target: str, to: int, at: int) -> None:
        model.graph.node.insert(at, onnx.helper.make_node("Cast", [source], [target], to=to))

    embed = onnx.load(out / "embed.onnx", load_external_data=False)
    for node in embed.graph.node:
        node.output[:] = ["wide" if name == "cond_00" else name for name in node.output]
    cast(embed, "wide", "cond_00", half, len(embed.graph.node))
    denoise = onnx.load(out / "denoise.onnx", load_external_data=False)
    for node in denoise.graph.node:
        node.input[:] = ["wide" if name == "cond_00" else name for name in node.input]
    cast(denoise, "cond_00", "wide", single, 0)
    for model, values in ((embed, embed.graph.output), (denoise, denoise.graph.input)):
        next(value for value in values if value.name == "cond_00").type.tensor_type.elem_type = half
        stage = "embed" if model is embed else "denoise"
        onnx.save(model, out / f"{stage}.onnx")
    return out


@pytest.mark.parametrize("memory", [HostMemory(), DeviceMemory("cpu")], ids=["host", "device"])
def test_conditioning_takes_the_type_that_the_graph_declares(copying: Path, tmp_path: Path, memory: Memory) -> None:
    half = with_float16_conditioning(copying, tmp_path / "half")
    assert equal(cycles(pipeline_of(copying, memory), SIZES), cycles(pipeline_of(half, memory), SIZES))


def test_a_type_outside_the_contract_is_one_line(copying: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    shutil.copytree(copying, tmp_path / "odd")
    decode = onnx.load(tmp_path / "odd" / "decode.onnx", load_external_data=False)
    decode.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    decode.graph.node.insert(0, onnx.helper.make_node("Cast", ["latent"], ["wide"], to=onnx.TensorProto.FLOAT))
    for node in list(decode.graph.node)[1:]:
        node.input[:] = ["wide" if name == "latent" else name for name in node.input]
    onnx.save(decode, tmp_path / "odd" / "decode.onnx")
    pipeline = pipeline_of(tmp_path / "odd", HostMemory())
    with pytest.raises(BackendError, match="the graph has float16 for latent, not float32: export the bundle again"):
        pipeline.cycle(generate=False, decode_first=60, decode_frames=4)


def test_a_provider_that_falls_back_is_refused(copying: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CUDA's libraries are missing ONNX Runtime opens a CPU session and only logs it."""
    import onnxruntime as ort

    given: list[Any] = []

    def quietly_on_the_cpu(path: str, options: Any, providers: list[Any]) -> Any:
        given.extend(providers)
        return SimpleNamespace(get_providers=lambda: [CPU])

    monkeypatch.setattr(ort, "InferenceSession", quietly_on_the_cpu)
    with pytest.raises(BackendError, match=r"CUDAExecutionProvider did not start \(its CUDA or cuDNN libraries"):
        open_session(copying / "decode.onnx", provider=CUDA, threads=1, options=provider_options(CUDA, "decode"))
    assert given == [(CUDA, provider_options(CUDA, "decode"))]


@pytest.mark.parametrize(
    ("provider", "stage", "tf32"),
    [(CPU, "encode", None), (CUDA, "encode", "0"), (CUDA, "denoise", "1"), (CUDA, "decode", "0")],
)
def test_tf32_stays_out_of_the_transforms(provider: str, stage: str, tf32: str | None) -> None:
    assert provider_options(provider, stage).get("use_tf32") == tf32

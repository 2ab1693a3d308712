# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Torch stages -> ONNX graphs of the bundle's contract (opset 18, dimensions `stems`, `frames` and `window`)."""

from __future__ import annotations

import ast
import contextlib
import copy
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim

from anacrusis.engine.networks.stages import DecodeStage, DenoiseStage, EmbedStage, EncodeStage, Networks
from anacrusis.engine.silence import SILENT_FRAMES
from anacrusis.engine.window import Geometry
from anacrusis.export.contract import MAX_FRAMES, MAX_STEMS, OPSET


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage, example inputs, and its names on the wire.

    dynamic: per argument, {axis: Dim}. notes: what the graph says of itself.
    """

    name: str
    module: nn.Module
    example: tuple[Any, ...]
    dynamic: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)


def stage_specs(networks: Networks, geometry: Geometry, compute: torch.dtype = torch.float32) -> list[StageSpec]:
    """The four stages in the order a cycle runs them. Examples have 2 stems and a short stretch of frames.

    networks: float32, as loaded; they stay so. What is traced is `prepared`, except the embedding, which is float32.

    A float32 encode stage takes fewer frames where the rest is silence. A float16 one does not: statistics of what is
    left out would break TensorRT's fusion of norms with what follows them.
    """
    embedding = networks.unet
    networks = prepared(networks, compute)
    unet, codec = networks.unet, networks.codec
    stems, frames = Dim("stems", min=1, max=MAX_STEMS), Dim("frames", min=1, max=MAX_FRAMES)
    label_dim, channels, window = unet.config.label_dim, codec.config.latent_channels, geometry.window_frames
    cond = [torch.zeros(2, block.conv0.out_channels, dtype=compute) for block in unet.blocks().values()]
    cond_names = tuple(f"cond_{i:02d}" for i in range(len(cond)))
    # Distinct tensors: the tracer takes one object in two places for one input.
    latents = [torch.zeros(2, channels, window) for _ in range(4)]
    context, keep = torch.zeros(1, channels, window), torch.ones(1, 1, window)
    short = 3
    frame, tail = geometry.frame_samples, geometry.encode_tail_samples
    shortens = compute == torch.float32
    masked, masked_length = (Dim("window", min=1, max=MAX_FRAMES), short + 2) if shortens else (frames, short)
    return [
        StageSpec(
            "encode",
            EncodeStage(codec, compute, shortens=shortens),
            (torch.zeros(1, frame * short + tail), torch.ones(1, 1, masked_length)),
            ({1: frame * frames + tail}, {2: masked}),
            ("audio", "heard"),
            ("latent",),
            {SILENT_FRAMES: str(codec.encoder.silent_frames)} if shortens else {},
        ),
        StageSpec(
            "embed",
            EmbedStage(embedding, compute),
            (torch.ones(2), torch.zeros(2, label_dim)),
            ({0: stems}, {0: stems}),
            ("sigma", "label"),
            cond_names,
        ),
        StageSpec(
            "denoise",
            DenoiseStage(unet, compute),
            (*latents, context, keep, torch.ones(8), cond),
            (*({0: stems},) * 4, {}, {}, {}, [{0: stems}] * len(cond)),
            ("u", "b", "source", "noise", "context", "keep", "row", *cond_names),
            ("u_next", "b_next"),
        ),
        StageSpec(
            "decode",
            DecodeStage(codec, compute),
            (torch.zeros(2, channels, short), torch.zeros(2, short, *networks.decoder_noise_shape)),
            ({0: stems, 2: frames}, {0: stems, 1: frames}),
            ("latent", "noise"),
            ("audio",),
        ),
    ]


def to_onnx(
    module: nn.Module,
    example: tuple[Any, ...],
    *,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
    dynamic: tuple[Any, ...] | None = None,
) -> ir.Model:
    """Trace one module. Float weights keep their module's names as initializer names."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=dynamic,
            input_names=list(inputs) or None,
            output_names=list(outputs) or None,
            verbose=False,
        )
    assert program is not None
    model: ir.Model = program.model
    return model


def stage_to_onnx(spec: StageSpec) -> ir.Model:
    """Trace one stage of a bundle. Nodes are named after the modules they come from: layer lists show the names."""
    model = to_onnx(spec.module, spec.example, inputs=spec.inputs, outputs=spec.outputs, dynamic=spec.dynamic)
    model.metadata_props.clear()
    model.metadata_props.update(spec.notes)
    _name_frames(model)
    for node in model.graph:
        scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes")
        modules = [scope for scope in ast.literal_eval(scopes)[:-1] if scope] if scopes else []
        if modules:
            node.name = f"{modules[-1]}/{(node.name or node.op_type).removeprefix('node_')}"
    return model


def _name_frames(model: ir.Model) -> None:
    """A dimension that no input has by itself, only a sum over it, goes by the exporter's own name inside: s76."""
    for node in model.graph:
        for value in node.outputs:
            for axis, size in enumerate(value.shape or ()):
                if isinstance(size, ir.SymbolicDim) and size.value is not None:
                    assert value.shape is not None
                    value.shape[axis] = re.sub(r"\bs\d+\b", "frames", size.value)


def prepared(networks: Networks, compute: torch.dtype) -> Networks:
    """A copy as it runs: constants folded in float32, then everything in `compute`. The copied one is left alone.

    A float32 copy shares its weights with the original.
    """
    shared = {} if compute == torch.float16 else {id(p): p for part in _parts(networks) for p in part.parameters()}
    unet, codec = (copy.deepcopy(part, dict(shared)) for part in _parts(networks))
    for part in (unet, codec):
        part.fold()
        part.to(compute)
    return Networks(unet, codec)


def rounded(networks: Networks, stored: torch.dtype) -> Networks:
    """The float32 networks with the weights that a bundle will hold. The same object where that changes nothing."""
    if stored == torch.float32:
        return networks
    unet, codec = (copy.deepcopy(part) for part in _parts(networks))
    with torch.no_grad():
        for part in (unet, codec):
            for tensor in part.parameters():
                tensor.copy_(tensor.to(stored))
    return Networks(unet, codec)


def _parts(networks: Networks) -> tuple[Any, Any]:
    return networks.unet, networks.codec


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter narrates through warnings and three loggers; a user needs none of it."""
    names = ("torch.onnx", "onnxscript", "onnx_ir")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def as_tuple(value: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A module's output as a tuple."""
    return (value,) if isinstance(value, Tensor) else tuple(value)

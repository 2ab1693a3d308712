# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Torch stages -> ONNX graphs of the bundle's contract (opset 18, dimensions `stems` and `frames`)."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim

from anacrusis.engine.networks.stages import DecodeStage, DenoiseStage, EmbedStage, EncodeStage, Networks
from anacrusis.engine.window import Geometry
from anacrusis.export.contract import MAX_FRAMES, MAX_STEMS, OPSET


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage, example inputs, and its names on the wire. dynamic: per argument, {axis: Dim}."""

    name: str
    module: nn.Module
    example: tuple[Any, ...]
    dynamic: tuple[Any, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def stage_specs(networks: Networks, geometry: Geometry, compute: torch.dtype = torch.float32) -> list[StageSpec]:
    """The four stages in the order a cycle runs them. Examples have 2 stems and a short stretch of frames."""
    unet, codec = networks.unet, networks.codec
    stems, frames = Dim("stems", min=1, max=MAX_STEMS), Dim("frames", min=1, max=MAX_FRAMES)
    label_dim, channels, window = unet.config.label_dim, codec.config.latent_channels, geometry.window_frames
    cond = [torch.zeros(2, block.conv0.out_channels) for block in unet.blocks().values()]
    cond_names = tuple(f"cond_{i:02d}" for i in range(len(cond)))
    # Distinct tensors: the tracer takes one object in two places for one input.
    latents = [torch.zeros(2, channels, window) for _ in range(4)]
    context, keep = torch.zeros(1, channels, window), torch.ones(1, 1, window)
    short = 3
    frame, tail = geometry.frame_samples, geometry.encode_tail_samples
    return [
        StageSpec(
            "encode",
            EncodeStage(codec, compute),
            (torch.zeros(1, frame * short + tail), torch.ones(1, 1, short)),
            ({1: frame * frames + tail}, {2: frames}),
            ("audio", "heard"),
            ("latent",),
        ),
        StageSpec(
            "embed",
            EmbedStage(unet, compute),
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
    """Trace one stage of a bundle."""
    return to_onnx(spec.module, spec.example, inputs=spec.inputs, outputs=spec.outputs, dynamic=spec.dynamic)


def half_where_it_counts(networks: Networks) -> None:
    """Make both networks float16 in place; stages keep transforms, sampler state and affine row float32."""
    networks.unet.half()
    networks.codec.half()


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

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle whose networks copy exactly: the ruler that placement is measured with, and the smallest example
of the graph contract for whoever brings another model. No torch.

A latent frame IS its 4,096 samples (latents of 4,096 channels), so encode and decode are reshapes. The
denoised estimate of frame j is the largest value, channel by channel, of the context frames i = j (mod 8)
that were heard: for a non-negative signal of period 8 frames (32,768 samples), as a train of clicks, it is the
signal itself wherever one whole period was heard. So a generated sample is right or wrong by itself, and a
sample placed one off is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from anacrusis.engine.bundle import WEIGHTS, Licence, Manifest, Precision
from anacrusis.engine.sampler import Parametrisation, SamplerConfig
from anacrusis.engine.window import Geometry
from anacrusis.export.contract import OPSET
from anacrusis.export.write import new_bundle_directory, write_manifest

PERIOD_FRAMES = 8
GEOMETRY = Geometry(frame_samples=4096, window_frames=64, encode_tail_samples=1536, decode_taper_samples=1536)
STEMS = ("bass", "drums", "guitar", "piano")

Node = tuple[str, list[str], str, dict[str, Any]]  # operator, inputs, output, attributes


def copying_manifest() -> Manifest:
    """Two-step consistency, so that the sampler's arithmetic is on the path: its last row is D itself."""
    return Manifest(
        name="copying",
        kind="cd",
        parametrisation=Parametrisation("consistency", sigma_data=1.0, sigma_min=1e-4),
        sampler=SamplerConfig("consistency", steps=2, sigma_min=1e-4, sigma_max=80.0, rho=7.0),
        stems=STEMS,
        sample_rate_hz=44100,
        geometry=GEOMETRY,
        latent_channels=GEOMETRY.frame_samples,
        decoder_noise_shape=(),
        trained_masked_frames=(),
        precision=Precision("float32", "float32"),
        licence=Licence("Apache-2.0", "Copies what it hears, 8 frames later: a measuring device, not a model."),
        files={},
        provenance={"made_by": "anacrusis export --copying"},
    )


def write_copying_bundle(out: Path, *, force: bool = False, spoiled_above: float | None = None) -> None:
    """Write the bundle. Raises BundleError where `out` exists.

    spoiled_above: a sample louder than this is decoded to infinity, as a network gone astray would.
    """
    manifest = copying_manifest()
    with new_bundle_directory(out, force=force) as directory:
        for name, model in _models(manifest, spoiled_above).items():
            onnx.checker.check_model(model)
            onnx.save(model, directory / f"{name}.onnx")
        save_file({"none": np.zeros(1, np.float32)}, directory / WEIGHTS)
        write_manifest(directory, manifest)


def _models(manifest: Manifest, spoiled_above: float | None) -> dict[str, onnx.ModelProto]:
    g, channels, labels = manifest.geometry, manifest.latent_channels, len(manifest.stems)
    frame, window, tail = g.frame_samples, g.window_frames, g.encode_tail_samples
    latent: list[Any] = ["stems", channels, window]
    periods = window // PERIOD_FRAMES
    encode = _model(
        "encode",
        {"audio": [1, f"{frame}*frames + {tail}"], "heard": [1, 1, "frames"]},
        {"latent": [1, channels, "frames"]},
        [
            ("Slice", ["audio", "zero", "minus_tail", "one"], "frames_only", {}),
            ("Reshape", ["frames_only", "by_frame"], "rows", {}),
            ("Transpose", ["rows"], "columns", {"perm": [0, 2, 1]}),
            ("Mul", ["columns", "heard"], "latent", {}),
        ],
        {"zero": [0], "minus_tail": [-tail], "one": [1], "by_frame": [1, -1, frame]},
    )
    embed = _model(
        "embed",
        {"sigma": ["stems"], "label": ["stems", labels]},
        {"cond_00": ["stems", labels]},
        [("Identity", ["label"], "cond_00", {})],
        {},
    )
    # v = cb b + cu u + cd D; u' = inject M S + (1 - inject M) v + inject n; b' = newbase u' + (1 - newbase) b
    gathers: list[Node] = [("Gather", ["row", f"i{i}"], f"r{i}", {"axis": 0}) for i in range(8)]
    denoise = _model(
        "denoise",
        {
            **dict.fromkeys(("u", "b", "source", "noise"), latent),
            "context": [1, channels, window],
            "keep": [1, 1, window],
            "row": [8],
            "cond_00": ["stems", labels],
        },
        {"u_next": latent, "b_next": latent},
        [
            *gathers,
            ("Reshape", ["context", "by_period"], "periods", {}),
            ("ReduceMax", ["periods", "period_axis"], "largest", {"keepdims": 1}),
            ("Tile", ["largest", "repeats"], "tiled", {}),
            ("Reshape", ["tiled", "flat"], "estimate", {}),
            # The label's sum is 1 for one stem: it keeps `cond_00` and the batch on the path, exactly.
            ("ReduceSum", ["cond_00", "label_axis"], "unit", {"keepdims": 1}),
            ("Unsqueeze", ["unit", "label_axis"], "unit3", {}),
            ("Mul", ["estimate", "unit3"], "d", {}),
            ("Mul", ["r3", "b"], "vb", {}),
            ("Mul", ["r4", "u"], "vu", {}),
            ("Mul", ["r5", "d"], "vd", {}),
            ("Add", ["vb", "vu"], "vbu", {}),
            ("Add", ["vbu", "vd"], "v", {}),
            ("Mul", ["r6", "keep"], "kept", {}),
            ("Sub", ["unity", "kept"], "made", {}),
            ("Mul", ["kept", "source"], "old", {}),
            ("Mul", ["made", "v"], "new", {}),
            ("Mul", ["r6", "noise"], "injected", {}),
            ("Add", ["old", "new"], "joined", {}),
            ("Add", ["joined", "injected"], "u_next", {}),
            ("Sub", ["unity", "r7"], "oldbase", {}),
            ("Mul", ["r7", "u_next"], "bu", {}),
            ("Mul", ["oldbase", "b"], "bb", {}),
            ("Add", ["bu", "bb"], "b_next", {}),
        ],
        {
            **{f"i{i}": i for i in range(8)},
            "by_period": [1, channels, periods, PERIOD_FRAMES],
            "period_axis": [2],
            "repeats": [1, 1, periods, 1],
            "flat": [1, channels, window],
            "label_axis": [1],
            "unity": 1.0,
        },
    )
    spoil: list[Node] = [
        ("LessOrEqual", ["samples", "limit"], "bearable", {}),
        ("Cast", ["bearable"], "divisor", {"to": TensorProto.FLOAT}),
        ("Div", ["samples", "divisor"], "played", {}),
    ]
    decode = _model(
        "decode",
        {"latent": ["stems", channels, "frames"]},
        {"audio": ["stems", f"{frame}*frames + {tail}"]},
        [
            ("Transpose", ["latent"], "rows", {"perm": [0, 2, 1]}),
            ("Reshape", ["rows", "flat"], "samples", {}),
            *([] if spoiled_above is None else spoil),
            ("Pad", ["samples" if spoiled_above is None else "played", "pads"], "audio", {}),
        ],
        {"flat": [0, -1], "pads": [0, 0, 0, tail], **({} if spoiled_above is None else {"limit": spoiled_above})},
    )
    return {"encode": encode, "embed": embed, "denoise": denoise, "decode": decode}


def _model(
    name: str,
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
    nodes: list[Node],
    constants: dict[str, Any],
) -> onnx.ModelProto:
    def values(described: dict[str, list[Any]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in described.items()]

    initializers = []
    for key, value in constants.items():
        kind = np.float32 if isinstance(value, float) else np.int64
        initializers.append(onnx.numpy_helper.from_array(np.asarray(value, kind), key))
    graph = helper.make_graph(
        [helper.make_node(op, ins, [out], **attributes) for op, ins, out, attributes in nodes],
        name,
        values(inputs),
        values(outputs),
        initializers,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10, producer_name="anacrusis"
    )

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle of the starter's ear and voice with nobody between them: it hears, thinks of nothing, and plays silence.

    python -m anacrusis.train.codec.bundle --out out/mute

encode is the filterbank, decode the note-roll codec, denoise gives D = 0, the latent of silence. What a cycle costs
beside the network that is still to be trained, and the proof that both ends keep the contract of `engine/README.md`:
149 channels in, 64 out, no encoder tail, a taper as long as the longest note.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim

from anacrusis.engine.bundle import Licence, Manifest, Precision
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.networks.filterbank import CHANNELS
from anacrusis.engine.networks.filterbank_graph import ComputedFilterbank
from anacrusis.engine.networks.stages import DenoiseStage
from anacrusis.engine.sampler import Parametrisation, SamplerConfig
from anacrusis.engine.window import Geometry
from anacrusis.export.contract import MAX_FRAMES, MAX_STEMS
from anacrusis.export.graphs import StageSpec, stage_to_onnx
from anacrusis.export.write import Weights, new_bundle_directory, write_graphs, write_manifest
from anacrusis.train.codec.codec import DecodeModule, RollCodec
from anacrusis.train.paths import ROLL_WEIGHTS
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS

LICENCE = Licence(
    "Apache-2.0 AND MIT",
    "Notes of the FluidR3 GM soundfont (MIT, Frank Wen and others); no trained network: it plays silence.",
)


class MuteEmbed(nn.Module):
    """sigma [stems], label [stems, L] -> one tensor that changes nothing, [stems, 1]."""

    def forward(self, sigma: Tensor, label: Tensor) -> Tensor:
        return 0 * sigma[:, None] + 0 * label.sum(1, keepdim=True)


class MuteDenoise(DenoiseStage):
    """The row's arithmetic with D = 0, and no network. `cond` and `context` stay on the path, times nothing."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def estimate(self, u: Tensor, context: Tensor, row: Tensor, cond: list[Tensor]) -> Tensor:
        """Zeros [stems, 1, frames]."""
        return 0 * (cond[0][:, :, None] + context.sum(1, keepdim=True) + row[:3].sum())


def ends(decoder: DecodeModule, channels: int, geometry: Geometry) -> tuple[StageSpec, StageSpec]:
    """encode and decode, as the contract names them."""
    stems, frames = Dim("stems", min=1, max=MAX_STEMS), Dim("frames", min=1, max=MAX_FRAMES)
    short, frame = 3, geometry.frame_samples
    least = decoder.least_frames
    encode = StageSpec(
        "encode",
        ComputedFilterbank(),
        (torch.zeros(1, frame * short), torch.ones(1, 1, short)),
        ({1: frame * frames}, {2: frames}),
        ("audio", "heard"),
        ("latent",),
    )
    decode = StageSpec(
        "decode",
        decoder,
        (torch.zeros(2, channels, least + 2),),
        ({0: stems, 2: Dim("frames", min=least, max=MAX_FRAMES)},),
        ("latent",),
        ("audio",),
    )
    return encode, decode


def state_of_ends(encode: StageSpec, decode: StageSpec) -> dict[str, Tensor]:
    """Their weights. The codec's own encoder is in no graph: notes become latents in training only."""
    codec = {
        n: t for n, t in decode.module.state_dict().items() if n not in ("autoencoder.code.weight", "autoencoder.rms")
    }
    parts = (("filterbank", encode.module.state_dict()), ("codec", codec))
    return {f"{part}.{name}": tensor for part, state in parts for name, tensor in state.items()}


def stored(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.generic]]:
    """Weights as they are kept: in float16 where that loses nothing, as is the case for all that was shipped in it."""
    arrays = {}
    for name, tensor in tensors.items():
        narrow = tensor.to(torch.float16) if tensor.dtype == torch.float32 else tensor
        arrays[name] = (narrow if torch.equal(narrow.to(tensor.dtype), tensor) else tensor).numpy()
    return arrays


def write_mute_bundle(codec: RollCodec, out: Path, *, force: bool = False) -> Manifest:
    """Raises BundleError where `out` exists. Traces four graphs: seconds."""
    geometry, channels = codec.geometry(), codec.channels
    stems = Dim("stems", min=1, max=MAX_STEMS)
    window = geometry.window_frames
    encode, decode = ends(codec.decoder, channels, geometry)
    embed = StageSpec(
        "embed",
        MuteEmbed(),
        (torch.ones(2), torch.zeros(2, len(STEMS))),
        ({0: stems}, {0: stems}),
        ("sigma", "label"),
        ("cond_00",),
    )
    latents = [torch.zeros(2, channels, window) for _ in range(4)]
    denoise = StageSpec(
        "denoise",
        MuteDenoise(),
        (*latents, torch.zeros(1, CHANNELS, window), torch.ones(1, 1, window), torch.ones(8), [torch.zeros(2, 1)]),
        (*({0: stems},) * 4, {}, {}, {}, [{0: stems}]),
        ("u", "b", "source", "noise", "context", "keep", "row", "cond_00"),
        ("u_next", "b_next"),
    )
    manifest = Manifest(
        name="mute",
        kind="cd",
        parametrisation=Parametrisation("consistency", sigma_data=1.0, sigma_min=1e-4),
        sampler=SamplerConfig("consistency", steps=2, sigma_min=1e-4, sigma_max=80.0, rho=7.0),
        stems=STEMS,
        sample_rate_hz=SAMPLE_RATE_HZ,
        geometry=geometry,
        latent_channels=channels,
        context_channels=CHANNELS,
        decoder_noise_shape=(),
        trained_masked_frames=(),
        precision=Precision("float16", "float32"),
        licence=LICENCE,
        files={},
        provenance={
            "codec": codec.about,
            "tools": {package: version(package) for package in ("anacrusis", "torch", "onnx", "onnxscript")},
        },
    )
    manifest.validate()
    with new_bundle_directory(out, force=force) as directory:
        models = {spec.name: stage_to_onnx(spec) for spec in (encode, embed, denoise, decode)}
        write_graphs(directory, models, Weights(stored(state_of_ends(encode, decode))))
        write_manifest(directory, manifest)
    return manifest


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m anacrusis.train.codec.bundle", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="directory to make")
    parser.add_argument("--codec", type=Path, default=ROLL_WEIGHTS, help="weights of `fit`")
    parser.add_argument("--soundfont", type=Path, help="FluidR3_GM.sf2 (default: the usual places)")
    parser.add_argument("--force", action="store_true", help="replace a bundle that is there")
    options = parser.parse_args(arguments)
    try:
        codec = RollCodec.load(options.codec, options.soundfont)
        manifest = write_mute_bundle(codec, options.out, force=options.force)
    except AnacrusisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.out}: {manifest.latent_channels} channels, taper {manifest.geometry.decode_taper_samples}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

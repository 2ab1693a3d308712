# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Parity of single networks: blocks, the raw U-Nets with their taps, and the checkpoint readers.

These are probes traced with their weights as inputs; the graphs of the bundles are what `parity_sampling.py`,
`parity_codec.py` and `parity_cycles.py` run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from anacrusis.benchmarks.parity_compare import Recorder
from anacrusis.benchmarks.parity_golden import Array, Golden
from anacrusis.benchmarks.parity_runners import KIND_OF, Runner, Workbench

if TYPE_CHECKING:
    from torch import Tensor, nn

    from anacrusis.export.checkpoint import Network

BLOCKS, CHECKPOINTS = "blocks.npz", "ckpt_forward.npz"
RAW = {tag: f"unet_{tag}_raw.npz" for tag in KIND_OF}
LIGHTNING = {tag: f"{tag}_lightning.ckpt" for tag in KIND_OF}

# Which network of which checkpoint an array is the output of.
NETWORK_OUTPUTS: dict[str, tuple[str, Network]] = {
    "diff_out": ("diff", "student"),
    "cd_net_out": ("cd", "student"),
    "cd_target_out": ("cd", "ema"),
    "cd_teacher_out": ("cd", "teacher"),
}


def check_blocks(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    """Every group x, emb, sd/... -> out: a U-Net block, or a residual block of the codec, by its names."""
    arrays = golden.arrays(BLOCKS)
    for group in arrays.groups("out"):
        x, emb = arrays[f"{group}/x"], arrays[f"{group}/emb"]
        prefix = f"{group}/sd/"
        state = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
        module = _block(state, x, arrays[f"{group}/out"])
        (got,) = runner.compile(f"block.{group}", module, x, emb)(x, emb)
        recorder.check("block", arrays, f"{group}/out", got)


def _block(state: dict[str, Array], x: Array, out: Array) -> nn.Module:
    import torch

    from anacrusis.benchmarks.parity_modules import BlockProbe
    from anacrusis.engine.networks import codec_blocks, music2latent, songunet

    tensors: dict[str, Tensor] = {name: torch.from_numpy(array.astype(np.float32)) for name, array in state.items()}
    if "norm0.weight" in tensors:  # only the U-Net numbers its norms from 0
        block = songunet.Block(
            tensors["norm0.weight"].shape[0],
            tensors["conv0.weight"].shape[0],
            tensors["affine.weight"].shape[1],
            out.shape[-1],
            up=out.shape[-1] > x.shape[-1],
            down=out.shape[-1] < x.shape[-1],
            attention="qkv.weight" in tensors,
        )
        block.load_state_dict(songunet.convert_state(tensors))
        return BlockProbe(block)
    residual = codec_blocks.ResBlock(
        tensors["norm1.weight"].shape[0],
        tensors["norm2.weight"].shape[0],
        cond_channels=tensors["proj_emb.weight"].shape[1] if "proj_emb.weight" in tensors else 0,
        heads=music2latent.Music2LatentConfig().heads if "att.mha.in_proj_weight" in tensors else 0,
        dims=tensors["conv1.weight"].ndim - 2,
    )
    residual.load_state_dict(tensors)
    return residual


def check_networks(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    """The raw output F of each U-Net, and every tap."""
    for tag, file in RAW.items():
        arrays, unet = golden.arrays(file), bench.networks(tag).unet
        found = ((name, _tap(unet, name.removeprefix("tap/"))) for name in arrays if name.startswith("tap/"))
        names = {name: tap for name, tap in found if tap is not None}
        feeds = [arrays[name] for name in ("x", "noise_labels", "class_labels", "mixture")]
        got, *taps = _tapped(runner, f"unet.{'.'.join(map(str, _sizes(unet)))}", unet, tuple(names.values()), feeds)
        recorder.check("network output", arrays, "out", got)
        for name, tap in zip(names, taps, strict=True):
            recorder.check("network tap", arrays, name, _excerpt(tap))


def _sizes(unet: Any) -> tuple[int, ...]:
    return unet.config.model_channels, unet.config.emb_channels, unet.config.label_dim


def _tap(unet: Any, name: str) -> str | None:
    """Where our U-Net shows what the original module of that name gives; None where it does not."""
    return name if name in dict(unet.named_modules()) else None


def _tapped(runner: Runner, key: str, module: nn.Module, taps: tuple[str, ...], feeds: list[Array]) -> list[Array]:
    from anacrusis.benchmarks.parity_modules import Tapped

    return list(runner.compile(key, Tapped(module, taps), *feeds)(*feeds))


def _excerpt(tap: Array) -> Array:
    """README: "batch item 0 only; spatial size 64 is subsampled [::4, ::4], 32 is subsampled [::2, ::2]"."""
    if tap.ndim < 4:
        return tap
    stride = max(1, tap.shape[-1] // 16)
    return tap[:1, :, ::stride, ::stride]


def check_checkpoints(golden: Golden, bench: Workbench, runner: Runner, recorder: Recorder) -> None:
    """The readers find the student by themselves, and the EMA and the teacher only when asked for them.

    Each of those must differ from the student: a reader that ignored the question would pass otherwise.
    """
    from anacrusis.export.load import load_unet

    arrays = golden.arrays(CHECKPOINTS)
    feeds = [arrays[name] for name in ("x", "noise_labels", "class_labels", "mixture")]
    outputs: dict[tuple[str, str], Array] = {}
    for name, (tag, network) in NETWORK_OUTPUTS.items():
        kind, unet, _ = load_unet(golden.file(LIGHTNING[tag]), "auto", network)
        recorder.record("exact", f"{LIGHTNING[tag]}:{network}", kind, KIND_OF[tag])
        key = f"ckpt.{'.'.join(map(str, _sizes(unet)))}"
        (outputs[tag, network],) = runner.compile(key, unet, *feeds)(*feeds)
        recorder.check("network output", arrays, name, outputs[tag, network])
        if network != "student":
            recorder.check("other network", arrays, name, outputs[tag, "student"])

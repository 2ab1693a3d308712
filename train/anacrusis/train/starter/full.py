# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A full-size network that was trained here, as a checkpoint in the released layout: what `anacrusis export` reads.

    python -m anacrusis.train.starter.full --checkpoint OUT/checkpoint.pt --out OUT/last.ckpt
    anacrusis export --model OUT/last.ckpt --codec music2latent.pt --out BUNDLE

Names are the original's (`model.unet.`, of a distilled one `net.model.unet.`), rows of qkv interleaved as there. The
released samplers and sigma_data = 1 are what export then says of it: train with levels.sigma_data = 1.

Not covered: optimisers and averages (only the one asked for goes out). Exit 0 done, 2 bad input.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.networks.songunet import SongUNetConfig
from anacrusis.train.song import CorpusError
from anacrusis.train.starter.networks import Accompanist
from anacrusis.train.starter.trainer import load_trained

PREFIXES: Final[Mapping[str, str]] = {"diffusion": "model.unet.", "distillation": "net.model.unet."}
SIGMA_DATA: Final = 1.0


def as_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors -> the original's: what `songunet.convert_state` turns round. {0, 1, 2} C + c -> 3 c + {0, 1, 2}."""
    out = {}
    for name, tensor in state.items():
        if ".qkv." in f".{name}":
            tensor = tensor.reshape(3, -1, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)
        out[name] = tensor.contiguous()
    return out


def write_released(checkpoint: Path, out: Path, average: int | None = 0) -> dict[str, object]:
    """Raises CorpusError for a checkpoint of another network, or one that the export would misread."""
    network, config, about = load_trained(checkpoint, average)
    if not isinstance(network, Accompanist):
        raise CorpusError(f"{checkpoint} is a starter; make its bundle with python -m anacrusis.train.starter.bundle")
    if config.levels.sigma_data != SIGMA_DATA:
        raise CorpusError(f"the released layout means sigma_data 1, this was trained with {config.levels.sigma_data}")
    sizes = SongUNetConfig(config.unet.model_channels, config.unet.label_dim)
    if config.unet != sizes:
        raise CorpusError(f"the released layout knows no other sizes than {sizes}, this has {config.unet}")
    prefix = PREFIXES[config.method]
    state = {prefix + name: tensor for name, tensor in as_released(network.unet.state_dict()).items()}
    part = out.with_name(out.name + ".part")
    try:
        torch.save({"state_dict": state, "global_step": about["step"]}, part)
        os.replace(part, out)
    except (OSError, RuntimeError) as error:
        raise CorpusError(f"cannot write {out}: {error}") from None
    return {"out": str(out), "tensors": len(state), "step": about["step"], "kind": config.method}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m anacrusis.train.starter.full", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="of anacrusis.train.diffusion or .distill")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--average", type=int, default=0, help="which of the weights' averages (default 0)")
    options = parser.parse_args(arguments)
    try:
        report = write_released(options.checkpoint, options.out, options.average)
    except AnacrusisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the released models -> our networks, strictly: every name, every shape, nothing left over."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anacrusis.engine.errors import CheckpointError, MissingExtraError
from anacrusis.engine.networks import music2latent, songunet
from anacrusis.export.checkpoint import Kind, Network, read_tensors, require_names, unet_tensors

M = TypeVar("M", bound=nn.Module)

MUSIC2LATENT = "music2latent"  # --codec music2latent: the weights of the installed package


def load_unet(
    path: Path, kind: Kind | Literal["auto"] = "auto", network: Network = "student"
) -> tuple[Kind, songunet.SongUNet, dict[str, str]]:
    """(kind, network, the file's metadata). Raises CheckpointError naming the first key that does not fit."""
    checkpoint = read_tensors(path)
    found, tensors = unet_tensors(checkpoint, kind, network)
    shapes = _shapes(tensors)
    config = _infer(songunet.infer_config, shapes, path, "the accompaniment U-Net")
    if config.model_channels % 4 or config.model_channels < 4 or config.label_dim < 1:
        raise CheckpointError(f"{path.name}: {config.model_channels} channels: another architecture")
    unet = _build(lambda: songunet.SongUNet(config), path)
    expected = {name: tuple(t.shape) for name, t in unet.state_dict().items()}
    filters = {name for name in tensors if name.endswith(".resample_filter")}
    require_names(tensors, expected, f"{path.name} ({found} U-Net)", optional=filters)
    _load(unet, songunet.convert_state(_tensors(tensors)))
    return found, unet.eval(), checkpoint.metadata


def load_codec(source: str | Path) -> tuple[music2latent.Music2Latent, Path, dict[str, str]]:
    """(codec, file it came from, the file's metadata). `source` is a file, or "music2latent" for the package's."""
    path = find_music2latent() if str(source) == MUSIC2LATENT else Path(source)
    checkpoint = read_tensors(path)
    config = _infer(music2latent.infer_config, _shapes(checkpoint.tensors), path, "Music2Latent")
    codec = _build(lambda: music2latent.Music2Latent(config), path)
    expected = {name: tuple(t.shape) for name, t in codec.state_dict().items()}
    require_names(checkpoint.tensors, expected, f"{path.name} (Music2Latent)", optional=music2latent.DEAD_NAMES)
    live = {n: a for n, a in checkpoint.tensors.items() if n not in music2latent.DEAD_NAMES}
    _load(codec, _tensors(live))
    return codec.eval(), path, checkpoint.metadata


def find_music2latent() -> Path:
    """The weights file of the installed `music2latent` package, fetched by it if it was not yet.

    Raises MissingExtraError without the package, CheckpointError where the file cannot be downloaded.
    """
    spec = importlib.util.find_spec("music2latent")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            "--codec music2latent needs the package: pip install 'anacrusis[music2latent]' "
            "(its weights are CC BY-NC 4.0), or give the path of music2latent.pt"
        )
    path = Path(next(iter(spec.submodule_search_locations))) / "models" / "music2latent.pt"
    if not path.is_file():
        try:
            importlib.import_module("music2latent.utils").download_model()
        except Exception as error:  # whatever the package, its hub client or the network raise
            raise CheckpointError(_cannot_download(path, " ".join(f"{type(error).__name__} {error}".split()))) from None
    if not path.is_file():
        raise CheckpointError(_cannot_download(path, "the package left no file"))
    return path


def _cannot_download(path: Path, why: str) -> str:
    return (
        f"Music2Latent's weights could not be downloaded ({why[:160]}); fetch music2latent.pt from its publisher "
        f"(Hugging Face, SonyCSLParis/music2latent) and put it at {path}, or give its path with --codec"
    )


def _infer(infer: Any, shapes: Mapping[str, tuple[int, ...]], path: Path, what: str) -> Any:
    try:
        return infer(shapes)
    except KeyError as error:
        raise CheckpointError(f"{path.name}: {error.args[0]} is missing, so it is not {what}; give its file") from None
    except (IndexError, ZeroDivisionError):
        raise CheckpointError(
            f"{path.name}: its tensors have too few axes to be {what}: another architecture"
        ) from None


def _build(build: Callable[[], M], path: Path) -> M:
    """Without memory: sizes come from the file, and one may be absurd."""
    try:
        with torch.device("meta"):
            return build()
    except Exception as error:  # ValueError, AssertionError, RuntimeError: torch has no one way to say it
        reason = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{path.name}: its sizes make no network ({reason}): another architecture") from None


def _shapes(tensors: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(array.shape) for name, array in tensors.items()}


def _tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """float32 copies: a mapped file may be unmapped or change; the networks must not notice."""
    return {name: torch.from_numpy(np.array(array, np.float32)) for name, array in arrays.items()}


def _load(module: nn.Module, state: dict[str, Tensor]) -> None:
    module.load_state_dict(state, assign=True)

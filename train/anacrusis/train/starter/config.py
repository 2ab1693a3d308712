# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a training run is: frozen dataclasses, read from TOML or JSON. An unknown key is an error.

    [network]
    width = 224
    [drawing]
    late_stem = 0.1

`kind = "songunet"` trains the released models' U-Net instead, of the sizes under [unet] (`configs/full-size.toml`).
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from anacrusis.engine.networks.songunet import SongUNetConfig
from anacrusis.engine.networks.starter import StarterConfig
from anacrusis.train.song import CorpusError
from anacrusis.train.starter.distil import Distillation
from anacrusis.train.starter.losses import Levels
from anacrusis.train.starter.windows import Drawing

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Optimiser:
    """name: muon (matrices by Muon, the rest by AdamW) or adamw. rate: of AdamW; matrix_rate: of Muon.

    The rate warms up in warmup_steps, stays, and falls in a line over the last falling_share of the minutes: a run that
    is stopped before the fall can be given more minutes. clip: of the gradient's norm.
    """

    name: str = "muon"
    rate: float = 8e-4
    matrix_rate: float = 2.5e-3
    weight_decay: float = 0.01
    warmup_steps: int = 300
    falling_share: float = 0.3
    clip: float = 1.0

    def validate(self) -> None:
        """Raise CorpusError where a value cannot be."""
        if self.name not in ("muon", "adamw"):
            raise CorpusError(f"unknown optimiser {self.name!r}; this version knows muon and adamw")
        if (
            min(self.rate, self.matrix_rate, self.clip) <= 0
            or not 0 <= self.falling_share <= 1
            or self.warmup_steps < 0
        ):
            raise CorpusError(f"rates and clip must be above 0, falling_share 0 to 1: {self}")

    def share(self, step: int, progress: float) -> float:
        """Of the rate, at a step (from 0) and a share of the minutes."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        fall = min(1.0, (1.0 - progress) / self.falling_share) if self.falling_share else 1.0
        return warm * max(0.01, fall)


@dataclass(frozen=True, slots=True)
class Training:
    """Everything but where the pieces and the results are. batch: windows a step and process.

    averages: relative widths of the weights' power-function averages (Karras et al. 2024, section 3); the first is the
    one that is validated and sampled. bfloat16: of matrix products in training. stem_weights: of the stems' losses;
    drums' latents have a quarter of the piano's power, and would count as little. event_weight, square_weight: of the
    two losses of a network with rows. kind: starter, of which `network` has the sizes, or songunet, of which `unet` has
    them. method: diffusion, or distillation of a network that was trained by it.
    """

    seed: int = 1
    batch: int = 32
    minutes: float = 150.0
    averages: tuple[float, ...] = (0.1, 0.05)
    bfloat16: bool = True
    event_weight: float = 0.3
    square_weight: float = 0.5
    stem_weights: tuple[float, ...] = (0.95, 1.6, 0.9, 0.55)
    validation_s: float = 420.0
    validation_windows: int = 128
    checkpoint_s: float = 180.0
    sample_s: float = 900.0
    kind: str = "starter"
    method: str = "diffusion"
    network: StarterConfig = field(default_factory=StarterConfig)
    unet: SongUNetConfig = field(default_factory=lambda: SongUNetConfig(model_channels=256))
    drawing: Drawing = field(default_factory=Drawing)
    levels: Levels = field(default_factory=Levels)
    optimiser: Optimiser = field(default_factory=Optimiser)
    distillation: Distillation = field(default_factory=Distillation)

    def validate(self) -> None:
        """Raise CorpusError where a value cannot be."""
        if self.kind not in ("starter", "songunet"):
            raise CorpusError(f"unknown network kind {self.kind!r}; this version trains 'starter' and 'songunet'")
        if min(self.batch, self.validation_windows) < 1 or not self.minutes > 0:
            raise CorpusError("batch, validation_windows and minutes must be above 0")
        if not self.averages or not all(0 < a < 0.28 for a in self.averages):
            raise CorpusError("averages must be 0 to 0.28, one at least")
        if len(self.stem_weights) != self.label_dim or not all(w > 0 for w in self.stem_weights):
            raise CorpusError(f"stem_weights must be {self.label_dim} numbers above 0")
        if self.drawing.window_frames != self.window_frames:
            raise CorpusError("drawing.window_frames and the network's window differ; make them one")
        if self.unet.model_channels < 4 or self.unet.model_channels % 4 or self.unet.num_blocks < 1:
            raise CorpusError(f"a U-Net needs a multiple of 4 model_channels and a block: {self.unet}")
        if self.kind == "songunet" and self.drawing.gain > 0:
            raise CorpusError("drawing.gain is of filterbank features; Music2Latent's latents have none: set it to 0")
        if not (self.levels.deviation > 0 and self.levels.sigma_data > 0):
            raise CorpusError(f"levels need a deviation and a sigma_data above 0: {self.levels}")
        self.drawing.validate()
        self.optimiser.validate()
        if self.method not in ("diffusion", "distillation"):
            raise CorpusError(f"unknown method {self.method!r}; this version knows diffusion and distillation")
        try:
            self.network.validate()
            self.distillation.validate()
        except ValueError as error:
            raise CorpusError(str(error)) from None

    @property
    def label_dim(self) -> int:
        return self.unet.label_dim if self.kind == "songunet" else self.network.label_dim

    @property
    def window_frames(self) -> int:
        return self.unet.resolution if self.kind == "songunet" else self.network.window_frames

    @property
    def rows(self) -> int:
        """Of the note roll that the latents are a code of; 0 for latents of audio."""
        return 0 if self.kind == "songunet" else self.network.rows

    def as_dict(self) -> dict[str, Any]:
        """As it may be read again."""
        return dataclasses.asdict(self)


_SMOKE: Final = Training(
    batch=8,
    minutes=10.0,
    network=StarterConfig(width=32, blocks=2, heads=2, conditioning=16, noise_bands=8),
    optimiser=Optimiser(rate=3e-3, warmup_steps=10, falling_share=0.0),
    validation_s=1e9,
    sample_s=1e9,
)
PRESETS: Final[Mapping[str, Training]] = {
    "starter": Training(),
    # A second stage, nearer to a live cycle: who is asked to play plays, though it rested until now; and one window in
    # ten hears nobody, so that guidance has something to compare with.
    "starter-live": Training(
        minutes=110.0,
        drawing=Drawing(whole=0.2, redraw_rest=0.95, late_stem=0.3, other_past=0.06, nobody=0.1),
    ),
    "distil": Training(
        minutes=50.0,
        method="distillation",
        optimiser=Optimiser(rate=3e-4, matrix_rate=8e-4, warmup_steps=100),
    ),
    "smoke": _SMOKE,
    "smoke-distil": dataclasses.replace(
        _SMOKE, method="distillation", distillation=Distillation(scales=5, most_steps=3)
    ),
}


def from_dict(raw: Mapping[str, Any], base: Training | None = None, where: str = "config") -> Training:
    """`base` (the starter's preset) with what raw says. Raises CorpusError for an unknown key, a wrong type or
    value."""
    config = _replaced(base or PRESETS["starter"], raw, where)
    config.validate()
    return config


def read(path: Path) -> Training:
    """From a .toml or .json file; `preset = "smoke"` at its top starts from that one. Raises CorpusError."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot read {path}: {error}") from None
    if not isinstance(raw, dict):
        raise CorpusError(f"{path} is no table of settings")
    return from_dict({k: v for k, v in raw.items() if k != "preset"}, preset(raw.get("preset", "starter")), str(path))


def preset(name: str) -> Training:
    """Raises CorpusError for an unknown one."""
    if name not in PRESETS:
        raise CorpusError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def _replaced(base: T, raw: Mapping[str, Any], where: str) -> T:
    hints = typing.get_type_hints(type(base))
    unknown = sorted(set(raw) - set(hints))
    if unknown:
        raise CorpusError(f"{where} has the unknown key {unknown[0]!r}; known are {', '.join(hints)}")
    values: dict[str, Any] = {}
    for name, value in raw.items():
        old = getattr(base, name)
        if dataclasses.is_dataclass(old) and not isinstance(old, type):
            if not isinstance(value, Mapping):
                raise CorpusError(f"{where}.{name} must be a table")
            values[name] = _replaced(old, value, f"{where}.{name}")
        elif isinstance(old, tuple) and isinstance(value, list | tuple):
            values[name] = tuple((type(old[0]) if old else float)(x) for x in value)
        elif isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
            values[name] = float(value)
        elif type(value) is type(old):
            values[name] = value
        else:
            raise CorpusError(f"{where}.{name} is {value!r}; it must be of the kind of {old!r}")
    return dataclasses.replace(base, **values)  # type: ignore[type-var]

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The starter's network as graphs of the bundle's contract, and the check that they compute what it does.

Not covered: the ear and the voice (`codec/bundle.py`), what else is in a bundle (`bundle.py`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim

from anacrusis.engine.backends.onnxruntime import open_session
from anacrusis.engine.errors import BundleError
from anacrusis.engine.networks.filterbank import Filterbank
from anacrusis.engine.networks.pulse_graph import ComputedPulse
from anacrusis.engine.networks.starter import Starter, StarterDenoise, StarterEmbed
from anacrusis.engine.sampler import ROW_FIELDS
from anacrusis.export.contract import MAX_STEMS
from anacrusis.export.graphs import StageSpec
from anacrusis.export.verify import snr_db
from anacrusis.train.starter.guidance import Guided, GuidedDenoise, GuidedEmbed

# Of the same float32 sums in another order. The ear's sinusoids may be rounded the other way; the voice has hard
# gates: a sum that falls on the other side of one is a note.
LEAST_SNR_DB: Final = {"encode": 60.0, "embed": 80.0, "denoise": 80.0, "decode": 20.0}
CHECKED_STEMS: Final = (1, 2, 4)


def embed_stage(who: Starter | Guided) -> StarterEmbed:
    """What is traced."""
    return GuidedEmbed(who) if isinstance(who, Guided) else StarterEmbed(who)


def denoise_stage(who: Starter | Guided) -> nn.Module:
    """What is traced: the stage, its pulse's waves made in the graph."""
    stage = GuidedDenoise(who) if isinstance(who, Guided) else StarterDenoise(who)
    return stage if stage.network.pulse is None else ComputedPulse(stage)


def middle(who: Starter | Guided) -> tuple[StageSpec, StageSpec]:
    """embed and denoise, as the contract names them."""
    network = who.network if isinstance(who, Guided) else who
    stems, config = Dim("stems", min=1, max=MAX_STEMS), network.config
    cond = who.conditioning(torch.zeros(2), torch.zeros(2, config.label_dim))
    names = tuple(f"cond_{i:02d}" for i in range(len(cond)))
    window = config.window_frames
    latents = [torch.zeros(2, config.latent_channels, window) for _ in range(4)]
    embed = StageSpec(
        "embed",
        embed_stage(who),
        (torch.ones(2), torch.zeros(2, config.label_dim)),
        ({0: stems}, {0: stems}),
        ("sigma", "label"),
        names,
    )
    denoise = StageSpec(
        "denoise",
        denoise_stage(who),
        (
            *latents,
            torch.zeros(1, config.context_channels, window),
            torch.ones(1, 1, window),
            torch.ones(len(ROW_FIELDS)),
            [c.detach().clone() for c in cond],
        ),
        (*({0: stems},) * 4, {}, {}, {}, [{0: stems}] * len(cond)),
        ("u", "b", "source", "noise", "context", "keep", "row", *names),
        ("u_next", "b_next"),
    )
    return embed, denoise


def as_traced(network: Starter, models: Iterable[ir.Model]) -> dict[str, Tensor]:
    """Its weights in the shape in which the graphs hold them, so that each is stored once.

    The tracer transposes most matrices that tokens are multiplied with, and looks distances up in attention's biases.
    What no graph holds is left out.
    """
    held = {
        _content(value.const_value.numpy())
        for model in models
        for value in model.graph.initializers.values()
        if value.const_value is not None and value.const_value.dtype.is_floating_point()
    }
    forms = {}
    for name, tensor in network.state_dict().items():
        forms[f"starter.{name}"] = tensor
        if tensor.ndim == 2:
            forms[f"starter.{name}.transposed"] = tensor.T
    for name, module in network.named_modules():
        bias, distance = getattr(module, "bias", None), getattr(module, "distance", None)
        if isinstance(bias, Tensor) and isinstance(distance, Tensor):
            forms[f"starter.{name}.bias.by_place"] = bias[:, distance]
    stage = denoise_stage(network)
    if isinstance(stage, ComputedPulse):
        forms["starter.pulse.angles"] = stage.angles
    return {name: tensor.contiguous() for name, tensor in forms.items() if _content(tensor.numpy()) in held}


def _content(values: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()


def verified(directory: Path, specs: Sequence[StageSpec], latents: Tensor, seed: int = 0) -> dict[str, Any]:
    """The written graphs through ONNX Runtime against torch, in one thread: a manifest's `verification`.

    latents: [4, C, frames] to decode, of notes. Raises BundleError where a stage is further off than rounding explains.
    """
    import onnxruntime

    ear, results = Filterbank().eval(), dict[str, Any]()  # the graph's sinusoids are made in the graph
    for spec in specs:
        session = open_session(directory / f"{spec.name}.onnx", provider="CPUExecutionProvider", threads=1)
        snr, worst = math.inf, 0.0
        for given in _cases(spec, latents, torch.Generator().manual_seed(seed)):
            with torch.inference_mode():
                made = ear(*given) if spec.name == "encode" else spec.module(*given)
            wanted = made if isinstance(made, tuple) else (made,)
            flat = [t for value in given for t in (value if isinstance(value, list) else [value])]
            feeds = {name: t.numpy() for name, t in zip(spec.inputs, flat, strict=True)}
            for want, got in zip(wanted, session.run(None, feeds), strict=True):
                snr = min(snr, snr_db(want.numpy(), got))
                worst = max(worst, float(np.abs(want.numpy() - got).max()))
        results[spec.name] = {"max_abs_error": worst, "snr_db": snr if math.isfinite(snr) else None}
        if not snr >= LEAST_SNR_DB[spec.name]:
            raise BundleError(
                f"the {spec.name} graph is {snr:.1f} dB from torch (at least {LEAST_SNR_DB[spec.name]:.0f} wanted): "
                "the export is wrong; please report it with your versions"
            )
    return {
        "onnxruntime": onnxruntime.__version__,
        "inputs": f"random, seed {seed}; notes to decode",
        "stages": results,
    }


def _cases(spec: StageSpec, latents: Tensor, generator: torch.Generator) -> Iterator[tuple[Any, ...]]:
    """Inputs of a stage, for one to four stems."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    labels = torch.eye(len(latents))
    if spec.name == "encode":
        heard = (torch.arange(64) < 50).float()[None, None]
        yield 0.1 * normal(1, spec.example[0].shape[1] // spec.example[1].shape[2] * 64), heard
    for stems in CHECKED_STEMS if spec.name != "encode" else ():
        if spec.name == "decode":
            yield (latents[:stems].contiguous(),)
        elif spec.name == "embed":
            yield torch.exp(2 * normal(stems)), labels[:stems].contiguous()
        else:
            _, channels, window = spec.example[0].shape
            keep = (torch.arange(window) < window * 3 // 4).float()[None, None]
            context = torch.rand(spec.example[4].shape, generator=generator)
            context[:, -1] = 1.0
            row = torch.tensor([0.5, 0.3, 0.7, 0.2, -0.4, 1.1, 1.0, 0.0])
            cond = _conditions(spec.module, torch.exp(2 * normal(stems)), labels[:stems])
            for heard in (context * keep, torch.zeros_like(context)):  # a band, and nobody yet
                yield *(normal(stems, channels, window) for _ in range(4)), heard, keep, row, cond


def _conditions(module: nn.Module, sigma: Tensor, label: Tensor) -> list[Tensor]:
    stage = module.stage if isinstance(module, ComputedPulse) else module
    assert isinstance(stage, StarterDenoise)
    with torch.inference_mode():
        return list(embed_stage(stage.who if isinstance(stage, GuidedDenoise) else stage.network)(sigma, label))

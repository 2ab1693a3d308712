# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The state of a training run: weights, their averages, optimisers, where it is; a step of it, and its checkpoints.

With two processes gradients are averaged (gloo); every process then holds the same weights, and the first one's clock
counts.

Not covered: when to stop, what to show (`diffusion.py`).
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from anacrusis.engine.networks.harmony import CLASSES
from anacrusis.engine.networks.starter import Starter
from anacrusis.train.song import STEMS, CorpusError
from anacrusis.train.starter.config import Optimiser, Training, from_dict
from anacrusis.train.starter.distil import Weights, distillation_loss
from anacrusis.train.starter.draws import Drawn
from anacrusis.train.starter.losses import dsm_loss, score_losses, weight_of
from anacrusis.train.starter.networks import Network, network_of
from anacrusis.train.starter.pieces import NoteLatents

FORMAT: Final = "anacrusis starter training 1"
SLOWEST_AVERAGE_STEPS: Final = 10  # before that an average is the weights


@dataclass(frozen=True, slots=True)
class EventCode:
    """The codec's linear code, as the network needs it. code [25 rows, C]; rows_of [stems, rows]; classes_of
    [12, rows]."""

    code: Tensor
    rows_of: Tensor
    classes_of: Tensor

    @classmethod
    def of(cls, codec: NoteLatents) -> EventCode:
        """In float16's steps, as a bundle holds it."""
        autoencoder = codec.autoencoder
        code = (autoencoder.code.weight.detach() / autoencoder.rms[:, None]).T
        rows_of = torch.zeros(len(STEMS), len(codec.rows))
        for i, stem in enumerate(STEMS):
            rows_of[i, codec.rows.span(stem)] = 1.0
        classes_of = torch.zeros(CLASSES, len(codec.rows))
        for group in codec.rows.groups:
            for row, pitch in enumerate(() if group.rings else group.pitches, codec.rows.span(group.stem).start):
                classes_of[pitch % CLASSES, row] = 1.0
        return cls(code.half().float().contiguous(), rows_of, classes_of)

    def into(self, network: Network) -> None:
        """Raises CorpusError where network and codec differ."""
        if not isinstance(network, Starter) or not network.config.rows:
            return
        if network.code.shape != self.code.shape or network.rows_of.shape != self.rows_of.shape:
            raise CorpusError(
                f"the codec has {self.rows_of.shape[1]} rows of {self.code.shape[1]} channels, "
                f"the network {network.config.rows} of {network.config.latent_channels}; set network.rows"
            )
        network.code.copy_(self.code)
        network.rows_of.copy_(self.rows_of)
        network.classes_of.copy_(self.classes_of)


@dataclass(frozen=True, slots=True)
class Done:
    """A step. loss, gradient: its mean loss and gradient norm over all processes; stop: a process was told to."""

    loss: float
    gradient: float
    share: float
    stop: bool


def average_exponent(relative_width: float) -> float:
    """gamma of Karras et al. 2024 (equation 124 there): the average's weight of step t grows as t ** gamma."""
    t = relative_width**-2
    return float(np.roots([1, 7, 16 - t, 12 - t]).real.max())


def optimisers_of(network: nn.Module, config: Optimiser) -> list[torch.optim.Optimizer]:
    """One, or Muon for the matrices inside the blocks and AdamW for the rest."""
    named = list(network.named_parameters())
    inside = [
        p for name, p in named if config.name == "muon" and p.ndim == 2 and ".bias" not in name and "blocks" in name
    ]
    chosen = {id(p) for p in inside}
    rest = [p for _, p in named if id(p) not in chosen]
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=config.rate, betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True)
    ]
    if inside:
        rate, decay = config.matrix_rate, config.weight_decay
        made.append(torch.optim.Muon(inside, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    for optimiser in made:
        for group in optimiser.param_groups:
            group["full_rate"] = group["lr"]
    return made


class Trainer:
    """One process's share of a run. elapsed_s: of training, over all its sittings; the caller moves it on."""

    def __init__(
        self,
        config: Training,
        rank: int = 0,
        world: int = 1,
        device: str = "cpu",
        code: EventCode | None = None,
        teacher: Network | None = None,
    ) -> None:
        self.config, self.rank, self.world, self.device = config, rank, world, torch.device(device)
        torch.manual_seed(config.seed)
        self.network = network_of(config).to(self.device)
        if code is not None:
            code.into(self.network)
        self.teacher, self.target = teacher, teacher
        if teacher is not None:
            self.network.load_state_dict(teacher.state_dict())
            self.teacher, self.target = (_frozen(teacher, config).to(self.device) for _ in range(2))
        self.optimisers = optimisers_of(self.network, config.optimiser)
        self.averages = [[p.detach().clone() for p in self.network.parameters()] for _ in config.averages]
        self._weights = torch.tensor(config.stem_weights, device=self.device)
        self._exponents = [average_exponent(width) for width in config.averages]
        self.step, self.elapsed_s, self.samples = 0, 0.0, 0
        sizes = [p.numel() for p in self.network.parameters()]
        # All gradients; then loss, stop, the first process's clock.
        self._flat = torch.zeros(sum(sizes) + 3, device=self.device)

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())

    def advance(self, drawn: Drawn, stop: bool = False) -> Done:
        """One step of all processes together. stop: ask everybody to end after it."""
        config, drawn = self.config, drawn.to(self.device)
        weights = drawn.case.label @ self._weights
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.bfloat16):
            losses = self._losses(drawn)
        loss = (losses * weights).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        done = self._together(float(loss.detach()), stop)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["full_rate"] * done.share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.samples += config.batch * self.world
        self._average()
        return done

    def _losses(self, drawn: Drawn) -> Tensor:
        config, levels = self.config, self.config.levels
        if self.teacher is not None and self.target is not None:
            if drawn.start is None or drawn.steps is None:
                raise ValueError("a distillation needs draws of a distillation")
            weights = Weights(config.event_weight, config.square_weight, levels.most_weight)
            given = (drawn.case, drawn.noise, drawn.start, drawn.steps, drawn.sigma, config.distillation, levels)
            return distillation_loss(self.network, self.target, self.teacher, *given, weights)
        if not isinstance(self.network, Starter) or not config.rows:
            return dsm_loss(self.network, drawn.case, drawn.sigma, drawn.noise, levels)
        square, nats = score_losses(self.network, drawn.case, drawn.sigma, drawn.noise, levels.sigma_data)
        weight = weight_of(drawn.sigma, levels.sigma_data).clamp(max=levels.most_weight)
        return config.square_weight * weight * square + config.event_weight * nats

    def _together(self, loss: float, stop: bool) -> Done:
        parameters = list(self.network.parameters())
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = self._flat
        torch.cat([g.reshape(-1) for g in grads], out=flat[:-3])
        first = self.elapsed_s if self.rank == 0 else 0.0
        flat[-3:] = torch.tensor([loss, float(stop), first], device=flat.device)
        if self.world > 1:
            dist.all_reduce(flat)
            flat[:-2] /= self.world
        norm = flat[:-3].norm()
        config = self.config
        if bool(norm.isfinite()):
            flat[:-3] *= torch.clamp(config.optimiser.clip / (norm + 1e-12), max=1.0)
        else:  # a step lost is better than a run
            flat[:-3] = 0.0
        at = 0
        for p in parameters:
            p.grad = flat[at : at + p.numel()].view_as(p).clone()
            at += p.numel()
        progress = min(1.0, float(flat[-1]) / (60 * config.minutes))
        share = config.optimiser.share(self.step, progress)
        return Done(float(flat[-3]), float(norm), share, bool(flat[-2] > 0))

    def _average(self) -> None:
        parameters = [p.detach() for p in self.network.parameters()]
        if self.target is not None:
            decay = min(self.config.distillation.target_average, self.step / (self.step + SLOWEST_AVERAGE_STEPS))
            torch._foreach_lerp_(list(self.target.parameters()), parameters, 1 - decay)
        for average, exponent in zip(self.averages, self._exponents, strict=True):
            keep = (1 - 1 / self.step) ** (exponent + 1) if self.step > SLOWEST_AVERAGE_STEPS else 0.0
            torch._foreach_lerp_(average, parameters, 1 - keep)

    def averaged(self, which: int = 0) -> Network:
        """A copy of the network with an average for its weights, to evaluate; of a student what gives its targets."""
        if self.target is not None:
            return _frozen(self.target, self.config)
        network = network_of(self.config)
        network.load_state_dict(self.network.state_dict())
        with torch.no_grad():
            for p, average in zip(network.parameters(), self.averages[which], strict=True):
                p.copy_(average)
        return network.eval().requires_grad_(False)

    # -- checkpoints ----------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """At once, complete. Raises CorpusError where it cannot be written."""
        names = [name for name, _ in self.network.named_parameters()]
        body = {
            "format": FORMAT,
            "config": self.config.as_dict(),
            "step": self.step,
            "samples": self.samples,
            "elapsed_s": self.elapsed_s,
            "network": self.network.state_dict(),
            "averages": [dict(zip(names, average, strict=True)) for average in self.averages],
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        if self.teacher is not None and self.target is not None:
            body |= {"teacher": self.teacher.state_dict(), "target": self.target.state_dict()}
        part = path.with_name(path.name + ".part")
        try:
            torch.save(body, part)
            os.replace(part, path)
        except (OSError, RuntimeError) as error:
            raise CorpusError(f"cannot write {path}: {error}") from None

    @classmethod
    def load(
        cls,
        path: Path,
        rank: int = 0,
        world: int = 1,
        minutes: float | None = None,
        device: str = "cpu",
        stage: Training | None = None,
    ) -> Trainer:
        """As `save` left it; minutes: a longer (or shorter) run than it was begun as. Raises CorpusError.

        stage: go on with other settings, in minutes of their own; weights, averages and optimisers are kept.
        """
        body = read_checkpoint(path)
        changed = {**body["config"], **({} if minutes is None else {"minutes": float(minutes)})}
        config = from_dict(changed, where=str(path))
        if stage is not None:
            if (stage.kind, stage.network, stage.method) != (config.kind, config.network, config.method):
                raise CorpusError(f"{path} has another network or method; a further stage keeps both")
            body["elapsed_s"], config = 0.0, stage
        teacher = None
        if "teacher" in body:
            teacher = network_of(config)
            teacher.load_state_dict(body["teacher"])
        trainer = cls(config, rank, world, device, teacher=teacher)
        if trainer.target is not None:
            trainer.target.load_state_dict(body["target"])
        trainer.network.load_state_dict(body["network"])
        trainer.step, trainer.samples, trainer.elapsed_s = body["step"], body["samples"], body["elapsed_s"]
        trainer.averages = [[t.to(trainer.device) for t in average.values()] for average in body["averages"]]
        for optimiser, state in zip(trainer.optimisers, body["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        return trainer


def _frozen(network: Network, config: Training) -> Network:
    """A copy to be asked, not trained."""
    copy = network_of(config)
    copy.load_state_dict(network.state_dict())
    return copy.eval().requires_grad_(False)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `save` wrote. Raises CorpusError for a file that is none."""
    try:
        body = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise CorpusError(f"{path} is no checkpoint of this version; train again")
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorpusError(f"cannot read the checkpoint {path} ({why}); train again or give another --out") from None
    return body


def load_network(path: Path, average: int | None = 0) -> tuple[Starter, Training, dict[str, Any]]:
    """As `load_trained`; raises CorpusError for a network that is not the starter's."""
    network, config, about = load_trained(path, average)
    if not isinstance(network, Starter):
        raise CorpusError(
            f"{path} is a {config.kind}'s; python -m anacrusis.train.starter.full makes it what export reads"
        )
    return network, config, about


def load_trained(path: Path, average: int | None = 0) -> tuple[Network, Training, dict[str, Any]]:
    """(network ready to be used, its training's config, step, samples and elapsed_s). average None: the last
    weights; of a student any average is the one that gives its targets."""
    body = read_checkpoint(path)
    config = from_dict(body["config"], where=str(path))
    network = network_of(config)
    state: dict[str, Tensor] = dict(body["network"])
    if average is not None:
        state.update(body["target"] if "target" in body else body["averages"][average])
    network.load_state_dict(state)
    about = {key: body[key] for key in ("step", "samples", "elapsed_s")}
    return network.eval().requires_grad_(False), config, about

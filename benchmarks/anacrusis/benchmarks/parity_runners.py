# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""How parity runs a module or a stage: torch eagerly, or ONNX Runtime on a graph.

Bundles are written from the golden set's weights with the exporter's own functions, and the stages that ONNX
Runtime is asked for are the graphs of those bundles. Tracing is what takes long, so it happens once a shape: the
codec's graphs go into both bundles, and probes (taps, blocks, checkpoints) take their weights as inputs.

Not covered: float16 bundles and other devices; this is about the arithmetic of the float32 networks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from anacrusis.benchmarks.parity_golden import F32, Golden, ParityError
from anacrusis.engine.bundle import STAGES, Bundle, Manifest

if TYPE_CHECKING:
    from torch import nn

    from anacrusis.engine.networks.stages import Networks
    from anacrusis.export.checkpoint import Kind

Call = Callable[..., tuple[F32, ...]]
Report = Callable[[str], None]
BackendName = Literal["torch", "onnxruntime"]
StageName = Literal["encode", "embed", "denoise", "decode"]

# How the golden set's files name the two kinds of model.
KIND_OF: dict[str, Kind] = {"diff": "diffusion", "cd": "cd"}
CODEC_STAGES: tuple[StageName, ...] = ("encode", "decode")
UNET_STAGES: tuple[StageName, ...] = ("embed", "denoise")


class Workbench:
    """The golden set's networks and bundles, each made once. directory: a temporary one. One thread at a time."""

    def __init__(self, golden: Golden, directory: Path, *, threads: int, report: Report) -> None:
        self.golden, self.directory, self.threads, self.report = golden, directory, threads, report
        self._networks: dict[Kind, Networks] = {}
        self._bundles: dict[tuple[Kind, frozenset[StageName]], Bundle] = {}
        self._traced: dict[tuple[str, str], Path] = {}  # (codec or kind, stage) -> its graph
        self.memo: dict[Any, Any] = {}  # what a stage works out once for both backends

    def networks(self, tag: str) -> Networks:
        """The U-Net of `unet_{tag}.safetensors` and the codec. Raises CheckpointError or ParityError."""
        from anacrusis.engine.networks.stages import Networks
        from anacrusis.export.load import load_codec, load_unet

        kind = KIND_OF[tag]
        if kind not in self._networks:
            found, unet, _ = load_unet(self.golden.file(f"unet_{tag}.safetensors"))
            if found != kind:
                raise ParityError(f"unet_{tag}.safetensors holds a {found} model: not a golden set of this layout")
            known = next(iter(self._networks.values()), None)
            codec = known.codec if known else load_codec(self.golden.file("m2l.safetensors"))[0]
            self._networks[kind] = Networks(unet, codec)
        return self._networks[kind]

    def bundle(self, tag: str, stages: Collection[StageName] = ()) -> Bundle:
        """The bundle of one model with at least the graphs of `stages` (the torch backend reads none).

        Only with all four has it been opened as an engine opens it, hashes and all.
        """
        kind = KIND_OF[tag]
        for (of, have), bundle in self._bundles.items():
            if of == kind and have.issuperset(stages):
                return bundle
        bundle = self._write(tag, kind, stages)
        self._bundles[kind, frozenset(stages)] = bundle
        return bundle

    def _write(self, tag: str, kind: Kind, stages: Collection[StageName]) -> Bundle:
        import onnx_ir as ir

        from anacrusis.export.export import GEOMETRY
        from anacrusis.export.graphs import stage_specs, stage_to_onnx
        from anacrusis.export.write import Weights, new_bundle_directory, write_graphs, write_manifest

        networks, manifest = self.networks(tag), self.manifest(tag)
        out = self.directory / "-".join((kind, *sorted(stages)))
        graphs: dict[str, ir.Model] = {}
        with new_bundle_directory(out) as directory:
            for spec in stage_specs(networks, GEOMETRY) if stages else ():
                if spec.name not in stages:
                    continue
                # Both models come with the same codec.
                owner = "codec" if spec.name in CODEC_STAGES else kind
                if (owner, spec.name) in self._traced:
                    graphs[spec.name] = ir.load(self._traced[owner, spec.name])
                    continue
                self.report(f"trace {spec.name} ({owner})")
                graphs[spec.name] = stage_to_onnx(spec)
                self._traced[owner, spec.name] = out / f"{spec.name}.onnx"
            arrays = {name: tensor.detach().numpy() for name, tensor in networks.state().items()}
            write_graphs(directory, graphs, Weights(arrays))
            write_manifest(directory, manifest)
        return Bundle.open(out) if graphs.keys() >= set(STAGES) else Bundle(out, manifest, "")

    def manifest(self, tag: str) -> Manifest:
        """What the exporter would say of this model, but for where it came from."""
        from anacrusis.engine.bundle import Licence, Precision
        from anacrusis.export.export import manifest_of

        licence = Licence("Apache-2.0", "Golden weights: drawn at random, untrained.")
        precision = Precision("float32", "float32")
        return manifest_of(self.networks(tag), f"golden-{tag}", KIND_OF[tag], precision, licence, {})


class Runner(Protocol):
    """One backend. Calls take and return float32 arrays, positionally."""

    name: BackendName

    def compile(self, key: str, module: nn.Module, *example: F32, dynamic: tuple[Any, ...] | None = None) -> Call:
        """A module ready to call. key: names its shape; modules of one key differ in weights only.

        dynamic: per argument {axis: torch.export.Dim}; without it the example's shapes are the only ones.
        """

    def stage(self, tag: str, name: StageName) -> Call:
        """A stage of a model's bundle, arguments in the order of `networks/stages.py`, conditioning unpacked."""

    def bundle(self, tag: str) -> Bundle:
        """The bundle to open on this backend."""

    def hand_on(self, backend: Any) -> None:
        """Replace an opened backend's encode stage by `parity_modules.HandOn`."""


class TorchRunner:
    """Modules as they are."""

    name: BackendName = "torch"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.stage = cache(self._stage)

    def compile(self, key: str, module: nn.Module, *example: F32, dynamic: tuple[Any, ...] | None = None) -> Call:
        return self._call(module.eval(), unpacked=len(example))

    def bundle(self, tag: str) -> Bundle:
        return self._bench.bundle(tag)

    def hand_on(self, backend: Any) -> None:
        from anacrusis.benchmarks.parity_modules import HandOn

        backend.stages["encode"] = HandOn(backend.bundle.manifest.latent_channels)

    def _stage(self, tag: str, name: StageName) -> Call:
        from anacrusis.engine.networks.stages import DecodeStage, DenoiseStage, EmbedStage, EncodeStage

        networks = self._bench.networks(tag)
        if name in CODEC_STAGES:
            codec = networks.codec
            return self._call((EncodeStage(codec) if name == "encode" else DecodeStage(codec)).eval(), unpacked=2)
        unet = networks.unet
        if name == "embed":
            return self._call(EmbedStage(unet).eval(), unpacked=2)
        return self._call(DenoiseStage(unet).eval(), unpacked=7)

    @staticmethod
    def _call(module: nn.Module, *, unpacked: int) -> Call:
        """unpacked: arguments beyond these are passed as one list."""
        import torch

        def call(*args: F32) -> tuple[F32, ...]:
            with torch.inference_mode():
                tensors = [torch.from_numpy(np.array(a, np.float32)) for a in args]
                rest = [tensors[unpacked:]] if len(tensors) > unpacked else []
                out = module(*tensors[:unpacked], *rest)
                outputs = (out,) if isinstance(out, torch.Tensor) else tuple(out)
                return tuple(tensor.numpy() for tensor in outputs)

        return call


class OnnxRunner:
    """Graphs through ONNX Runtime's CPU provider."""

    name: BackendName = "onnxruntime"

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._sessions: dict[str, Any] = {}
        self.stage = cache(self._stage)

    def bundle(self, tag: str) -> Bundle:
        return self._bench.bundle(tag, CODEC_STAGES + UNET_STAGES)

    def compile(self, key: str, module: nn.Module, *example: F32, dynamic: tuple[Any, ...] | None = None) -> Call:
        module.eval()
        state = {name: tensor.detach() for name, tensor in module.state_dict().items()}
        names = [f"arg{i}" for i in range(len(example))]
        if key not in self._sessions:
            self._bench.report(f"trace {key}")
            self._sessions[key] = self._trace(key, module, example, names, dynamic)
        weights = {f"weight.{name}": tensor.numpy() for name, tensor in state.items()}
        return _session_call(self._sessions[key], names, weights)

    def _trace(
        self, key: str, module: nn.Module, example: tuple[F32, ...], names: list[str], dynamic: tuple[Any, ...] | None
    ) -> Any:
        import torch

        from anacrusis.benchmarks.parity_modules import Functional
        from anacrusis.export.contract import OPSET
        from anacrusis.export.graphs import _quiet

        state = {name: tensor.detach() for name, tensor in module.state_dict().items()}
        tensors = tuple(torch.from_numpy(np.array(a, np.float32)) for a in example)
        with _quiet(), torch.no_grad():
            # Not optimised: that takes half of the exporter's time, and ONNX Runtime optimises what it opens.
            program = torch.onnx.export(
                Functional(module),
                (state, *tensors),
                dynamo=True,
                opset_version=OPSET,
                input_names=[*(f"weight.{name}" for name in state), *names],
                dynamic_shapes=None if dynamic is None else (dict.fromkeys(state, None), dynamic),
                optimize=False,
                verbose=False,
            )
        assert program is not None
        path = self._bench.directory / f"{key}.onnx"
        program.save(path)
        return self._open(path)

    def hand_on(self, backend: Any) -> None:
        import onnx_ir as ir
        import torch

        from anacrusis.benchmarks.parity_modules import HandOn
        from anacrusis.export.graphs import to_onnx

        manifest = backend.bundle.manifest
        path = self._bench.directory / "hand_on.onnx"
        if not path.exists():
            example = (
                torch.zeros(1, manifest.geometry.encode_samples),
                torch.ones(1, 1, manifest.geometry.window_frames),
            )
            module = HandOn(manifest.latent_channels)
            ir.save(to_onnx(module, example, inputs=("audio", "heard"), outputs=("latent",)), path)
        backend.sessions["encode"] = self._open(path)

    def _open(self, path: Path) -> Any:
        from anacrusis.engine.backends.onnxruntime import open_session

        return open_session(path, provider="CPUExecutionProvider", threads=self._bench.threads)

    def _stage(self, tag: str, name: StageName) -> Call:
        stages = CODEC_STAGES if name in CODEC_STAGES else UNET_STAGES
        session = self._open(self._bench.bundle(tag, stages).stage(name))
        return _session_call(session, [value.name for value in session.get_inputs()], {})


def _session_call(session: Any, names: list[str], weights: Mapping[str, F32]) -> Call:
    wanted = {value.name for value in session.get_inputs()}
    fixed = {name: array for name, array in weights.items() if name in wanted}

    def call(*args: F32) -> tuple[F32, ...]:
        feeds = {n: np.ascontiguousarray(a, np.float32) for n, a in zip(names, args, strict=True)}
        return tuple(session.run(None, {**fixed, **feeds}))

    return call

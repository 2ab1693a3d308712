# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint as a bundle: the filterbank hears, the starter's network thinks, the note-roll codec plays.

    python -m anacrusis.train.starter.bundle --checkpoint OUT/checkpoint.pt --out BUNDLE \\
        [--teacher OUT1/checkpoint.pt] [--corpus DIR ...] [--provenance FILE.json]

A checkpoint of `train.diffusion` becomes a bundle of kind "diffusion" (Heun, `sample.TEACHER`; n noise levels are
2 n - 1 evaluations), one of `train.distill` of kind "cd" (`sample.STUDENT`; n evaluations, 1 and 2 are what it
was distilled for). Weights are rounded to float16 and computed in float32. The same checkpoint, codec and soundfont
give the same bytes. The model card comes later, when there are scores: `card.py`.

Not covered: networks of other codecs. Exit 0 done, 2 bad input.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from anacrusis.engine.bundle import Licence, Manifest, Precision, sha256
from anacrusis.engine.errors import AnacrusisError
from anacrusis.engine.networks.starter import Starter
from anacrusis.engine.sampler import Parametrisation, SamplerConfig
from anacrusis.export.graphs import stage_to_onnx
from anacrusis.export.write import Weights, new_bundle_directory, write_graphs, write_manifest
from anacrusis.train import corpus
from anacrusis.train.codec.bundle import ends, state_of_ends, stored
from anacrusis.train.codec.codec import RollCodec
from anacrusis.train.song import SAMPLE_RATE_HZ, STEMS, CorpusError, Note
from anacrusis.train.starter.config import Training
from anacrusis.train.starter.graphs import as_traced, middle, verified
from anacrusis.train.starter.guidance import Guided
from anacrusis.train.starter.pieces import CODEC
from anacrusis.train.starter.sample import STUDENT, TEACHER
from anacrusis.train.starter.trainer import load_network, read_checkpoint

LICENCE: Final = Licence(
    "Apache-2.0 AND MIT",
    "Trained on songs of Anacrusis's own writer; plays notes of the FluidR3 GM soundfont (MIT, Frank Wen and others).",
)
NOTICE_FILE: Final = "NOTICE"
KINDS: Final[Mapping[str, tuple[str, SamplerConfig]]] = {  # by the training's method
    "diffusion": ("diffusion", TEACHER),
    "distillation": ("cd", STUDENT),
}
OWN_PROVENANCE: Final = frozenset(
    (
        *("training", "parameters", "codec", "codec_sha256", "guidance", "onset_shifts"),
        *("tools", "trained", "teacher", "corpora"),
    )
)
NAMES: Final = {"diffusion": "starter-diffusion", "cd": "starter-cd"}


def notice() -> str:
    """Of the network and of the recorded notes, with FluidR3's licence whole."""
    of_the_soundfont = corpus.NOTICE[corpus.NOTICE.index("    Copyright (c)") :]
    return (
        "The network, the codec and the graphs:\n"
        "    Copyright 2026 The Anacrusis authors. Apache-2.0.\n\n"
        "The notes that it plays (codec.playback in weights.safetensors) are recordings of the FluidR3 GM soundfont:\n"
        f"{of_the_soundfont}"
    )


def write_starter_bundle(
    network: Starter,
    training: Training,
    codec: RollCodec,
    out: Path,
    *,
    steps: int | None = None,
    guidance: float | None = None,
    shifts: tuple[float, ...] = (),
    provenance: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Manifest:
    """steps: of the sampler, None: as its kind has. guidance: weight of `guidance.py`; every evaluation then runs the
    network twice. shifts: off the logits of onsets, one a stem. The network's weights are changed in place: rounded,
    and shifted where nothing is guided.

    Raises BundleError where `out` exists or a graph is wrong, CorpusError for a network of another codec. Takes
    seconds: four graphs.
    """
    geometry, config = codec.geometry(), network.config
    if (config.latent_channels, config.window_frames) != (codec.channels, geometry.window_frames):
        raise CorpusError(f"the network writes {config.latent_channels} channels, the codec reads {codec.channels}")
    kind, sampler = KINDS[training.method]
    with torch.no_grad():
        if shifts and guidance is None:
            network.onset_bias().sub_(torch.tensor(shifts) @ network.rows_of)
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())
    manifest = Manifest(
        name=NAMES[kind],
        kind=kind,
        # As both were trained. A network with rows takes c_in of it only.
        parametrisation=Parametrisation("edm", training.levels.sigma_data),
        sampler=sampler if steps is None else replace(sampler, steps=steps),
        stems=STEMS,
        sample_rate_hz=SAMPLE_RATE_HZ,
        geometry=geometry,
        latent_channels=codec.channels,
        context_channels=config.context_channels,
        decoder_noise_shape=(),
        trained_masked_frames=tuple(range(training.drawing.window_frames - training.drawing.least_heard_frames + 1)),
        precision=Precision("float16", "float32"),
        licence=LICENCE,
        files={},
        provenance={
            "training": training.as_dict(),
            "parameters": sum(p.numel() for p in network.parameters()),
            "codec": codec.about,
            **({} if guidance is None else {"guidance": guidance}),
            **({"onset_shifts": list(shifts)} if shifts else {}),
            "tools": {package: version(package) for package in ("anacrusis", "torch", "onnx", "onnxscript")},
            **(provenance or {}),
        },
    )
    manifest.validate()
    encode, decode = ends(codec.decoder, codec.channels, geometry)
    embed, denoise = middle(network if guidance is None else Guided(network, guidance, shifts or (0.0,)))
    specs = (encode, embed, denoise, decode)
    with new_bundle_directory(out, force=force) as directory:
        models = {spec.name: stage_to_onnx(spec) for spec in specs}
        state = state_of_ends(encode, decode) | as_traced(network, models.values())
        write_graphs(directory, models, Weights(stored(state)))
        (directory / NOTICE_FILE).write_text(notice(), encoding="utf-8")
        manifest = replace(manifest, verification=verified(directory, specs, _latents(codec)))
        write_manifest(directory, manifest)
    return manifest


def _latents(codec: RollCodec) -> Tensor:
    """[4, C, least + 8]: a few notes on every group that the codec has, for the check of the voice."""
    frames = codec.decoder.least_frames + 8
    latents = torch.zeros(len(STEMS), codec.channels, frames)
    for group in codec.rows.groups:
        notes = [Note(4096 * i, 4096 * (i + 6), group.pitches[i % len(group)], 90) for i in range(0, frames - 6, 3)]
        made = codec.encode_notes(notes, group.stem, frames)
        latents[STEMS.index(group.stem)] = torch.from_numpy(made)
    return latents


def of_checkpoint(path: Path) -> dict[str, Any]:
    """How long it was trained, and its hash. Raises CorpusError where it is none."""
    body = read_checkpoint(path)
    return {**{key: body[key] for key in ("step", "samples", "elapsed_s")}, "checkpoint_sha256": sha256(path)}


def of_corpus(folder: Path) -> dict[str, Any]:
    """What a manifest says of a corpus. Raises CorpusError where it is none."""
    listed = folder / "corpus.json"
    try:
        raw = listed.read_bytes()
        body = json.loads(raw)
        plan = json.loads((folder / "plan.json").read_bytes())
        return {
            "songs": len(body["songs"]),
            "hours": round(float(body["hours"]), 3),
            "seed": body["seed"],
            "split": plan["split"],
            "soundfont_sha256": plan["soundfont_sha256"],
            "corpus_json_sha256": hashlib.sha256(raw).hexdigest(),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{folder} is no corpus of anacrusis.train.corpus ({error}); name its folder") from None


def more_provenance(path: Path | None) -> dict[str, Any]:
    """An object of a JSON file, {} for None. Raises CorpusError for another."""
    if path is None:
        return {}
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"cannot read {path}: {error}") from None
    if not isinstance(body, dict):
        raise CorpusError(f"{path} must hold a JSON object: commit, commands, seeds ...")
    known = sorted(OWN_PROVENANCE & set(body))
    if known:
        raise CorpusError(f"{path} says {known[0]!r}, which the bundle's own command writes; leave it out")
    return body


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m anacrusis.train.starter.bundle", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="of anacrusis.train.diffusion or anacrusis.train.distill"
    )
    parser.add_argument("--out", type=Path, required=True, help="directory to make")
    parser.add_argument(
        "--kind", choices=tuple(NAMES), help="refuse a checkpoint that becomes another (default: whatever it becomes)"
    )
    parser.add_argument("--steps", type=int, help="diffusion: noise levels (8); consistency: evaluations (2)")
    parser.add_argument(
        "--guidance", type=float, help="put guidance of this weight into the graph: an evaluation costs two"
    )
    parser.add_argument(
        "--shift", type=float, nargs=len(STEMS), default=[], help="off the logits of onsets, one a stem: less is played"
    )
    parser.add_argument("--average", type=int, default=0, help="which average of the weights; -1: none (default 0)")
    parser.add_argument("--codec", type=Path, default=CODEC, help="the codec's weights (default %(default)s)")
    parser.add_argument("--soundfont", type=Path, help="FluidR3_GM.sf2 (default: the usual places)")
    parser.add_argument("--teacher", type=Path, help="the checkpoint that was distilled, to be named")
    parser.add_argument("--corpus", type=Path, nargs="+", default=[], help="what it was trained on, to be named")
    parser.add_argument("--provenance", type=Path, metavar="FILE.json", help="more to be said: commit, commands ...")
    parser.add_argument("--force", action="store_true", help="replace a bundle that is there")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        more = more_provenance(options.provenance)
        corpora = [of_corpus(folder) for folder in options.corpus]
        network, training, about = load_network(options.checkpoint, None if options.average < 0 else options.average)
        kind = KINDS[training.method][0]
        if options.kind not in (None, kind):
            raise CorpusError(f"{options.checkpoint} becomes a bundle of kind {kind}, not {options.kind}")
        teacher = {"teacher": of_checkpoint(options.teacher)} if options.teacher else {}
        codec = RollCodec.load(options.codec, options.soundfont)
        manifest = write_starter_bundle(
            network,
            training,
            codec,
            options.out,
            steps=options.steps,
            guidance=options.guidance,
            shifts=tuple(options.shift),
            provenance={
                "trained": {**about, "average": options.average, "checkpoint_sha256": sha256(options.checkpoint)},
                "codec_sha256": sha256(options.codec),
                **teacher,
                **({"corpora": corpora} if corpora else {}),
                **more,
            },
            force=options.force,
        )
    except AnacrusisError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report = {
        "bundle": str(options.out),
        "kind": manifest.kind,
        "megabytes": round(sum(file.stat().st_size for file in options.out.iterdir()) / 1e6, 2),
        "evaluations": manifest.sampler.table().nfe,
        "verification": manifest.verification["stages"],
    }
    print(json.dumps(report, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

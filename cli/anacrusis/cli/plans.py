# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis plans list | show | prune`"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anacrusis.engine.plans.layers import Layer, Tensor
    from anacrusis.engine.plans.sidecar import Entry
    from anacrusis.engine.plans.store import Store


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "plans", help="what TensorRT plans are kept, what is in them, and which may go", description="The plans cache."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list | show | prune")
    listing = actions.add_parser("list", help="every plan, oldest first")
    listing.set_defaults(run=run_list)
    show = actions.add_parser("show", help="one plan: its key, its kernels. Exit code 1 where it is damaged")
    show.add_argument("name", metavar="NAME", help="a plan's name, or the beginning of it, as `plans list` prints it")
    show.add_argument("--layers", action="store_true", help="also every fused layer, in order")
    show.add_argument("--verify", action="store_true", help="also read the whole plan against its SHA-256")
    show.set_defaults(run=run_show)
    prune = actions.add_parser(
        "prune",
        help="remove what is of no use",
        description="Removes leftovers of interrupted builds and plans of another version of the installed library; "
        "with options, also what they name. A plan that is being built is kept.",
    )
    prune.add_argument("--older-than", type=float, metavar="DAYS", help="also plans not used for so many days")
    prune.add_argument(
        "--keep-bundle", type=Path, action="append", metavar="DIR", help="also plans of any bundle but this; repeat"
    )
    prune.add_argument("--all", action="store_true", help="every plan")
    prune.set_defaults(run=run_prune)
    for action in (listing, show, prune):
        action.add_argument(
            "--cache", type=Path, metavar="DIR", help="(default: ANACRUSIS_CACHE, else the user's cache)"
        )
        action.add_argument("--json", action="store_true")


def run_list(options: argparse.Namespace) -> int:
    store = _store(options)
    entries = store.entries()
    if options.json:
        print(json.dumps({"cache": str(store.root), "plans": [_described(store, e) for e in entries]}))
        return 0
    for entry in entries:
        key = entry.key
        wrong = store.damage(entry)
        print(
            f"{entry.path.stem}  {entry.bundle} {key.precision} {key.dims_text} {key.target}  {key.library} "
            f"{key.library_version}  {entry.size_bytes / 1e6:.1f} MB  {entry.kernels} kernels  {entry.built_at[:10]}"
            + (f"  DAMAGED: {wrong}" if wrong else "")
        )
    total = sum(entry.size_bytes for entry in entries)
    print(f"{len(entries)} plans, {total / 1e6:.1f} MB in {store.root}")
    return 0


def run_show(options: argparse.Namespace) -> int:
    from anacrusis.engine.errors import PlanError

    store = _store(options)
    found = [entry for entry in store.entries() if entry.path.stem.startswith(options.name)]
    if len(found) != 1:
        what = "no plan" if not found else f"{len(found)} plans"
        raise PlanError(f"{what} in {store.root} begin with {options.name!r}; see `anacrusis plans list`")
    entry = found[0]
    wrong = store.verify(entry) if options.verify else store.damage(entry)
    layers = store.layers(entry) if options.layers else ()
    if options.json:
        shown: dict[str, Any] = {**_described(store, entry), "damage": wrong}
        if options.layers:
            shown["layers"] = [layer.to_dict() for layer in layers]
        print(json.dumps(shown))
        return 0 if wrong is None else 1
    for name, value in entry.key.to_dict().items():
        text = " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{name:<16} {' '.join(text) if isinstance(text, list) else text}")
    peak = entry.peak_memory_bytes
    print(f"{'bundle':<16} {entry.bundle}")
    print(f"{'file':<16} {entry.path}")
    print(f"{'size':<16} {entry.size_bytes} bytes, SHA-256 {entry.sha256}")
    print(f"{'built':<16} {entry.built_at} in {entry.build_s:.1f} s" + (f", peak {peak / 1e9:.2f} GB" if peak else ""))
    checked = "size, first bytes and SHA-256 match" if options.verify else "size and first bytes match"
    print(f"{'state':<16} {wrong or checked}")
    print(f"{'kernels':<16} {entry.kernels}: " + ", ".join(f"{n} {name}" for name, n in entry.kernel_types.items()))
    for index, layer in enumerate(layers):
        print(f"{index:>4} {_layer(layer)}")
    return 0 if wrong is None else 1


def run_prune(options: argparse.Namespace) -> int:
    from anacrusis.engine.bundle import Bundle
    from anacrusis.engine.errors import PlanError
    from anacrusis.engine.plans.library import installed_versions
    from anacrusis.engine.plans.prune import PruneRule, prune

    if options.older_than is not None and not options.older_than >= 0:
        raise PlanError(f"--older-than {options.older_than:g} is no number of days; give 0 or more")
    graphs = None
    if options.keep_bundle:
        kept = [Bundle.open(path, verify=False).manifest for path in options.keep_bundle]
        graphs = {digest for manifest in kept for name, digest in manifest.files.items() if name.endswith(".onnx")}
    store = _store(options)
    rule = PruneRule(installed_versions(), options.older_than, graphs, options.all)
    done = prune(store, rule)
    freed = sum(one.freed_bytes or 0 for one in done)
    if options.json:
        rows = [{"name": one.name, "why": one.why, "freed_bytes": one.freed_bytes} for one in done]
        print(json.dumps({"cache": str(store.root), "removed": rows, "freed_bytes": freed}))
        return 0
    for one in done:
        said = "kept" if one.freed_bytes is None else f"removed, {one.freed_bytes / 1e6:.1f} MB"
        print(f"{one.name}: {said} ({one.why})")
    print(f"{freed / 1e6:.1f} MB freed, {len(store.entries())} plans left in {store.root}")
    return 0


def _store(options: argparse.Namespace) -> Store:
    from anacrusis.engine.paths import plans_directory
    from anacrusis.engine.plans.store import Store

    return Store(plans_directory(options.cache))


def _described(store: Store, entry: Entry) -> dict[str, Any]:
    return {"name": entry.path.stem, "path": str(entry.path), "damage": store.damage(entry), **entry.to_dict()}


def _layer(layer: Layer) -> str:
    def tensors(found: tuple[Tensor, ...]) -> str:
        return " ".join(f"{tensor.dtype}{list(tensor.dims)}".replace(" ", "") for tensor in found)

    return f"{layer.type:<16} {layer.name}: {tensors(layer.inputs)} -> {tensors(layer.outputs)}"

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The checkpoint reader against bad files: nothing in them runs, and only CheckpointError comes out."""

from __future__ import annotations

import os
import pickle
import random
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from anacrusis.engine.errors import CheckpointError
from anacrusis.export import checkpoint_pickle, checkpoint_scan, checkpoint_zip
from anacrusis.export.checkpoint import read_tensors, unet_tensors

from .checkpoint_writer import ROWS, call, entry, golden, name_of, op, refused, safetensors, save, tensor


def test_nothing_in_a_pickle_runs(tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    write = f"open({str(sentinel)!r}, 'w').close()"
    payloads = {
        "os.system": call("os.system", f"echo x > {sentinel}"),
        "posix.system": call("posix.system", f"echo x > {sentinel}"),
        "builtins.exec": call("builtins.exec", write),
        "builtins.eval": call("__builtin__.eval", write),
        "subprocess.Popen": call("subprocess.Popen", [sys.executable, "-c", write]),
        "os.open": b"(" + op(str(sentinel)) + op(os.O_CREAT) + b"ios\nopen\n",
        "builtins.open": b"(" + name_of("builtins", "open") + op(str(sentinel)) + op("w") + b"o",
        "pathlib.os.system": op("pathlib") + op("os.system") + b"\x93" + op((f"echo x > {sentinel}",)) + b"R",
        "torch.storage._load_from_bytes": call("torch.storage._load_from_bytes", "x"),
        "torch.hub.load": call("torch.hub.load", "x"),
    }
    for dotted, payload in payloads.items():
        good = {"x": tensor()}
        for root in (
            payload,
            {"hyper_parameters": {"cfg": [payload]}, "state_dict": good},
            {"state_dict": {"x": payload}},
        ):
            refused(
                save(tmp_path / "bad.ckpt", root),
                f"refused: its pickle asks for {dotted}; a checkpoint needs no",
            )
            assert not sentinel.exists()
    pickle.loads(b"\x80\x02" + payloads["builtins.exec"] + b".")  # the payload is real: plain pickle runs it
    assert sentinel.exists()


@pytest.mark.parametrize(
    "dotted",
    [
        "sys.exit",
        "shutil.rmtree",
        "socket.socket",
        "ctypes.CDLL",
        "importlib.import_module",
        "runpy.run_path",
        "pty.spawn",
        "pickle.loads",
        "marshal.loads",
        "types.FunctionType",
        "functools.reduce",
        "operator.attrgetter",
        "builtins.getattr",
        "builtins.__import__",
        "builtins.compile",
        "builtins.type",
        "codecs.open",
        "io.open",
        "webbrowser.open",
        "tempfile.mktemp",
        "urllib.request.urlopen",
        "torch.jit.load",
        "multiprocessing.Process",
        "threading.Thread",
        "signal.signal",
        "pip.main",
        "nt.system",
        "code.interact",
    ],
)
def test_refused_names(tmp_path: Path, dotted: str) -> None:
    module, _, name = dotted.rpartition(".")
    refused(save(tmp_path / "bad.pt", {"x": name_of(module, name)}), f"asks for {dotted};")


def memo_cycle() -> bytes:
    """((t, t), (t, t)), ... forty deep, as a dict key: 2**40 steps to hash."""
    return b"}" + b"N" + b"2\x86" * 40 + b"Ns"


def memo_cycle_by_name() -> bytes:
    return b"}" + b"Nq\x00" + b"h\x00\x86q\x00" * 40 + b"Ns"


def deep_tuple() -> bytes:
    return b"}" + b"N" + b"\x85" * 100_000 + b"Ns"


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x82\x01",
        b"\x83\x01\x00",
        b"\x84\x01\x00\x00\x00",
        b"Nr\xff\xff\xff\x7f",
        b"h\x05",
        b"Pabc\n",
        op((1, 2)) + b"Q",
        b"\x8e" + (1 << 50).to_bytes(8, "little"),
        b"\x96" + (1 << 50).to_bytes(8, "little"),
        memo_cycle(),
        memo_cycle_by_name(),
        deep_tuple(),
        b"0",
        b"a",
        b"NN\x81",
        call("builtins.bytearray", 1 << 50),
        call("builtins.list", call("builtins.range", 1 << 50)),
        call("builtins.tuple", [((1,),)]),
        call("builtins.bytearray", "a", "idna"),
        call("builtins.int", "9" * 9999),
        call("torch.Size", 5),
        name_of("torch", "FloatStorage") + op({"dotted": "x"}) + b"b",
        name_of("torch.nn", "X") + op({"a": 1}) + b"b",
        name_of("collections", "OrderedDict") + op((None, {"_function": 1})) + b"b",
        tensor() + op([1, 2, 3, 4]) + b"b",
        b"}" + b"]" + b"Ns",
        b"\x97",
    ],
)
def test_hostile_pickles(tmp_path: Path, pickled: bytes) -> None:
    refused(save(tmp_path / "bad.pt", pickled), "its pickle cannot be read")


def test_deep_lists_and_many_names_are_survived(tmp_path: Path) -> None:
    deep = b"]" * 200_000 + b"a" * 199_999
    assert read_tensors(save(tmp_path / "a.pt", {"state_dict": {"x": tensor()}, "h": deep})).tensors
    many = b"(" + b"".join(name_of("m", f"C{i}") for i in range(1001)) + b"l"
    refused(save(tmp_path / "b.pt", {"state_dict": {}, "h": many}), "more than 1000 foreign classes")


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = [call("builtins.list", [0] * 600), call("builtins.set", [0] * 600)]
    path = save(tmp_path / "a.pt", {"state_dict": {"x": tensor(), "y": tensor(kind="BFloat16Storage")}, "h": copies})
    assert len(read_tensors(path).tensors) == 2
    for module, limit, value, words in (
        (checkpoint_scan, "_MAX_OPCODES", 100, "more than 100 opcodes"),
        (checkpoint_pickle, "_MAX_COPIED_ITEMS", 1000, "too many copies"),
        (checkpoint_zip, "_MAX_COPIED_BYTES", 23, "of memory"),
        (checkpoint_zip, "MAX_PICKLE_BYTES", 100, "its pickle is larger than"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, value)
            refused(path, words)


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ({"x": tensor(offset=1)}, "reaches element 6 of a storage of 6"),
        ({"x": tensor(offset=-1)}, "impossible"),
        ({"x": tensor(stride=(-3, 1))}, "impossible"),
        ({"x": tensor(stride=(1,))}, "impossible"),
        ({"x": tensor(size=(2, True))}, "impossible"),
        ({"x": tensor(size=("2", 3))}, "impossible"),
        ({"x": tensor(size=(1 << 70, 3))}, "impossible"),
        ({"x": tensor(numel=-6)}, "impossible"),
        ({"x": tensor(size=(1 << 40,), stride=(0,))}, "reaches element"),
        ({"x": tensor(size=(0, 1 << 61, 1 << 61), stride=(1, 1, 1))}, "bad.pt"),
        ({"x": tensor(numel=7)}, "needs 28 bytes and its record has 24"),
        ({"x": tensor(key="9")}, "no record data/9"),
        ({"x": tensor(key="../data.pkl")}, "no record data/../data.pkl"),
        ({"x": tensor(kind="QInt8Storage")}, "unknown dtype (torch.QInt8Storage)"),
        ({"x": tensor(kind="TypedStorage")}, "unknown dtype (torch.storage.TypedStorage)"),
        ({"state_dict": {"x": call("torch._utils._rebuild_sparse_tensor", 1)}}, "not a plain dense tensor"),
        ({"state_dict": {"x": 5}}, "not a plain dense tensor (int)"),
        ({"state_dict": {4: tensor()}}, "name is not text"),
        ({"state_dict": {"line\nbreak": 5}}, "line\\nbreak"),
        ({"epoch": 1}, "has no state_dict"),
        ({}, "has no state_dict"),
        ([tensor()], "not a dict of tensors"),
        (tensor(), "not a dict of tensors"),
        (call("far.Model"), "not a dict of tensors"),
    ],
)
def test_bad_torch_files(tmp_path: Path, root: Any, words: str) -> None:
    refused(save(tmp_path / "bad.pt", root), words)


@pytest.mark.parametrize("key", ["0", "1"])
def test_bad_zips(tmp_path: Path, key: str) -> None:
    refused(save(tmp_path / "a.pt", {"x": tensor()}, {"constants.pkl": b""}), "TorchScript")
    refused(save(tmp_path / "b.pt", {"x": tensor()}, {"byteorder": b"middle"}), "byte order")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(tmp_path / "c.zip", "not one that torch.save wrote")
    whole = save(tmp_path / "d.pt", {"x": tensor(key=key)}, {"data/1": bytes(24)}).read_bytes()
    for cut in (4, 40, len(whole) // 2, len(whole) - 1):
        (tmp_path / "e.pt").write_bytes(whole[:cut])
        refused(tmp_path / "e.pt", "damaged or cut short")
    moved = whole.replace(b"PK\3\4", b"PK\3\5")  # the local headers, which the zip directory does not show
    (tmp_path / "f.pt").write_bytes(moved)
    refused(tmp_path / "f.pt", "f.pt")


def test_not_checkpoints(tmp_path: Path) -> None:
    refused(tmp_path / "absent.ckpt", "no such file")
    refused(tmp_path, "is a directory")
    for name, data, words in (
        ("empty.ckpt", b"", "is empty"),
        ("page.ckpt", b"<!DOCTYPE html><html>", "neither"),
        ("short.ckpt", b"x", "neither"),
        (
            "legacy.pt",
            pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2),
            "re-save it with torch.save",
        ),
        ("short.safetensors", b"\x01", "beyond the file"),
    ):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, words)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"x": entry("F8_E4M3", (24,))}, "unknown dtype (F8_E4M3)"),
        ({"x": entry(offsets=(0, 28))}, "beyond the file"),
        ({"x": entry(offsets=(-4, 20))}, "impossible"),
        ({"x": entry(shape=(2, -3))}, "impossible"),
        ({"x": entry(shape=(2, 1.5))}, "impossible"),
        ({"x": entry(offsets=(0, 12, 24))}, "impossible"),
        ({"x": entry(offsets=(24, 0))}, "has -24 bytes"),
        ({"x": entry(shape=(2, 2))}, "has 24 bytes where its shape needs 16"),
        ({"x": entry(), "y": entry(shape=(2,), offsets=(16, 24))}, "overlap or gap"),
        ({"x": entry(shape=(2,), offsets=(8, 16))}, "overlap or gap"),
        ({"x": entry(), "__metadata__": {"a": 1}}, "not text"),
        ({"x": {"dtype": "F32"}}, "damaged"),
        ({"x": None}, "damaged"),
        ({"x": entry(dtype=["F32"])}, "damaged"),  # type: ignore[arg-type]
        ([1], "damaged"),
        (b'{"x": 1, "x": 2}', "twice"),
        (b"{" * 9, "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"{\xff}", "damaged"),
    ],
)
def test_bad_safetensors(tmp_path: Path, header: Any, words: str) -> None:
    refused(safetensors(tmp_path / "bad.safetensors", header), words)


@pytest.mark.parametrize("length", [10_000, (1 << 64) - 1])
def test_safetensors_header_beyond_file(tmp_path: Path, length: int) -> None:
    refused(safetensors(tmp_path / "bad.safetensors", {"x": entry()}, length=length), "header reaches beyond")


def survives(path: Path) -> bool:
    try:
        unet_tensors(read_tensors(path))
    except CheckpointError as error:
        text = str(error)
    else:
        return True
    assert "\n" not in text
    return False


@pytest.mark.parametrize("name", ["diff_lightning.ckpt", "unet_cd.safetensors"])
def test_fuzz_golden_bytes(tmp_path: Path, name: str) -> None:
    whole = golden(name).read_bytes()
    chance = random.Random(name)
    path = tmp_path / name
    for case in range(100):
        data = bytearray(whole[: chance.randrange(len(whole))] if case % 3 == 0 else whole)
        for _ in range(chance.choice([1, 3, 30])):
            # Half of the damage goes to the zip directory at the end or the header at the start.
            end = chance.choice([len(data), min(len(data), 60_000)])
            data[chance.randrange(end) if case % 2 else -1 - chance.randrange(end)] = chance.randrange(256)
        path.write_bytes(data)
        survives(path)


def test_fuzz_pickle_bytes(tmp_path: Path) -> None:
    # Damage inside the pickle proper, which the zip's checksum would otherwise stop first.
    with zipfile.ZipFile(golden("diff_lightning.ckpt")) as archive:
        pickled = archive.read("archive/data.pkl")
    hyper = pickled.index(b"hyper_parameters") - 5
    small = b"\x80\x02" + op({"state_dict": {"model.unet.x": tensor()}, "epoch": 1, "h": call("far.Away", 1)}) + b"."
    chance = random.Random(5)
    outcomes = set()
    for case in range(300):
        source = pickled if case % 12 == 0 else small
        data = bytearray(source)
        for _ in range(chance.choice([1, 2, 8])):
            low = hyper if len(source) > 9999 and case % 24 else 2
            data[chance.randrange(low, len(data))] = chance.choice([chance.randrange(256), 0x72, 0x52, 0x62, 0x85])
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
            archive.writestr("archive/data.pkl", bytes(data))
            archive.writestr("archive/data/0", ROWS.tobytes())
        outcomes.add(survives(tmp_path / "a.pt"))
    assert outcomes == {True, False}

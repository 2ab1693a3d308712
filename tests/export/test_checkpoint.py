# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The checkpoint reader: what it reads, and which network it takes out of a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.engine.errors import CheckpointError
from anacrusis.export.checkpoint import Checkpoint, detect_kind, read_tensors, require_names, unet_tensors

from .checkpoint_writer import (
    ROWS,
    call,
    entry,
    golden,
    name_of,
    on_map,
    op,
    refused,
    safetensors,
    save,
    tensor,
)


@pytest.mark.parametrize("compress", [0, 1])
@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({}, ROWS),
        ({"size": (3, 2), "stride": (1, 3)}, ROWS.T),
        ({"size": (2,), "stride": (3,), "offset": 2}, ROWS[:, 2]),
        ({"size": (), "stride": (), "offset": 4}, ROWS[1, 1]),
        ({"size": (4, 3), "stride": (0, 1), "offset": 3}, np.broadcast_to(ROWS[1], (4, 3))),
        ({"size": (1, 3), "stride": (1 << 61, 1)}, ROWS[:1]),
        ({"size": (0, 3), "offset": 6}, ROWS[:0]),
        (
            {"kind": "UntypedStorage", "numel": 24, "size": (24,), "stride": (1,)},
            ROWS.view(np.uint8).reshape(-1),
        ),
    ],
)
def test_strides_and_offsets(tmp_path: Path, made: dict[str, Any], expected: Any, compress: int) -> None:
    array = read_tensors(save(tmp_path / "a.pt", {"x": tensor(**made)}, compress=compress)).tensors["x"]
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)
    assert not array.flags.writeable
    assert on_map(array) == (not compress and array.size > 0)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("FloatStorage", "f4"),
        ("HalfStorage", "f2"),
        ("DoubleStorage", "f8"),
        ("LongStorage", "i8"),
        ("IntStorage", "i4"),
        ("ShortStorage", "i2"),
        ("CharStorage", "i1"),
        ("ByteStorage", "u1"),
        ("BoolStorage", "?"),
    ],
)
def test_dtypes_come_out_native(tmp_path: Path, kind: str, dtype: str, order: str) -> None:
    values = np.array([0, 1, 1, 0, 1, 0], dtype)
    stored = values.astype(values.dtype.newbyteorder("<" if order == "little" else ">")).tobytes()
    records = {"data/0": stored, "byteorder": order.encode()}
    array = read_tensors(save(tmp_path / "a.pt", {"x": tensor((6,), (1,), kind=kind)}, records)).tensors["x"]
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize("size", [(2, 3), ()])
def test_bfloat16_becomes_float32(tmp_path: Path, size: tuple[int, ...]) -> None:
    bits = (np.array([1.0, -2.5, 3e38, 0.0, np.inf, -0.0], np.float32).view(np.uint32) >> 16).astype("<u2")
    expected = (bits.astype(np.uint32) << 16).view(np.float32)
    made = tensor(size, (3, 1)[: len(size)], kind="BFloat16Storage")
    torch_file = save(tmp_path / "a.pt", {"x": made}, {"data/0": bits.tobytes()})
    array = read_tensors(torch_file).tensors["x"]
    assert array.dtype == np.float32
    assert array.shape == size
    np.testing.assert_array_equal(array, expected.reshape(2, 3) if size else expected[0])
    flat = safetensors(tmp_path / "a.safetensors", {"x": entry("BF16", (6,), (0, 12))}, bits.tobytes())
    np.testing.assert_array_equal(read_tensors(flat).tensors["x"], expected)


def test_lightning_file_reads_weights_only(tmp_path: Path) -> None:
    state = call("collections.OrderedDict", [("a", tensor()), ("b", tensor())]) + op({"_metadata": {}}) + b"b"
    root = {
        "epoch": 3,
        "global_step": 70,
        "pytorch-lightning_version": "2.3.1",
        "state_dict": state,
        "optimizer_states": [{"exp_avg": tensor((9, 9), (9, 1), numel=81, key="1", kind="ComplexFloatStorage")}],
        "hyper_parameters": {
            "cfg": name_of("argparse", "Namespace")
            + b")\x81"
            + op({"lr": 1, "out": call("pathlib.PosixPath", "/")})
            + b"b",
            "noise": name_of("some.where", "Law") + op((1, "x")) + b"\x81",
            "device": call("torch.device", "cuda", 0),
            "dtype": name_of("torch", "bfloat16"),
            "types": [
                name_of("builtins", "int"),
                name_of("__builtin__", "str"),
                call("builtins.set", [1, 2]),
            ],
        },
    }
    ckpt = read_tensors(save(tmp_path / "last.ckpt", root))  # record data/1, the optimizer's, does not even exist
    assert list(ckpt.tensors) == ["a", "b"]
    assert ckpt.tensors["a"] is ckpt.tensors["b"]
    assert ckpt.path == tmp_path / "last.ckpt"
    assert ckpt.metadata == {
        "epoch": "3",
        "global_step": "70",
        "pytorch-lightning_version": "2.3.1",
        "foreign_classes": "argparse.Namespace,pathlib.PosixPath,some.where.Law,torch.ComplexFloatStorage",
    }


@pytest.mark.parametrize("key", ["state_dict", "gen_state_dict"])
def test_other_layouts(tmp_path: Path, key: str) -> None:
    parameter = call("torch._utils._rebuild_parameter", tensor(), True, call("collections.OrderedDict"))
    old = call(
        "torch._utils._rebuild_tensor",
        op(("storage", name_of("torch", "FloatStorage"), "0", "cpu", 6)) + b"Q",
        0,
        (6,),
        (1,),
    )
    root = {key: {"x": parameter, "y": old, "z._extra_state": {}}, "other": {"w": 1}, "it": 5}
    tensors = read_tensors(save(tmp_path / "a.pt", root)).tensors
    np.testing.assert_array_equal(tensors["x"], ROWS)
    np.testing.assert_array_equal(tensors["y"], ROWS.reshape(-1))
    assert len(tensors) == 2


# Every way a pickle has to make and fill an object, on a class that is not there.
@pytest.mark.parametrize(
    "made",
    [
        call("far.Away", 1, "x"),
        name_of("far", "Away") + b")\x81" + op({"a": 1}) + b"b",
        name_of("far", "Away") + b")}" + b"\x92" + op((None, {"a": 1})) + b"b",
        call("far.Away") + op(1) + b"a" + b"(" + op(1) + op(2) + b"e",
        call("far.Away") + op("k") + op(1) + b"s" + b"(" + op("k") + op(1) + b"u",
        call("far.Away") + b"(" + op(1) + b"\x90",
        b"(" + op(1) + b"ifar\nAway\n",
        b"(ifar\nAway\n",
        b"(" + name_of("far", "Away") + op(1) + b"o",
        call("far.Away") + op((1,)) + b"R",
        call("copyreg._reconstructor", name_of("far", "Away"), name_of("builtins", "object"), None),
        call("functools.partial", name_of("torch.optim", "Adam")),
        op("far") + op("Outer.Inner") + b"\x93",
        b"}" + call("far.Away") + op(1) + b"s",
    ],
)
def test_foreign_objects_are_inert(tmp_path: Path, made: bytes) -> None:
    ckpt = read_tensors(save(tmp_path / "a.ckpt", {"hyper_parameters": [made], "state_dict": {"x": tensor()}}))
    np.testing.assert_array_equal(ckpt.tensors["x"], ROWS)
    assert ckpt.metadata["foreign_classes"]


def test_safetensors(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"who": "me"},
        "b": entry("I64", (1,), (24, 32)),
        "a": entry(),
        "e": entry("U8", (0,), (32, 32)),
    }
    ckpt = read_tensors(safetensors(tmp_path / "m.bin", header, ROWS.tobytes() + b"\7" + bytes(7)))
    assert ckpt.metadata == {"who": "me"}
    assert list(ckpt.tensors) == ["b", "a", "e"]
    np.testing.assert_array_equal(ckpt.tensors["a"], ROWS)
    np.testing.assert_array_equal(ckpt.tensors["b"], [7])
    assert on_map(ckpt.tensors["a"])
    assert not ckpt.tensors["a"].flags.writeable


def checkpoint(*names: str) -> Checkpoint:
    return Checkpoint({name: np.full(1, i) for i, name in enumerate(names)}, Path("x.ckpt"), {})


CD = checkpoint("teacher_model.model.unet.a", "net.model.unet.a", "target_model.model.unet.a")
DIFFUSION = checkpoint("model.diffusion.net.a", "model.unet.a", "model.unet.b")


@pytest.mark.parametrize(
    ("ckpt", "kind", "network", "expected"),
    [
        (CD, "auto", "student", {"a": 1}),
        (CD, "cd", "ema", {"a": 2}),
        (CD, "auto", "teacher", {"a": 0}),
        (DIFFUSION, "auto", "student", {"a": 1, "b": 2}),
        (DIFFUSION, "diffusion", "student", {"a": 1, "b": 2}),
    ],
)
def test_unet_of_each_network(ckpt: Checkpoint, kind: Any, network: Any, expected: dict[str, int]) -> None:
    found, tensors = unet_tensors(ckpt, kind, network)
    assert found == detect_kind(ckpt.tensors) == ("cd" if ckpt is CD else "diffusion")
    assert {name: int(array[0]) for name, array in tensors.items()} == expected


@pytest.mark.parametrize(
    ("ckpt", "kind", "network", "words"),
    [
        (CD, "diffusion", "student", ["model.unet.", "net.model.unet.a", "Ask for cd"]),
        (DIFFUSION, "cd", "student", ["net.model.unet.", "model.diffusion.net.a", "Ask for diffusion"]),
        (DIFFUSION, "auto", "ema", ["has no ema network", "ask for student"]),
        (checkpoint("net.model.unet.a"), "cd", "ema", ["target_model.model.unet.", "net.model.unet.a"]),
        (
            checkpoint("p", "q", "r", "s"),
            "auto",
            "student",
            ["net.model.unet.", "p, q, r and 1 more", "Give"],
        ),
        (checkpoint(), "auto", "student", ["it has nothing"]),
        (checkpoint("net.model.unet.map_layer0_s.weight"), "auto", "student", ["map_layer0_s", "CTM"]),
        (checkpoint("net.model.unet.enc.b.affine_s.bias"), "cd", "student", ["affine_s", "CTM"]),
    ],
)
def test_wrong_file(ckpt: Checkpoint, kind: Any, network: Any, words: list[str]) -> None:
    with pytest.raises(CheckpointError) as caught:
        unet_tensors(ckpt, kind, network)
    assert all(word in str(caught.value) for word in ["x.ckpt", *words])


@pytest.mark.parametrize(
    ("has", "words"),
    [
        ({"a": (1, 2), "b": (3,), "r": (4,)}, None),
        ({"a": (1, 2), "b": (3,)}, None),
        ({"b": (3,), "a": (2, 1)}, "net: a has shape (2, 1) and needs (1, 2)"),
        ({"b": (9,)}, "net: a is missing (1 of 3 names"),
        ({"a": (1, 2), "r": (5,)}, "net: b is missing"),
        ({"a": (1, 2), "b": (3,), "r": (5,)}, "net: r has shape"),
        ({"a": (1, 2), "b": (3,), "c": (3,), "d": (1,)}, "net: 2 unexpected names: c, d"),
    ],
)
def test_require_names(has: dict[str, tuple[int, ...]], words: str | None) -> None:
    tensors = {name: np.zeros(shape) for name, shape in has.items()}
    expected = {"a": (1, 2), "b": (3,), "r": (4,)}
    if words is None:
        require_names(tensors, expected, "net", optional=["r"])
    else:
        with pytest.raises(CheckpointError) as caught:
            require_names(tensors, expected, "net", optional=["r"])
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind", "networks", "entries", "foreign"),
    [
        (
            "diff_lightning.ckpt",
            "diffusion",
            ["student"],
            1228,
            "audio_diffusion_pytorch_.diffusion.LogNormalDistribution",
        ),
        ("cd_lightning.ckpt", "cd", ["student", "ema", "teacher"], 1842, "argparse.Namespace"),
        ("unet_diff.safetensors", "diffusion", ["student"], 614, None),
        ("unet_cd.safetensors", "cd", ["student"], 614, None),
    ],
)
def test_golden_unets(name: str, kind: str, networks: list[Any], entries: int, foreign: str | None) -> None:
    ckpt = read_tensors(golden(name))
    assert len(ckpt.tensors) == entries
    assert ckpt.metadata.get("foreign_classes") == foreign
    assert all(on_map(array) for array in ckpt.tensors.values())
    first = []
    for network in networks:
        found, tensors = unet_tensors(ckpt, network=network)
        assert found == kind
        assert len(tensors) == 614
        np.testing.assert_array_equal(tensors["enc.32x32_down.skip.resample_filter"], np.full((1, 1, 2, 2), 0.25))
        first.append(np.asarray(tensors["enc.64x64_conv.weight"]).tobytes())
    assert len(set(first)) == len(networks)


def test_golden_codec() -> None:
    ckpt = read_tensors(golden("m2l.safetensors"))
    assert len(ckpt.tensors) == 583
    with pytest.raises(CheckpointError, match="no U-Net"):
        unet_tensors(ckpt)


def test_no_torch_is_imported(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pt", {"x": tensor(), "y": tensor()})
    code = (
        "import sys; from anacrusis.export.checkpoint import read_tensors; "
        "read_tensors(sys.argv[1]); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_against_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32)
    made = {
        "whole": base.reshape(2, 3, 4),
        "turned": base.reshape(2, 3, 4).permute(2, 0, 1),
        "slice": base[5:20:3],
        "scalar": torch.tensor(3.5, dtype=torch.float64),
        "empty": torch.empty(0, 4),
        "expanded": torch.tensor([1, 2]).expand(3, 2),
        "half": base.half(),
        "brain": (base * 1.37).bfloat16().reshape(4, 6).T,
        "flags": base > 7,
        "parameter": torch.nn.Parameter(base[:4]),
        **torch.nn.BatchNorm1d(3).state_dict(),
    }
    torch.save(
        {"state_dict": made, "rng": torch.get_rng_state(), "hp": [torch.float16, torch.Size([2])]},
        tmp_path / "a.pt",
    )
    ckpt = read_tensors(tmp_path / "a.pt")
    assert list(ckpt.tensors) == list(made)
    for name, tensor_ in made.items():
        expected = tensor_.detach()
        expected = (expected.float() if expected.dtype == torch.bfloat16 else expected).numpy()
        assert ckpt.tensors[name].dtype == expected.dtype
        assert ckpt.tensors[name].shape == expected.shape
        np.testing.assert_array_equal(ckpt.tensors[name], expected)
    torch.save(made, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.pt", "re-save it with torch.save")

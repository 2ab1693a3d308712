# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`anacrusis export`: a file that is wrong is named in one line, and nothing in it is run."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from .conftest import Capture, refused, run

for extra in ("torch", "onnxscript"):
    pytest.importorskip(extra, reason="export needs its extra: pip install 'anacrusis[export]'")


# -- export, refused ----------------------------------------------------------------------------------------


def evil(path: Path, sentinel: Path, *, zipped: bool, deep: bool) -> None:
    """A checkpoint whose unpickling would run a shell command, proven to be one."""

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch '{sentinel}'",)

    data = pickle.dumps({"state_dict": {"net.model.unet.map_label.weight": Evil()}} if deep else Evil(), protocol=2)
    pickle.loads(data)
    sentinel.unlink()  # fails if the pickle is harmless
    if not zipped:
        path.write_bytes(data)
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("deep", [True, False])
def test_a_checkpoint_that_would_run_a_command(
    capsys: Capture, tmp_path: Path, out: Path, zipped: bool, deep: bool
) -> None:
    evil(tmp_path / "last.ckpt", tmp_path / "sentinel", zipped=zipped, deep=deep)
    for model, codec in (("last.ckpt", "m2l.pt"), ("m2l.pt", "last.ckpt")):
        line = refused(capsys, out, *export(tmp_path / model, tmp_path / codec, out))
        assert ("last.ckpt" if model == "last.ckpt" else "m2l.pt: no such file") in line
        assert not (tmp_path / "sentinel").exists()


def export(model: Path, codec: Path, out: Path) -> list[object]:
    return ["export", "--model", model, "--codec", codec, "--out", out / "bundle"]


def tensors(path: Path, *names: str) -> Path:
    header: dict[str, Any] = {
        name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4 * len(names)))
    return path


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("encoder.weight",), "no U-Net: looked for names that start with net.model.unet."),
        (("net.model.unet.conv_in.weight",), "enc.64x64_conv.weight is missing, so it is not the accompaniment U-Net"),
        (("model.unet.map_layer0_s.weight",), "the two-time CTM variant"),
    ],
)
def test_another_architecture(capsys: Capture, tmp_path: Path, out: Path, names: tuple[str, ...], says: str) -> None:
    model = tensors(tmp_path / "other.safetensors", *names)
    line = refused(capsys, out, *export(model, tmp_path / "m2l.pt", out))
    assert line.startswith("anacrusis export: other.safetensors: ")
    assert says in line


@pytest.mark.parametrize("what", ["model", "codec"])
@pytest.mark.parametrize("how", ["missing", "truncated", "swapped"])
def test_a_released_file_that_is_not_whole(
    capsys: Capture, golden: Path, tmp_path: Path, out: Path, what: str, how: str
) -> None:
    files = {"model": golden / "cd_lightning.ckpt", "codec": golden / "m2l.safetensors"}
    good = files[what]
    files[what] = tmp_path / good.name
    if how == "truncated":
        files[what].write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    elif how == "swapped":
        files[what] = golden / ("m2l.safetensors" if what == "model" else "cd_lightning.ckpt")
    line = refused(capsys, out, *export(files["model"], files["codec"], out))
    assert files[what].name in line
    if how == "swapped":
        assert ("no U-Net" if what == "model" else "is not Music2Latent") in line
    else:
        assert ("no such file" if how == "missing" else "get the file again") in line


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "last.ckpt", "--out", "{out}/b"], "--model needs --codec: the path of music2latent.pt"),
        (["--copying", "--out", "{out}"], "exists; choose a new directory"),
        (["--copying", "--out", "{out}", "--force"], "exists; choose a new directory"),
        (["--copying", "--out", "{out}/nowhere/b"], "nowhere is not a directory; make it first"),
    ],
)
def test_an_export_that_cannot_be(capsys: Capture, out: Path, options: list[str], says: str) -> None:
    assert says in refused(capsys, out, "export", *(option.format(out=out) for option in options))


def test_export_writes_the_copying_bundle(capsys: Capture, out: Path) -> None:
    assert run("export", "--copying", "--out", out / "ruler") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {out / 'ruler'}"
    assert run("doctor", "--bundle", out / "ruler") == 0
    assert run("export", "--copying", "--out", out / "ruler") == 2
    assert "add --force to replace it" in capsys.readouterr().err
    assert run("export", "--copying", "--out", out / "ruler", "--force") == 0

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The released files load by every name and shape, or are refused in one line that names what does not fit."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks need torch: pip install 'anacrusis[torch]'")

from safetensors.numpy import load_file, save_file  # noqa: E402

from anacrusis.engine.errors import CheckpointError, MissingExtraError  # noqa: E402
from anacrusis.export.checkpoint import read_tensors  # noqa: E402
from anacrusis.export.load import find_music2latent, load_codec, load_unet  # noqa: E402

CKPTS = {"cd": "cd_lightning.ckpt", "diffusion": "diff_lightning.ckpt"}
Tensors = dict[str, np.ndarray[Any, Any]]


def refused(load: Callable[[], object], *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load()
    text = str(caught.value)
    assert [word for word in words if word not in text] == [], text
    assert "\n" not in text


def edited(source: Path, out: Path, change: Callable[[Tensors], object]) -> Path:
    tensors = load_file(source)
    change(tensors)
    save_file(tensors, out)
    return out


@pytest.mark.parametrize(("kind", "name"), CKPTS.items())
@pytest.mark.parametrize("ask_for_it", [False, True])
def test_the_kind_is_found(golden: Path, kind: Any, name: str, ask_for_it: bool) -> None:
    found, unet, metadata = load_unet(golden / name, kind if ask_for_it else "auto")
    assert found == kind
    assert (unet.config.model_channels, unet.config.label_dim, unet.config.channel_mult_emb) == (4, 4, 4)
    assert not unet.training
    assert {(p.device.type, p.dtype) for p in unet.parameters()} == {("cpu", torch.float32)}
    assert metadata["pytorch-lightning_version"].startswith("2.")
    with torch.no_grad():
        cond = unet.conditioning(torch.zeros(1), torch.eye(4)[:1])
        out = unet.denoise(torch.ones(1, 1, 64, 64), torch.ones(1, 1, 64, 64), cond)
    assert torch.isfinite(out).all()
    assert out.abs().max() > 0


@pytest.mark.parametrize("network", ["student", "ema", "teacher"])
def test_the_three_networks_of_a_cd_file_differ(golden: Path, network: Any) -> None:
    tensors = read_tensors(golden / CKPTS["cd"]).tensors
    prefix = {"student": "net.", "ema": "target_model.", "teacher": "teacher_model."}[network]
    _, unet, _ = load_unet(golden / CKPTS["cd"], network=network)
    wanted = tensors[f"{prefix}model.unet.map_label.weight"]
    np.testing.assert_array_equal(unet.map_label.weight.detach().numpy(), wanted)


@pytest.mark.parametrize(("asked", "has"), [("cd", "diffusion"), ("diffusion", "cd")])
def test_the_other_kind_asked_for(golden: Path, asked: Any, has: str) -> None:
    refused(lambda: load_unet(golden / CKPTS[has], asked), CKPTS[has], f"it is a {has} model", f"Ask for {has}")


def test_the_codec_loads_by_its_own_sizes(golden: Path) -> None:
    codec, path, _ = load_codec(golden / "m2l.safetensors")
    assert path == golden / "m2l.safetensors"
    assert (codec.config.base_channels, codec.config.bottleneck_channels, codec.config.cond_channels) == (8, 64, 32)
    stored = load_file(path)
    for name, tensor in codec.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), stored[name].astype(np.float32), err_msg=name)


def test_the_files_swapped(golden: Path) -> None:
    refused(lambda: load_unet(golden / "m2l.safetensors"), "m2l.safetensors: no U-Net", "Give the last.ckpt")
    refused(
        lambda: load_codec(golden / CKPTS["cd"]),
        "cd_lightning.ckpt: conv_inp.weight is missing, so it is not Music2Latent",
    )


UNET, CODEC = "unet_cd.safetensors", "m2l.safetensors"
PREFIX = "net.model.unet."


@pytest.mark.parametrize(
    ("source", "key"),
    [
        (UNET, "dec.16x16_block0.conv1.weight"),
        (UNET, "map_layer1.bias"),
        (UNET, "enc.64x64_conv.weight"),
        (CODEC, "encoder.conv_out.bias"),
        (CODEC, "conv_inp.weight"),
    ],
)
@pytest.mark.parametrize("how", ["removed", "reshaped", "renamed"])
def test_one_key_that_does_not_fit_is_named(golden: Path, tmp_path: Path, source: str, key: str, how: str) -> None:
    full = (PREFIX if source == UNET else "") + key

    def change(tensors: Tensors) -> None:
        tensor = tensors.pop(full)
        if how == "renamed":
            tensors[full + "_old"] = tensor
        if how == "reshaped":
            tensors[full] = np.concatenate([tensor, tensor], axis=-1)

    path = edited(golden / source, tmp_path / "changed.safetensors", change)
    load: Callable[[Path], object] = load_unet if source == UNET else load_codec
    fits_nothing = "has shape" if how == "reshaped" else "is missing"
    refused(lambda: load(path), "changed.safetensors", key, fits_nothing)


@pytest.mark.parametrize(("source", "extra"), [(UNET, PREFIX + "map_augment.weight"), (CODEC, "gain.extra")])
def test_a_key_too_many_is_named(golden: Path, tmp_path: Path, source: str, extra: str) -> None:
    path = edited(golden / source, tmp_path / "more.safetensors", lambda t: t.update({extra: np.ones(3, np.float32)}))
    load: Callable[[Path], object] = load_unet if source == UNET else load_codec
    refused(lambda: load(path), "1 unexpected names", extra.removeprefix(PREFIX))


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize(
    ("source", "key", "shape", "says"),
    [
        (CODEC, "conv_inp.weight", (), "too few axes"),
        (CODEC, "conv_inp.weight", (0,), "its sizes make no network"),
        (CODEC, "conv_inp.weight", (9, 2, 3, 3), "its sizes make no network"),
        (UNET, PREFIX + "enc.64x64_conv.weight", (), "too few axes"),
        (UNET, PREFIX + "enc.64x64_conv.weight", (0, 2, 3, 3), "another architecture"),
        (UNET, PREFIX + "enc.64x64_conv.weight", (132, 2, 3, 3), "its sizes make no network"),
        (UNET, PREFIX + "enc.64x64_conv.weight", (18, 2, 3, 3), "18 channels: another architecture"),
    ],
)
def test_sizes_that_make_no_network(
    golden: Path, tmp_path: Path, source: str, key: str, shape: tuple[int, ...], says: str
) -> None:
    path = edited(golden / source, tmp_path / "odd.safetensors", lambda t: t.update({key: np.zeros(shape, np.float32)}))
    load: Callable[[Path], object] = load_unet if source == UNET else load_codec
    refused(lambda: load(path), "odd.safetensors", says)


@pytest.mark.parametrize(
    ("name", "load"),
    [(CKPTS["cd"], load_unet), (CKPTS["diffusion"], load_unet), (UNET, load_unet), (CODEC, load_codec)],
)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_copy(
    golden: Path, tmp_path: Path, name: str, load: Callable[[Path], object], share: float
) -> None:
    data = (golden / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(share * len(data))])
    refused(lambda: load(path), name)


# -- the codec's own package --------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `music2latent` whose download_model raises."""
    root = tmp_path / "site" / "music2latent"
    root.mkdir(parents=True)
    (root / "__init__.py").write_text("")
    (root / "utils.py").write_text("def download_model():\n    raise OSError('no route\\nto the hub')\n")
    monkeypatch.syspath_prepend(str(root.parent))
    for name in ("music2latent", "music2latent.utils"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    yield root
    for name in ("music2latent", "music2latent.utils"):
        sys.modules.pop(name, None)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "music2latent" else find_spec(n, *a))
    for find in (find_music2latent, lambda: load_codec("music2latent")):
        with pytest.raises(
            MissingExtraError, match=r"pip install 'anacrusis\[music2latent\]'.*or give the path"
        ) as caught:
            find()
        assert "\n" not in str(caught.value)


def test_a_package_that_cannot_download(package: Path) -> None:
    wanted = str(package / "models" / "music2latent.pt")
    refused(
        find_music2latent, "OSError no route to the hub", "fetch music2latent.pt from its publisher", wanted, "--codec"
    )


def test_a_package_that_downloads_nothing(package: Path) -> None:
    (package / "utils.py").write_text("def download_model():\n    pass\n")
    refused(find_music2latent, "the package left no file", "fetch music2latent.pt")


def test_a_package_that_downloads(package: Path, golden: Path) -> None:
    (package / "utils.py").write_text(
        "import pathlib, shutil\n\n\ndef download_model():\n"
        "    models = pathlib.Path(__file__).parent / 'models'\n    models.mkdir()\n"
        f"    shutil.copy({str(golden / CODEC)!r}, models / 'music2latent.pt')\n"
    )
    codec, path, _ = load_codec("music2latent")
    assert path == package / "models" / "music2latent.pt"
    assert codec.config.base_channels == 8


def test_a_package_that_has_the_file(package: Path) -> None:
    (package / "models").mkdir()
    (package / "models" / "music2latent.pt").write_bytes(b"here")
    (package / "utils.py").write_text("raise RuntimeError('must not be imported')\n")
    assert find_music2latent() == package / "models" / "music2latent.pt"

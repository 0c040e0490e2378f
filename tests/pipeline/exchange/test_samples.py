"""Sample windows are cut from the run's scenes, and replaced by random pixels without them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.exchange.samples import sample_windows
from rsmtdf_core.errors import MissingFileError
from rsmtdf_core.scenes.manifest import load_manifest
from tests.rasters import ramp, write_tiff

MANIFEST = """
name: mosaics
title: Mosaics
classes: [{name: a, color: "#ff0000"}, {name: b, color: "#00ff00"}]
images: "{name}.tif"
masks: null
mask_encoding: {encoding: indices}
bands: {indices: [3, 2, 1], scale: [0, 5000]}
splits:
  train: {where: {name: [one]}}
  val: {where: {name: [two, three]}}
"""


def trained(manifest, root):
    return SimpleNamespace(
        manifest=manifest,
        config=SimpleNamespace(data=SimpleNamespace(root=root)),
        student=SimpleNamespace(bands=3),
    )


def test_windows_are_the_middles_of_validation_scenes(tmp_path):
    (tmp_path / "m.yaml").write_text(MANIFEST)
    for name, height, width in (("one", 40, 40), ("two", 60, 80), ("three", 20, 50)):
        write_tiff(tmp_path / f"{name}.tif", ramp(3, height, width))
    manifest = load_manifest(str(tmp_path / "m.yaml"))
    samples = sample_windows(trained(manifest, tmp_path), None, 32)
    assert samples.windows.shape == (2, 3, 32, 32)
    assert samples.windows.dtype == torch.uint8
    assert sorted(samples.sizes) == [(20, 32), (32, 32)]
    number = samples.sizes.index((32, 32))
    middle = ramp(3, 60, 80)[::-1, 14:46, 24:56]
    assert np.abs(samples.windows[number].numpy() - middle / 5000 * 255).max() <= 0.51
    assert not samples.windows[1 - number][:, 20:].any()
    assert samples.resolution == 50
    assert samples.dtype == np.uint16
    assert samples.origin == "windows of 2 scenes of the split val"


def test_without_scenes_the_pixels_are_random(tmp_path):
    samples = sample_windows(trained(load_manifest("synthetic"), tmp_path / "moved"), None, 16)
    assert samples.origin == "windows of random pixels"
    assert samples.resolution is None
    assert samples.windows.float().std() > 60
    with pytest.raises(MissingFileError):
        sample_windows(trained(load_manifest("synthetic"), tmp_path), tmp_path / "moved", 16)

"""Folders in which some images are bad: the others are predicted, and the bad ones are named at the end."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.predict import predict
from pipeline.reporter import Silent
from rsmtdf_core.errors import DataError, IncompleteError, RunError, WriteError
from rsmtdf_core.student.model import Student
from tests.rasters import halved, ramp, write_tiff


class _Warnings(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def warn(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def folder(tmp_path):
    """Six images: `b.tif` lacks its end, `c.png` and `e.tif` are no images, and the others are good."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (3, 300, 300), np.uint8)
    write_tiff(folder / "a.tif", ramp(3, 40, 40, np.uint8))
    halved(write_tiff(folder / "b.tif", noise))
    (folder / "c.png").write_bytes(b"")
    Image.fromarray(noise[0]).save(folder / "d.png")
    (folder / "e.tif").write_bytes(b"II*\0 and no more")
    write_tiff(folder / "deep" / "f.tif", ramp(3, 40, 40, np.uint8))
    return folder


def test_the_good_images_are_predicted_and_the_bad_ones_named(run, folder, tmp_path):
    good, bad = ["a.tif", "d.png", "deep/f.tif"], ["b.tif", "c.png", "e.tif"]
    for _ in range(2):  # the second time the good ones are kept
        reporter = _Warnings()
        with pytest.raises(
            IncompleteError, match="3 of 6 images failed; the others are complete"
        ) as caught:
            predict(run, [folder], tmp_path / "out", reporter=reporter)
        assert caught.value.written == tuple(tmp_path / "out" / name for name in good)
        for name in bad:
            assert f"where: {folder / name}\n" in str(caught.value)
            assert any(text.startswith(f"skipped {folder / name}") for text in reporter.texts)
            assert not (tmp_path / "out" / name).exists()
        for name in good:
            assert (tmp_path / "out" / name).is_file()
    for name in bad:
        (folder / name).unlink()
    assert predict(run, [folder], tmp_path / "out") == list(caught.value.written)


def test_a_folder_without_a_good_image_leaves_no_output(run, folder, tmp_path):
    for name in ("a.tif", "b.tif", "d.png", "deep/f.tif"):
        (folder / name).unlink()
    with pytest.raises(IncompleteError, match="2 of 2 images failed; nothing was written"):
        predict(run, [folder], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_the_only_image_keeps_its_error(run, folder, tmp_path):
    with pytest.raises(DataError, match="cannot be read") as caught:
        predict(run, [folder / "b.tif"], tmp_path / "out")
    assert not isinstance(caught.value, IncompleteError)


def test_an_error_that_every_image_would_raise_ends_the_batch(run, folder, tmp_path, monkeypatch):
    def refuse(path, **_options):
        raise WriteError("the file cannot be written: no space", where=path)

    with monkeypatch.context() as patches:
        patches.setattr("rsmtdf_core.maps.geotiff.atomic_path", refuse)
        with pytest.raises(WriteError):
            predict(run, [folder], tmp_path / "out")

    def not_finite(_self, images):
        return torch.full_like(images, torch.nan)

    monkeypatch.setattr(Student, "logits", not_finite)
    with pytest.raises(RunError, match="not finite"):
        predict(run, [folder], tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.tif"))

"""An input that cannot be predicted is named with a remedy, and leaves no map."""

import numpy as np
import pytest
from PIL import Image

from pipeline.predict import PredictSettings, predict
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.bands import BandSettings
from tests.rasters import halved, ramp, write_tiff


def truncated(path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(path)
    halved(path)


def bands(path, count, kind=np.uint8):
    write_tiff(path, ramp(count, 40, 40, kind))


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("a b.png", truncated, "cannot be read"),
        ("a b.jpg", truncated, "cannot be read"),
        ("a b.png", lambda path: path.write_bytes(b""), "cannot be read"),
        ("a b.tif", lambda path: path.write_text("404"), "cannot be read"),
        (
            "a b.png",
            lambda path: Image.fromarray(np.full((40, 40), 3000, np.uint16)).save(path),
            "expected bands of 8 bits, found uint16",
        ),
        ("a b.tif", lambda path: bands(path, 2), "expected one band, or at least three, found 2"),
        ("a b.tif", lambda path: bands(path, 3, np.float32), "8 bits, found float32"),
    ],
    ids=["truncated PNG", "truncated JPEG", "empty", "text", "16 bits", "two bands", "floats"],
)
def test_a_wrong_input_is_named(run, tmp_path, name, spoil, message):
    source = tmp_path / name
    spoil(source)
    with pytest.raises(DataError) as caught:
        predict(run, [source], tmp_path / "out")
    assert message in caught.value.what
    assert caught.value.where == str(source)
    assert caught.value.remedy
    assert not list((tmp_path / "out").glob("a b*"))


def test_missing_bands_are_reported(run, tmp_path):
    source = write_tiff(tmp_path / "a.tif", ramp(3, 40, 40, np.uint8))
    settings = PredictSettings(bands=BandSettings(indices=(4, 3, 2)))
    with pytest.raises(DataError, match="expected band 4, found 3 bands") as caught:
        predict(run, [source], tmp_path / "out", settings)
    assert caught.value.where == str(source)
    assert not list((tmp_path / "out").iterdir())

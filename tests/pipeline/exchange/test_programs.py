"""The metadata and the values of tiles are those that GeoDeep and Deepness work with."""

import json

import numpy as np
import pytest

from pipeline.exchange.programs import PROGRAMS, metadata, tile_ranges
from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.bands import BandSettings

SCALED = BandSettings(indices=(3, 2, 1), scale=((0, 3000), (100, 2000), (0, 4000)))


def test_metadata_are_json_texts():
    texts = metadata(("road", 'roof "flat"'), tile=512, overlap=0.333, resolution=30.0)
    values = {key: json.loads(text) for key, text in texts.items()}
    assert values["class_names"] == {"0": "road", "1": 'roof "flat"'}
    assert (values["tile_size"], values["tiles_size"], values["tiles_overlap"]) == (512, 512, 33)
    assert (values["model_type"], values["resolution"], values["seg_thresh"]) == (
        "Segmentor",
        30,
        0,
    )


@pytest.mark.parametrize("name", PROGRAMS)
def test_eight_bits_are_divided_by_255(name):
    for settings in (None, BandSettings()):
        assert tile_ranges(PROGRAMS[name], 3, settings, "uint8") == ((0, 1),) * 3


def test_other_values_are_divided_by_255_or_by_the_range_of_their_type():
    qgis = tile_ranges(PROGRAMS["qgis"], 3, SCALED, "uint16")
    geodeep = tile_ranges(PROGRAMS["geodeep"], 3, SCALED, "int16")
    assert np.allclose(np.array(qgis) * 255, SCALED.scale)
    assert np.allclose(np.array(geodeep) * 65_535, SCALED.scale)


def test_a_program_that_would_read_something_else_is_refused():
    with pytest.raises(ConfigError, match="GeoDeep reads 3 bands, and the run's student expects 4"):
        tile_ranges(PROGRAMS["geodeep"], 4, BandSettings(indices=(1, 2, 3, 4)), "uint8")
    with pytest.raises(ConfigError, match="GeoDeep stretches float32 rasters") as caught:
        tile_ranges(PROGRAMS["geodeep"], 3, SCALED, "float32")
    assert "--for qgis" in caught.value.remedy
    assert len(tile_ranges(PROGRAMS["qgis"], 4, BandSettings(indices=(1, 2, 3, 4)), "uint8")) == 4

"""The contracts of programs that run ONNX models on maps: GeoDeep, and the plug-in Deepness of QGIS.

Both cut a raster into square tiles, hand over a tile as float32 in 0..1 and take the class of the largest output. They
read the other settings from the model's metadata, JSON texts by key. Their sources are the contract: GeoDeep's
`inference.py` and `segmentation.py`, and Deepness's `model_base.py` and `deepness_dockwidget.py`. Both need a fixed
size of tiles.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rsmtdf_core.errors import ConfigError
from rsmtdf_core.scenes.bands import SHOWN, BandSettings

ProgramName = Literal["qgis", "geodeep"]
Ranges = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A program.

    Attributes:
        name: its name in options and file names.
        title: its name in sentences.
        most_bands: the largest number of bands that it reads; None for any.
        by_type: whether a tile's values are divided by the range of the raster's integer type. Otherwise they are
            divided by 255, whatever the type.
    """

    name: ProgramName
    title: str
    most_bands: int | None
    by_type: bool


PROGRAMS: Mapping[ProgramName, Program] = {
    "qgis": Program("qgis", "Deepness", most_bands=None, by_type=False),
    "geodeep": Program("geodeep", "GeoDeep", most_bands=SHOWN, by_type=True),
}


def tile_ranges(
    program: Program, bands: int, settings: BandSettings | None, dtype: npt.DTypeLike
) -> Ranges:
    """Return the values of a tile that become black and white, for each band.

    Args:
        program: the program that reads the tiles.
        bands: number of bands of the student.
        settings: bands and scale of the run's manifest; None for the first three bands, 8 bits each.
        dtype: type of the values in the rasters.

    Raises:
        ConfigError: If the program does not read that many bands or such values.
    """
    where = f"--for {program.name}"
    if program.most_bands is not None and bands > program.most_bands:
        raise ConfigError(
            f"{program.title} reads {program.most_bands} bands, and the run's student expects {bands}",
            where=where,
            remedy="export with --for qgis, or predict with `rsmtdf predict`",
        )
    if settings is None or settings.scale is None:
        return ((0.0, 1.0),) * bands
    divisor = 255.0
    if program.by_type:
        if np.dtype(dtype).kind not in "iu":
            raise ConfigError(
                f"{program.title} stretches {np.dtype(dtype).name} rasters by the values of each tile, so a value "
                "has no fixed meaning",
                where=where,
                remedy="export with --for qgis, or predict with `rsmtdf predict`",
            )
        limits = np.iinfo(np.dtype(dtype))
        divisor = float(limits.max) - float(limits.min)
    return tuple((low / divisor, high / divisor) for low, high in settings.scale)


def metadata(
    names: Sequence[str], *, tile: int, overlap: float, resolution: float
) -> dict[str, str]:
    """Return the metadata that both programs read, with their JSON texts by key.

    With the threshold 0 and no removal of small areas, a pixel's class is that of the largest probability, as in
    `rsmtdf predict`. Deepness's documentation names the size `tiles_size`, its code `tile_size`.

    Args:
        names: names of the classes, by id.
        tile: side of a tile, px.
        overlap: share of a tile that the next one also covers, in [0, 1).
        resolution: size of a pixel, cm.
    """
    values = {
        "model_type": "Segmentor",
        "class_names": {str(number): name for number, name in enumerate(names)},
        "resolution": resolution,
        "tile_size": tile,
        "tiles_size": tile,
        "tiles_overlap": round(100 * overlap),
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    return {key: json.dumps(value) for key, value in values.items()}

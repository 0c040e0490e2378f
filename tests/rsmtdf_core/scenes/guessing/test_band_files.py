"""Scenes of one file for each band are found in SAFE folders, and by names such as B02.tif and x_B02.tif."""

from pathlib import Path

import pytest
from PIL import Image

from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing import guess_layout
from rsmtdf_core.scenes.manifest import Manifest
from tests.rsmtdf_core.scenes.conftest import manifest_values

NAMES = ("B02", "B03", "B04", "B08", "B11", "B8A")
ORDER = ("B04", "B03", "B02", "B08", "B11", "B8A")
SAFE = "{product}.SAFE/GRANULE/{granule}/IMG_DATA/"


def put(root: Path, *paths: str, mode: str = "L") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (2, 2)).save(root / path, format="PNG")


def safe_folder(day: int) -> list[str]:
    """The images of a Sentinel-2 product of level 2A."""
    folder = f"S2A_MSIL2A_2020010{day}.SAFE/GRANULE/L2A_T32TQM_A0{day}"
    tile = f"T32TQM_2020010{day}T101401"
    meters = {
        10: ("B02", "B03", "B04", "B08", "AOT", "TCI", "WVP"),
        20: ("B01", "B02", "B03", "B04", "B11", "B8A", "SCL", "TCI"),
        60: ("B01", "B02", "B03", "B04", "B09", "B11", "B8A", "SCL"),
    }
    images = [
        f"{folder}/IMG_DATA/R{size}m/{tile}_{name}_{size}m.jp2"
        for size, names in meters.items()
        for name in names
    ]
    return [*images, f"{folder}/QI_DATA/MSK_CLASSI_B00.jp2", f"{folder}/QI_DATA/T32TQM_PVI.jp2"]


LAYOUTS = {
    "folders of bands": (
        [f"{scene}/{name}.tif" for scene in "xy" for name in NAMES],
        [f"{{name}}/{name}.tif" for name in ORDER],
        None,
    ),
    "folders of bands with their masks": (
        [f"{scene}/{name}.tif" for scene in "xy" for name in (*NAMES, "labels")],
        [f"{{name}}/{name}.tif" for name in ORDER],
        "{name}/labels.tif",
    ),
    "folders of bands, and a folder of masks": (
        [f"scenes/{scene}/{name}.tif" for scene in "xy" for name in NAMES]
        + [f"labels/{scene}.png" for scene in "xy"],
        [f"scenes/{{name}}/{name}.tif" for name in ORDER],
        "labels/{name}.png",
    ),
    "bands by resolution": (
        [
            f"{scene}/R{meters}m/{name}_{meters}m.tif"
            for scene in "xy"
            for name, meters in zip(NAMES, (10, 10, 10, 10, 20, 20), strict=True)
        ],
        [
            f"{{name}}/R{meters}m/{name}_{meters}m.tif"
            for name, meters in zip(ORDER, (10, 10, 10, 10, 20, 20), strict=True)
        ],
        None,
    ),
    "files next to each other": (
        [f"{scene}_{name}.tif" for scene in ("x_1", "y_2") for name in (*NAMES, "mask")],
        [f"{{name}}_{name}.tif" for name in ORDER],
        "{name}_mask.tif",
    ),
    "splits": (
        [
            f"{split}/{split}{scene}/{name}.tif"
            for split in ("train", "val")
            for scene in "xy"
            for name in (*NAMES, "mask")
        ],
        [f"{{split}}/{{name}}/{name}.tif" for name in ORDER],
        "{split}/{name}/mask.tif",
    ),
    "SAFE": (
        [*safe_folder(1), *safe_folder(2), "labels/T32TQM_20200101T101401.tif"],
        [
            *(f"{SAFE}R10m/{{name}}_{name}_10m.jp2" for name in ORDER[:4]),
            *(f"{SAFE}R20m/{{name}}_{name}_20m.jp2" for name in ORDER[4:]),
        ],
        "labels/{name}.tif",
    ),
    "SAFE of level 1C": (
        [
            f"S2A_{day}.SAFE/GRANULE/L1C_{day}/IMG_DATA/T32_{day}_{name}.jp2"
            for day in "12"
            for name in (*NAMES, "TCI", "B10")
        ],
        [f"{SAFE}{{name}}_{name}.jp2" for name in ORDER],
        None,
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_files_of_each_band_are_a_pattern(tmp_path, name):
    paths, images, masks = LAYOUTS[name]
    put(tmp_path, *paths)
    layout = guess_layout(tmp_path)
    assert (layout.images, layout.masks) == (tuple(images), masks)
    assert {len(files) for files in layout.image_files} == {len(images)}
    assert sum(masked for _, masked in layout.pairs) == len(layout.mask_files)
    Manifest.model_validate(
        manifest_values(images=layout.images, masks=layout.masks, splits={"train": {}})
    )


@pytest.mark.parametrize(
    ("paths", "mode"),
    [
        (["x_B02.png", "x_B03.png", "y_B02.png"], "L"),  # without red
        (["x_B02.png", "x_B03.png", "x_B04.png"], "RGB"),  # pictures of parts
        (["B02.png", "B03.png", "B04.png"], "L"),  # without a name
    ],
)
def test_other_images_with_such_names_are_single_files(tmp_path, paths, mode):
    put(tmp_path, *paths, mode=mode)
    layout = guess_layout(tmp_path)
    assert layout.images == ("{name}.png",)
    assert len(layout.image_files) == 3


def test_names_that_differ_between_scenes_are_an_error(tmp_path):
    put(tmp_path, *(f"x_{name}.tif" for name in NAMES), *(f"y_{name}_10m.tif" for name in NAMES))
    with pytest.raises(DataError, match=r"band B04 are named in several ways.*x_B04.tif"):
        guess_layout(tmp_path)


def test_patterns_of_several_files_may_be_given(tmp_path):
    put(tmp_path, *(f"{scene}/{name}.tif" for scene in "xy" for name in ("red", "nir", "mask")))
    patterns = ("{scene}/nir.tif", "{scene}/red.tif")
    layout = guess_layout(tmp_path, patterns, "{scene}/mask.tif")
    assert layout.images == patterns
    assert layout.image_files[0] == ("x/nir.tif", "x/red.tif")
    with pytest.raises(DataError, match="the files of an image need the same fields"):
        guess_layout(tmp_path, ("{scene}/nir.tif", "{name}/red.tif"))

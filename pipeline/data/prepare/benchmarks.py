"""The published benchmarks: their files, counts, sizes and the names of their published crops.

Classes, colors and splits are in the packaged manifests. This module has the facts that only `data prepare` needs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

CROP = 512  # px; side and stride of the published crops

# Allowed values of fields in file names; all other fields are numbers.
_FIELDS = {"part": "Train|Val", "area": "Rural|Urban"}
_FIELD = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True)
class FileName:
    """The path of a file below some folder, with {fields} as in a manifest's pattern."""

    pattern: str

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """A regular expression for posix paths; the group `prefix` is the folder above the pattern."""
        parts = _FIELD.split(self.pattern)
        literals, fields = parts[::2], parts[1::2]
        groups = [f"(?P<{name}>{_FIELDS.get(name, '[0-9]+')})" for name in fields]
        middle = "".join(
            group + re.escape(text) for group, text in zip(groups, literals[1:], strict=True)
        )
        return re.compile(rf"(?P<prefix>(?:.*/)?){re.escape(literals[0])}{middle}")

    @cached_property
    def forms(self) -> tuple["FileName", ...]:
        """The name and, if its folders have no fields, the name without folders: users may name that folder itself."""
        folders, _, name = self.pattern.rpartition("/")
        return (self, FileName(name)) if folders and not _FIELD.search(folders) else (self,)

    def matched(self, path: str) -> tuple[str, dict[str, str]] | None:
        """Return the prefix and the fields of a path; None for other files."""
        match = self.regex.fullmatch(path)
        if match is None:
            return None
        fields = match.groupdict()
        return fields.pop("prefix"), fields


@dataclass(frozen=True)
class Benchmark:
    """One published dataset.

    Attributes:
        name: the name, also that of its first packaged manifest.
        manifests: the packaged manifests, one for each of our splits.
        image: the name of an original image.
        masks: possible names of a mask; archives differ.
        size: width and height of every image, px.
        counts: the published number of images, by the value of `counted_by`.
        counted_by: a field, or None to count all images together under "".
        crop_image: the name of a crop; {crop} counts from 1, row by row.
        crop_mask: the name of a crop's mask.
        crops_from_1: whether published crops keep raw ids: 1 for the first class, 0 for no class.
        md5: the published md5 of archives, by file name.
        urls: the addresses of archives that need no login, by file name.
        source: the source of the data and its form.
    """

    name: str
    manifests: tuple[str, ...]
    image: FileName
    masks: tuple[FileName, ...]
    size: tuple[int, int]
    counts: Mapping[str, int]
    counted_by: str | None
    crop_image: FileName
    crop_mask: FileName
    source: str
    crops_from_1: bool = False
    md5: Mapping[str, str] = field(default_factory=dict)
    urls: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> int:
        """Number of crops in a row of a tile; the last one may reach over the border."""
        return -(-self.size[0] // CROP)

    @property
    def crops(self) -> int:
        """Number of crops of a tile."""
        return self.columns * -(-self.size[1] // CROP)

    def corner(self, number: int) -> tuple[int, int]:
        """Return left and top of a crop in its tile, px; crops count from 1, row by row."""
        row, column = divmod(number - 1, self.columns)
        return column * CROP, row * CROP

    def number(self, left: int, top: int) -> int:
        """Return the number of the crop with this upper left corner, px."""
        return top // CROP * self.columns + left // CROP + 1


_LOVEDA = "https://zenodo.org/records/5706578/files"

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            name="loveda",
            manifests=("loveda", "loveda-published", "loveda-areas"),
            image=FileName("{part}/{area}/images_png/{name}.png"),
            masks=(FileName("{part}/{area}/masks_png/{name}.png"),),
            size=(1024, 1024),
            counts={"Train": 2522, "Val": 1669},
            counted_by="part",
            crop_image=FileName("{part}/{area}/images_png/{name}_{crop}.png"),
            crop_mask=FileName("{part}/{area}/masks_png/{name}_{crop}.png"),
            crops_from_1=True,
            # From torchgeo's `datasets/loveda.py`, which downloads the same archives.
            md5={
                "Train.zip": "de2b196043ed9b4af1690b3f9a7d558f",
                "Val.zip": "84cae2577468ff0b5386758bb386d31d",
            },
            urls={name: f"{_LOVEDA}/{name}?download=1" for name in ("Train.zip", "Val.zip")},
            source="Train.zip and Val.zip of https://zenodo.org/records/5706578: "
            "rsmtdf data download loveda --to DIR",
        ),
        Benchmark(
            name="potsdam",
            manifests=("potsdam",),
            image=FileName("top_potsdam_{row}_{column}_RGB.tif"),
            masks=(
                FileName("top_potsdam_{row}_{column}_label.tif"),
                FileName("top_potsdam_{row}_{column}_label_noBoundary.tif"),
            ),
            size=(6000, 6000),
            counts={"": 38},
            counted_by=None,
            crop_image=FileName("image/top_potsdam_{row}_{column}_{crop}_RGB.tif"),
            crop_mask=FileName("label/top_potsdam_{row}_{column}_{crop}_label.tif"),
            source="ask for it at https://www.isprs.org/education/benchmarks/UrbanSemLab (a form): "
            "2_Ortho_RGB.zip and 5_Labels_all.zip",
        ),
        Benchmark(
            name="deepglobe",
            manifests=("deepglobe",),
            image=FileName("{tile}_sat.jpg"),
            masks=(FileName("{tile}_mask.png"),),
            size=(2448, 2448),
            counts={"": 803},
            counted_by=None,
            crop_image=FileName("data_cropped/{tile}_sat_{crop}.jpg"),
            crop_mask=FileName("data_cropped/{tile}_mask_{crop}.png"),
            source="the land cover track of https://competitions.codalab.org/competitions/18468, "
            "or its copy on Kaggle (balraj98/deepglobe-land-cover-classification-dataset); both need a login",
        ),
    )
}

"""The benchmarks in their original layouts with tiles enough for every split, made of the genuine samples.

Mirrored samples stand for the tiles that the samples lack: other pixels, the same formats and sizes.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

# Colours of the published labels, in the order of the class ids.
POTSDAM = ("FFFFFF", "0000FF", "00FFFF", "00FF00", "FFFF00", "FF0000")

CROPS = {"labeled": (1, 14), "unlabeled": (2, 3, 13, 40), "val": (25,), "test": (26, 144)}


def lay_out_loveda(samples: Path, root: Path) -> None:
    """Two images in Train, two in Val, whose masks have no data in their first rows."""
    places = (("1", "Train/Rural"), ("2", "Train/Urban"), ("2", "Val/Rural"), ("0", "Val/Urban"))
    for number, (name, part) in enumerate(places):
        for kind in ("images", "masks"):
            source = samples / "loveda_sample" / kind / f"{name}.png"
            mirrored = part == "Train/Urban"  # the same image is in Val
            path = root / part / f"{kind}_png" / f"{number}.png"
            _copy(source, path, mirrored=mirrored)
            if kind == "masks" and part.startswith("Val"):
                _without_data(path)


def lay_out_deepglobe(samples: Path, root: Path) -> None:
    """Four images."""
    for file in sorted((samples / "deepglobe_sample").iterdir()):
        _copy(file, root / "train" / file.name, mirrored=False)
        _copy(file, root / "train" / f"4{file.name}", mirrored=True)


def lay_out_potsdam(samples: Path, root: Path) -> None:
    """One tile of full size in four turns of the sample, and official lists of a few of its crops."""
    image, indices = (
        np.asarray(Image.open(next((samples / "potsdam_sample" / kind).iterdir())))
        for kind in ("images", "masks")
    )
    colors = np.array([_rgb("000000"), *map(_rgb, POTSDAM)], np.uint8)  # index 0 is a boundary
    for folder, name, pixels in (
        ("2_Ortho_RGB", "RGB", image),
        ("5_Labels_all", "label", colors[indices]),
    ):
        rows = np.concatenate([pixels, pixels[:, ::-1]], axis=1)
        tile = np.tile(np.concatenate([rows, rows[::-1]]), (6, 6, 1))[:6000, :6000]
        (root / folder).mkdir(parents=True)
        Image.fromarray(tile).save(root / folder / f"top_potsdam_2_10_{name}.tif")
    share = root / "splits" / "1"
    share.mkdir(parents=True)
    for name, numbers in CROPS.items():
        lines = (
            f"image/top_potsdam_2_10_{n}_RGB.tif label/top_potsdam_2_10_{n}_label.tif\n"
            for n in numbers
        )
        lists = share if name.endswith("labeled") else share.parent
        (lists / f"{name}.txt").write_text("".join(lines))


def _copy(source: Path, path: Path, *, mirrored: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not mirrored:
        path.write_bytes(source.read_bytes())
        return
    with Image.open(source) as image:
        ImageOps.mirror(image).save(path, quality=95)


def _without_data(mask: Path) -> None:
    with Image.open(mask) as picture:
        ids = np.array(picture)
    ids[:48] = 0
    Image.fromarray(ids).save(mask)


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color))

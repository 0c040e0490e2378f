"""Images with labels in the files of annotation tools, for tests."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.scenes.manifest import Manifest

pytest.importorskip("shapely")

WIDTH, HEIGHT = 24, 16
LAND, ROAD, ROOF, NONE = 0, 1, 2, 255


def write_image(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), **how) -> Path:
    """Write an image whose pixels depend on its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(path.name.encode(), "little")
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **how)
    return path


def ring(left: float, top: float, right: float, bottom: float) -> list[float]:
    """The coordinates of a rectangle, as COCO lists them."""
    return [left, top, right, top, right, bottom, left, bottom]


def coco(
    images: Sequence[str | dict], annotations: Iterable[dict], categories=("road", "roof")
) -> dict:
    """Return a COCO document; images have the numbers 1, 2 ..., and categories too."""
    listed = [image if isinstance(image, dict) else {"file_name": image} for image in images]
    size = {"width": WIDTH, "height": HEIGHT}
    return {
        "info": {"description": "test"},
        "images": [{"id": number} | size | image for number, image in enumerate(listed, 1)],
        "categories": [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(categories, 1)
        ],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0} | annotation
            for number, annotation in enumerate(annotations, 1)
        ],
    }


def labelme(shapes: Iterable[dict], /, image: str = "a.png", **keys) -> dict:
    """Return a LabelMe document."""
    known = {"label": "road", "shape_type": "polygon", "flags": {}, "group_id": None}
    return {
        "version": "5.5.0",
        "shapes": [known | shape for shape in shapes],
        "imagePath": image,
        "imageData": "AAAA",
        "imageWidth": WIDTH,
        "imageHeight": HEIGHT,
    } | keys


def write_json(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def annotated_manifest(
    masks="labels.json", images="images/{name}.*", names=("land", "road", "roof"), **encoding
) -> Manifest:
    colors = (f"#00000{number}" for number in range(1, 9))
    values = {
        "name": "annotated",
        "title": "Annotated",
        "classes": [
            {"name": name, "color": color} for name, color in zip(names, colors, strict=False)
        ],
        "images": images,
        "masks": masks,
        "mask_encoding": {"encoding": "coco"} | encoding,
        "splits": {"train": {}},
    }
    return Manifest.model_validate(values)

"""Mask files become the class ids that they became before, or `DECODING` is another number."""

import hashlib

import numpy as np

from rsmtdf_core.scenes.files import open_mask
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.masks import DECODING
from tests.any_folder import MASKS, PALETTE

# Class ids of a drawn mask in each lossless encoding, by the version of decoding. Where this test fails, masks are
# read in another way than before: raise DECODING, so that cached pixels are compared, and add its digest here.
DIGESTS = {1: "1322f6d4a45d3a7cd70cf88db169bce1f47be6b2340298952351b5bc05d01a20"}


def drawn(classes: int) -> np.ndarray:
    """Areas of all classes, uint8 [24, 30]."""
    rows, columns = np.mgrid[:24, :30] // 6
    return ((3 * rows + columns) % classes).astype(np.uint8)


def manifest(name: str) -> Manifest:
    encoding = MASKS[name]
    colors = [f"#{bytes(color).hex().upper()}" for color in PALETTE.tolist()]
    by_color = name == "colours"
    return Manifest.model_validate(
        {
            "name": "t",
            "title": "t",
            "classes": [{"name": color, "color": color} for color in colors[: encoding.classes]],
            "images": "{name}.png",
            "masks": "{name}.png",
            "mask_encoding": {"encoding": "colors"}
            if by_color
            else {"encoding": "indices", "ignore": [255, -9999], "offset": int("from 1" in name)},
            "splits": {"train": {}},
        }
    )


def test_masks_are_decoded_as_they_were(tmp_path):
    digest = hashlib.sha256()
    for name, encoding in sorted(MASKS.items()):
        if encoding.lossy:
            continue
        path = tmp_path / f"mask{encoding.suffix}"
        encoding.write(drawn(encoding.classes))(path)
        with open_mask(path, manifest(name)) as mask:
            ids, unknown = mask.class_ids()
        path.unlink()
        digest.update(ids.tobytes() + repr(sorted(unknown.items())).encode())
    assert digest.hexdigest() == DIGESTS[DECODING]

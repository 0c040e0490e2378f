import numpy as np
import pytest
from PIL import Image

from rsmtdf_core.charts import class_shares
from rsmtdf_core.charts.class_shares import class_shares_picture
from rsmtdf_core.scenes.check import SplitCheck
from rsmtdf_core.scenes.manifest import Manifest

COLORS = {"rare": "#FF0000", "common": "#00FF00"}


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.model_validate(
        {
            "name": "small",
            "title": "Small",
            "classes": [{"name": name, "color": color} for name, color in COLORS.items()],
            "images": "images/{name}.png",
            "masks": "masks/{name}.png",
            "mask_encoding": {"encoding": "indices"},
            "splits": {"train": {}},
        }
    )


def split(name: str, rare: int, common: int) -> SplitCheck:
    pixels = {"rare": rare, "common": common}
    return SplitCheck(
        name=name, scenes=2, labeled=1, unlabeled=("x.png",), pixels=pixels, ignored=0
    )


def width_of(picture: np.ndarray, color: tuple[int, int, int], left: int) -> int:
    """The px of the longest row of a colour, right of the names."""
    return int((picture[:, left:] == color).all(axis=2).sum(axis=1).max())


def test_bars_are_as_long_as_shares(manifest, tmp_path):
    class_shares_picture(tmp_path / "c.png", manifest, [split("train", 25, 75)])
    picture = np.asarray(Image.open(tmp_path / "c.png").convert("RGB"))
    rare, common = (width_of(picture, color, 120) for color in ((255, 0, 0), (0, 255, 0)))
    assert common > 100
    assert rare / common == pytest.approx(1 / 3, abs=0.02)


def test_every_split_has_its_column_and_an_empty_one_no_bar(manifest, tmp_path):
    class_shares_picture(tmp_path / "one.png", manifest, [split("train", 0, 0)])
    class_shares_picture(tmp_path / "two.png", manifest, [split("train", 1, 1), split("val", 1, 1)])
    narrow, wide = (
        np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in ("one.png", "two.png")
    )
    assert wide.shape[1] > narrow.shape[1]
    assert width_of(narrow, (0, 255, 0), 150) == 0
    assert width_of(wide, (0, 255, 0), 150) > 200


@pytest.mark.parametrize("count", [50, 250])
def test_many_classes_have_small_rows_and_the_rarest_one_together(count, manifest, tmp_path):
    names = [f"class {number}" for number in range(count)]
    classes = [{"name": name, "color": f"#0000{number:02X}"} for number, name in enumerate(names)]
    many = Manifest.model_validate(manifest.model_dump(mode="json") | {"classes": classes})
    pixels = {name: number for number, name in enumerate(names)}
    check = split("train", 0, 0).model_copy(update={"pixels": pixels})
    rows = class_shares._class_rows(many, [check])
    assert sum(row[2][0] for row in rows) == sum(pixels.values())
    if count == 250:
        assert len(rows) == 99
        assert rows[-1][0] == "the 152 rarest classes"
        assert rows[0][0] == "class 152"
    class_shares_picture(tmp_path / "c.png", many, [check])
    with Image.open(tmp_path / "c.png") as picture:
        assert max(picture.size) < 2700

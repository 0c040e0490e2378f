"""The cost of reading files: the reader of scenes compared with plain Pillow, as ratios within one run.

    python tests/benchmarks/bench_reading.py [FORMAT...]

Scenes are drawn, saved as 8-bit PNG, JPEG and GeoTIFF, and views are rendered of labeled scenes (pixels and mask) by a
reader that keeps one scene, so that each view decodes its pair. The plain reader opens and converts with Pillow: a
header for each size, the pixels by strips, and the same of the mask. A minute.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from timing import Line, alternate, table

from pipeline.demo.scenes import draw_scenes
from rsmtdf_core.scenes import files
from rsmtdf_core.scenes import rasters as reading
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.scenes.masks import encode_mask
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import Scene
from rsmtdf_core.views.render import render_image, render_mask
from rsmtdf_core.views.view import Geometry

SCENES, SIDE, CROP = 6, 512, 224
ROUNDS = 21
SUFFIXES = (".png", ".jpg", ".tif")
GEOMETRY = Geometry(width=600, height=600, left=180, top=160, flip=True)

Pixels = npt.NDArray[np.uint8]


class PlainReader:
    """Pillow alone, which opens each file every time it is needed."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root, self.manifest = root, manifest
        self.opened = 0

    def _open(self, path: str) -> Image.Image:
        self.opened += 1
        return Image.open(self.root / path)

    def _mode(self, path: str) -> None:
        """A look at the header, which TIFFs took before they were read."""
        if path.endswith(".tif"):
            with self._open(path) as image:
                assert image.mode in {"RGB", "L", "P"}

    def image(self, scene: Scene) -> Pixels:
        self._mode(scene.image)
        with self._open(scene.image) as image:
            return _decoded(image)

    def mask(self, scene: Scene) -> Pixels:
        assert scene.mask is not None
        self._mode(scene.image)
        with self._open(scene.image) as image, self._open(scene.mask) as mask:
            assert image.size == mask.size
        with self._open(scene.mask) as mask:
            return encode_mask(_decoded(mask), self.manifest)[0]


def _decoded(image: Image.Image) -> Pixels:
    """The pixels, converted by strips, so that a large image is not in memory several times."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, 1024):
        bottom = min(top + 1024, image.height)
        rows = image.crop((0, top, image.width, bottom))
        pixels[top:bottom] = np.asarray(rows if rows.mode == "RGB" else rows.convert("RGB"))
    return pixels


def save_scenes(root: Path, suffix: str) -> Manifest:
    """Drawn scenes with images of a format below `root`, and their manifest."""
    draw_scenes(root, SCENES, SIDE, seed=0)
    for path in sorted((root / "images").iterdir()):
        with Image.open(path) as image:
            pixels = image.convert("RGB")
        path.unlink()
        pixels.save(path.with_suffix(suffix), **({"quality": 95} if suffix == ".jpg" else {}))
    known = load_manifest("synthetic")
    images = known.images.rpartition(".")[0] + ".*"
    return known.model_copy(update={"images": images, "splits": {"train": known.splits["train"]}})


def render_all(reader: SceneReader | PlainReader, scenes: list[Scene], manifest: Manifest) -> int:
    """A view and its mask of every scene; a sum that depends on all of them."""
    total = 0
    for scene in scenes:
        total += int(render_image(reader.image(scene), GEOMETRY, CROP).sum())
        total += int(render_mask(reader.mask(scene), GEOMETRY, CROP, manifest.ignore_id).sum())
    return total


def count_opens(scenes: list[Scene], reader: SceneReader, manifest: Manifest) -> float:
    """How often a file of a pair is opened for a view and its mask."""
    opened: Counter[Path] = Counter()
    original = files.open_image

    def counting(path: Path):
        opened[path] += 1
        return original(path)

    files.open_image = reading.open_image = counting
    try:
        render_all(reader, scenes, manifest)
    finally:
        files.open_image = reading.open_image = original
    return opened.total() / len(opened)


def measure(suffix: str, folder: Path) -> list[Line]:
    """The lines of a format."""
    root = folder / suffix
    manifest = save_scenes(root, suffix)
    dataset = find_scenes(manifest, root)
    scenes = [scene for scene in dataset.splits["train"] if scene.mask is not None]
    plain = PlainReader(root, manifest)

    def render_new() -> None:
        # Keeps what belongs to one scene, and forgets it before the next round.
        render_all(SceneReader(dataset, cache_bytes=SIDE * SIDE * 5), scenes, manifest)

    def render_old() -> None:
        render_all(plain, scenes, manifest)

    same = render_all(SceneReader(dataset), scenes, manifest) == render_all(plain, scenes, manifest)
    assert same, "both see the same pixels"
    taken = alternate({"new": render_new, "plain": render_old}, ROUNDS)
    plain.opened = 0
    render_all(plain, scenes, manifest)
    opens = count_opens(scenes, SceneReader(dataset), manifest)
    return [
        (f"{suffix}: views/s, the reader / plain Pillow", taken["plain"] / taken["new"], ">=1.0"),
        (f"{suffix}: times that each file of a pair is opened", opens, "<=1"),
        (f"{suffix}: the same of plain Pillow", plain.opened / len(scenes) / 2, ""),
    ]


def main() -> None:
    suffixes = sys.argv[1:] or SUFFIXES
    with tempfile.TemporaryDirectory() as folder:
        lines = [line for suffix in suffixes for line in measure(suffix, Path(folder))]
    print("## Reading images\n")
    print(table(lines))


if __name__ == "__main__":
    main()

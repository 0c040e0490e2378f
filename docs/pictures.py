"""Draws the README's pictures of what commands write, from the scenes and the run of `rsmtdf demo`.

    python docs/pictures.py DEMO DOCS

DEMO is the folder of a finished demo, DOCS where check.png, map.png and report.png go. The last is a screenshot and
needs chromium or google-chrome.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
from PIL import Image

from pipeline.check_data import check_data, sample_rows
from pipeline.demo_scenes import draw_scene
from pipeline.predict import predict
from pipeline.report import report
from rsmtdf_core.evaluation.canvas import MARGIN, MUTED, canvas
from rsmtdf_core.evaluation.pictures import PanelRow, panel_picture
from rsmtdf_core.manifests.masks import colorize
from rsmtdf_core.manifests.reader import SceneReader
from rsmtdf_core.manifests.scenes import Dataset, find_pairs, split_pairs
from rsmtdf_core.manifests.schema import Manifest, load_manifest

GAP = 12  # px between two panels
PLACE = 640  # px of the GeoTIFF's sides, a metre each
PAGE = (1280, 2000)  # px of the page that are shown
BROWSERS = ("chromium", "google-chrome")


def main() -> None:
    """Draw all three."""
    demo, docs = (Path(word) for word in sys.argv[1:3])
    manifest = load_manifest("synthetic")
    (run,) = (demo / "runs").iterdir()
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        draw_check(docs / "check.png", manifest, demo / "scenes", scratch)
        draw_map(docs / "map.png", manifest, run, scratch)
        draw_report(docs / "report.png", run, scratch)


def draw_check(path: Path, manifest: Manifest, root: Path, scratch: Path) -> None:
    """A sample of each split with its mask, and how often each class occurs, as `data check --out` writes them."""
    check_data(manifest, root, scratch)
    with Image.open(scratch / "classes.png") as picture:
        shares = np.asarray(picture.convert("RGB"))
    reader = SceneReader(Dataset(manifest, root, {}))
    splits = split_pairs(manifest, find_pairs(manifest, root))
    samples = [sample_rows(reader, split, pairs)[0] for split, pairs in splits.items()]
    width = shares.shape[1]
    side = (width - 2 * MARGIN - (2 * len(samples) - 1) * GAP) // (2 * len(samples))
    top = MARGIN + 24
    with canvas(path, width, top + side + shares.shape[0]) as page:
        for number, row in enumerate(samples):
            assert row.truth is not None
            left = MARGIN + number * 2 * (side + GAP)
            page.text(left, MARGIN + 4, row.title, 8, color=MUTED)
            for place, pixels in enumerate((row.image, colorize(row.truth, manifest))):
                small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX)
                page.image(left + place * (side + GAP), top, np.asarray(small))
        page.image(0, top + side, shares)
    _shrink(path)


def draw_map(path: Path, manifest: Manifest, run: Path, scratch: Path) -> None:
    """A GeoTIFF of a place that is in no split, and its map."""
    image, _ = draw_scene(PLACE, seed=1, number=0)
    source = scratch / "place.tif"
    profile = {"width": PLACE, "height": PLACE, "count": 3, "dtype": "uint8", "crs": "EPSG:32640"}
    transform = rasterio.Affine(1, 0, 400_000, 0, -1, 2_800_000)
    with rasterio.open(source, "w", driver="GTiff", transform=transform, **profile) as file:
        file.write(np.moveaxis(image, 2, 0))
    (made,) = predict(run, [source], scratch / "maps")
    with rasterio.open(made) as file:
        row = PanelRow(f"{source.name}: {PLACE} x {PLACE} m, {file.crs}", image, None, file.read(1))
    panel_picture(path, [row], manifest)
    _shrink(path)


def draw_report(path: Path, run: Path, scratch: Path) -> None:
    """The upper part of a page on the run, as a browser on a desktop shows it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"{path} is left as it is: it needs {' or '.join(BROWSERS)}")
    page = report([run], scratch / "report.html").path
    size = ",".join(map(str, PAGE))
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={size}",
    ]
    places = [f"--user-data-dir={scratch / 'profile'}", f"--screenshot={path.absolute()}"]
    command = [browser, *flags, *places, "--virtual-time-budget=3000", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - a browser that this machine has
    _shrink(path)


def _shrink(path: Path) -> None:
    """Write a picture again with a palette of 256 colours: a third of the bytes."""
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()

"""Draw the documentation's pictures of the commands' outputs from the scenes and the run of `rsmtdf demo`.

    python docs/pictures.py DEMO DOCS

DEMO is the folder of a finished demo, DOCS the folder for check.png, demo.png, map.png and report.png. The last is a
screenshot and needs chromium or google-chrome.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
from PIL import Image, ImageChops

from pipeline.config import load_config
from pipeline.data.check import check_data, sample_rows
from pipeline.demo.scenes import draw_scene
from pipeline.predict import predict
from pipeline.runs.report import report
from rsmtdf_core.charts.canvas import canvas
from rsmtdf_core.charts.panels import PanelRow, panel_picture
from rsmtdf_core.charts.style import MARGIN, MUTED
from rsmtdf_core.scenes.find import Dataset, find_scenes
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.scenes.masks import colorize
from rsmtdf_core.scenes.reader import SceneReader

GAP = 8  # px between an image and its mask
SIDE = 640  # px of the GeoTIFF's sides, one meter each
PANEL = 900  # px, width of the panel
PAGE = (1280, 2400)  # px of the browser's window
LEFT_OUT = "main > section:not(#scenes), #scenes details details, .swipe:nth-child(n+3), footer { display: none }"
EXACT = (
    64  # the most frequent colors of a picture, which stay exact along with those of the classes
)
BROWSERS = ("chromium", "google-chrome")


def main() -> None:
    """Draw all pictures."""
    demo, docs = (Path(word) for word in sys.argv[1:3])
    manifest = load_manifest("synthetic")
    run = demo / "runs" / load_config("demo").run_folder.name
    baseline = demo / "runs" / load_config("demo", ["name=demo-labels"]).run_folder.name
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        draw_check(docs / "check.png", manifest, demo / "scenes", scratch)
        draw_panel(docs / "demo.png", manifest, run)
        draw_map(docs / "map.png", manifest, run, scratch)
        draw_report(docs / "report.png", manifest, [run, baseline], scratch)


def draw_check(path: Path, manifest: Manifest, root: Path, scratch: Path) -> None:
    """Draw a sample of each split with its mask, and the share of each class, as in `data check --out`."""
    check_data(manifest, root, scratch)
    with Image.open(scratch / "classes.png") as picture:
        shares = np.asarray(picture.convert("RGB"))
    reader = SceneReader(Dataset(manifest, root, {}))
    splits = find_scenes(manifest, root).splits
    samples = [sample_rows(reader, split, scenes)[0] for split, scenes in splits.items()]
    width = shares.shape[1]
    column = (width - 2 * MARGIN + 3 * GAP) // len(samples)
    side = column // 2 - 2 * GAP
    top = MARGIN + 24
    with canvas(path, width, top + side + shares.shape[0]) as page:
        for number, row in enumerate(samples):
            assert row.truth is not None
            left = MARGIN + number * column
            page.text(left, MARGIN + 4, row.title, 8, color=MUTED)
            for column_in_pair, pixels in enumerate((row.image, colorize(row.truth, manifest))):
                small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX)
                page.image(left + column_in_pair * (side + GAP), top, np.asarray(small))
        page.image(0, top + side, shares)
    _shrink(path, manifest)


def draw_panel(path: Path, manifest: Manifest, run: Path) -> None:
    """Draw test scenes with truth and prediction, as in `evaluate`."""
    with Image.open(run / "evaluation" / "test-ema" / "panel.png") as picture:
        small = picture.convert("RGB")
    small.thumbnail((PANEL, 2 * PANEL), Image.Resampling.LANCZOS)
    small.save(path)
    _shrink(path, manifest)


def draw_map(path: Path, manifest: Manifest, run: Path, scratch: Path) -> None:
    """Draw a GeoTIFF outside of all splits, and its map."""
    image, _ = draw_scene(SIDE, seed=2, number=0)
    source = scratch / "place.tif"
    profile = {"width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8", "crs": "EPSG:32640"}
    transform = rasterio.Affine(1, 0, 400_000, 0, -1, 2_800_000)
    with rasterio.open(source, "w", driver="GTiff", transform=transform, **profile) as file:
        file.write(np.moveaxis(image, 2, 0))
    (predicted,) = predict(run, [source], scratch / "maps")
    with rasterio.open(predicted) as file:
        row = PanelRow(f"{source.name}: {SIDE} x {SIDE} m, {file.crs}", image, None, file.read(1))
    panel_picture(path, [row], manifest)
    _shrink(path, manifest)


def draw_report(path: Path, manifest: Manifest, runs: Sequence[Path], scratch: Path) -> None:
    """Draw parts of the runs' report page, as in a desktop browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"{path} is not drawn: it needs {' or '.join(BROWSERS)}")
    page = report(runs, scratch / "report.html", scenes=2).path
    page.write_text(page.read_text().replace("</style>", f"{LEFT_OUT}</style>", 1))
    size = f"--window-size={PAGE[0]},{PAGE[1]}"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size]
    paths = [f"--user-data-dir={scratch / 'profile'}", f"--screenshot={path.absolute()}"]
    command = [browser, *flags, *paths, "--virtual-time-budget=3000", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - a browser of this machine
    _shrink(path, manifest)


def _shrink(path: Path, manifest: Manifest) -> None:
    """Crop the empty rows at a picture's end and convert it to a palette, a third of the bytes."""
    with Image.open(path) as picture:
        whole = picture.convert("RGB")
    filled = ImageChops.difference(whole, Image.new("RGB", whole.size, "white")).getbbox()
    assert filled is not None, f"{path} is empty"
    cut = whole.crop((0, 0, whole.width, min(whole.height, filled[3] + MARGIN)))
    colors, numbers, counts = np.unique(
        np.asarray(cut).reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    often = colors[np.argsort(-counts, kind="stable")[:EXACT]]
    exact = np.concatenate([manifest.palette, often])
    others = cut.quantize(256 - len(exact), dither=Image.Dither.NONE).getpalette()
    palette = np.concatenate([exact, np.array(others, np.uint8).reshape(-1, 3)]).astype(np.float32)
    # The nearest by squared distance without the color's own square, which is constant; Pillow's search is inexact.
    nearest = (np.square(palette).sum(axis=1) - 2 * (colors @ palette.T)).argmin(axis=1)
    small = Image.fromarray(nearest[numbers].astype(np.uint8).reshape(cut.height, cut.width))
    small.putpalette(palette.astype(np.uint8).tobytes())
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()

"""Class maps for single images: a trained student needs no teacher and no cache."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pipeline.evaluate import load_run
from pipeline.reporter import Reporter, Silent
from pipeline.scoring import predict_ids
from rsmtdf_core.errors import DataError
from rsmtdf_core.evaluation.pictures import PanelRow, panel_picture
from rsmtdf_core.manifests.files import read_image


def predict(
    run: Path, images: Sequence[Path], out: Path, reporter: Reporter | None = None
) -> list[Path]:
    """Predict images; for each, `<name>.png` with class ids as a palette image and `<name>-panel.png`.

    Raises:
        MissingFileError, DataError: where an image is missing, unreadable, or two have one name.
    """
    reporter = reporter or Silent()
    names = [image.stem for image in images]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"{len(doubled)} names stand for several images, the first is {doubled[0]}",
            remedy="predict them into different folders with --out",
        )
    trained = load_run(run)
    for sentence in trained.cautions:
        reporter.warn(sentence)
    written = []
    out.mkdir(parents=True, exist_ok=True)
    with reporter.bar("predict", len(images)) as bar:
        for path in images:
            pixels = read_image(path)
            ids = predict_ids(trained.student, pixels, trained.config.evaluation.inference)
            map_path = out / f"{path.stem}.png"
            picture = Image.fromarray(ids)
            picture.putpalette(trained.manifest.palette.tobytes())
            picture.save(map_path)
            panel_picture(
                out / f"{path.stem}-panel.png",
                [PanelRow(path.stem, pixels, None, ids)],
                trained.manifest,
            )
            written.append(map_path)
            bar.advance()
    return written

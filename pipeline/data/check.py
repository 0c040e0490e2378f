"""Check a dataset against its manifest, and draw sample scenes with their masks and the classes of each split."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from pipeline.reporter import Reporter, Silent
from rsmtdf_core.charts.class_shares import class_shares_picture
from rsmtdf_core.charts.panels import PanelRow, panel_picture
from rsmtdf_core.errors import RsmtdfError
from rsmtdf_core.files import require_writable, write_json
from rsmtdf_core.scenes.check import DatasetCheck, check_dataset
from rsmtdf_core.scenes.find import Dataset, OpenedImage, find_pairs, open_scenes
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.members import split_pairs, split_scenes
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.scenes.scene import Scene, ScenePair
from rsmtdf_core.scenes.split_settings import SplitName

SAMPLES = 3  # scenes of each split
OUTPUTS = ("samples.png", "classes.png", "check.json")


def check_data(
    manifest: Manifest, root: Path, out: Path | None = None, reporter: Reporter | None = None
) -> DatasetCheck:
    """Open every image and mask of every split.

    Args:
        manifest: the manifest of the dataset.
        root: the data root.
        out: the folder for samples.png, classes.png and check.json; None writes no file.
        reporter: shows progress.

    Raises:
        WriteError: If a file cannot be written.
        MissingFileError, DataError: If the check cannot start, see `find_pairs` and `split_pairs`.
    """
    if out is not None:
        require_writable(*(out / name for name in OUTPUTS))
    splits = split_pairs(manifest, find_pairs(manifest, root))
    total = len({pair.id for members in splits.values() for pair in members})
    with (reporter or Silent()).bar("opening files", total) as bar:
        result = check_dataset(manifest, root, on_scene=bar.advance)
    if out is None:
        return result
    reader = SceneReader(Dataset(manifest, root, {}))
    scenes = _readable_scenes(reader.dataset, splits)
    rows = [row for name, members in scenes.items() for row in sample_rows(reader, name, members)]
    if rows:
        panel_picture(out / "samples.png", rows, manifest)
    class_shares_picture(out / "classes.png", manifest, result.splits)
    write_json(out / "check.json", result.model_dump(mode="json"))
    return result


def sample_rows(reader: SceneReader, split: SplitName, scenes: Sequence[Scene]) -> list[PanelRow]:
    """Return evenly spaced scenes of a split, with masks if any scene has one. Unreadable files are skipped.

    Args:
        reader: reads the dataset.
        split: the name of the split.
        scenes: the scenes of the split.
    """
    shown = [scene for scene in scenes if scene.mask is not None] or list(scenes)
    step = max(1, len(shown) // SAMPLES)
    return list(islice(_rows(reader, split, shown[step // 2 :: step]), SAMPLES))


def _readable_scenes(
    dataset: Dataset, members: Mapping[SplitName, Sequence[ScenePair]]
) -> Mapping[SplitName, Sequence[Scene]]:
    """Return the scenes of each split, without those of images that cannot be opened."""
    images: dict[str, OpenedImage] = {}
    for pair in {pair.id: pair for pairs in members.values() for pair in pairs}.values():
        with suppress(RsmtdfError):  # the check lists it among the problems
            images[pair.id] = open_scenes(dataset.manifest, dataset.root, pair)
    readable = {
        split: [pair for pair in pairs if pair.id in images] for split, pairs in members.items()
    }
    return split_scenes(dataset.manifest, readable, images).splits


def _rows(reader: SceneReader, split: SplitName, scenes: Sequence[Scene]) -> Iterator[PanelRow]:
    for scene in scenes:
        try:
            truth = None if scene.mask is None else reader.mask(scene)
            row = PanelRow(f"{split}: {scene.id}", reader.picture(scene), truth, None)
        except RsmtdfError:
            continue
        yield row

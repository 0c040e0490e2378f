"""Find labels drawn as shapes below a folder, and guess their keys (tests: test_init_annotations.py)."""

from pathlib import Path

from pipeline.data.init.annotations import find_annotations, guess_annotations, label_pattern
from pipeline.data.init.choice import ShapeChoice, ShapeGuess
from pipeline.data.init.shapes import find_shapes, guess_shapes, label_files
from rsmtdf_core.errors import DataError
from rsmtdf_core.scenes.guessing import Layout
from rsmtdf_core.scenes.shapes.formats import FORMATS, recognized
from rsmtdf_core.words import counted

_NAME_THEM = "name the labels: --labels labels.gpkg, a folder, or 'labels/{name}.json'"


def guess_labels(root: Path, layout: Layout, choice: ShapeChoice) -> ShapeGuess | None:
    """Guess the keys for the labels of images without masks; None if there are no labels either.

    Raises:
        MissingFileError: If the labels are missing.
        DataError: If they cannot be read, or need a choice.
    """
    if choice.labels is not None:
        masks = choice.labels.rstrip("/")
        encoding = recognized(label_files(root, layout, masks)[0])
        if encoding is None:
            return guess_shapes(root, layout, masks, choice)
        return guess_annotations(root, layout, masks, encoding, choice)
    annotations, vectors = find_annotations(root), find_shapes(root)
    kinds = {FORMATS[name].title: paths for name, paths in annotations.items()}
    kinds |= {"shapes": vectors} if vectors else {}
    if len(kinds) > 1 or len(vectors) > 1:
        listed = "; ".join(
            f"{counted(len(paths), 'file')} with {title}: {', '.join(paths[:3])}"
            for title, paths in kinds.items()
        )
        raise DataError(
            f"no masks, but {listed}",
            where=root,
            remedy=f"{_NAME_THEM}; or --images for images without labels",
        )
    if vectors:
        return guess_shapes(root, layout, vectors[0], choice)
    for encoding, paths in annotations.items():
        masks = label_pattern(root, layout, paths)
        return guess_annotations(root, layout, masks, encoding, choice)
    return None

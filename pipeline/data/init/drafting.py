"""From what was seen to a manifest, and to its file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.data.init.looking import Looked
from pipeline.data.init.naming import NamedClass, name_classes
from pipeline.data.init.text import manifest_text
from rsmtdf_core.errors import ConfigError, MissingFileError
from rsmtdf_core.files import atomic_file
from rsmtdf_core.refusals import require_no_folder
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.scenes.guessing import (
    MaskGuess,
    SplitGuess,
    Value,
    guess_encoding,
    guess_splits,
)
from rsmtdf_core.scenes.manifest import ClassSpec, Manifest
from rsmtdf_core.validation import validate

_LARGE = 2048  # px; longer images are mostly rasters to be cut into windows


@dataclass(frozen=True)
class Draft:
    """A manifest to be.

    Attributes:
        manifest: the values.
        text: the same as YAML with comments.
        guesses: what was guessed, the guess, and why, in words.
        looked: what was seen.
        path: where it will be written.
        masks: how they encode classes; None where there are none.
        splits: which scenes are for what, and why.
    """

    manifest: Manifest
    text: str
    guesses: tuple[tuple[str, str, str], ...]
    looked: Looked
    path: Path
    masks: MaskGuess | None
    splits: SplitGuess


def draft(
    looked: Looked,
    path: Path,
    classes: Sequence[NamedClass] | None = None,
    ignore: Sequence[Value] | None = None,
) -> Draft:
    """Turn what was seen into a manifest.

    Args:
        looked: what was seen.
        path: where it will be written; for the comments.
        classes: in the order of the ids; None gives them numbers for names.
        ignore: values of masks that stand for no class; None guesses.

    Raises:
        ConfigError: where the names do not fit the masks.
        DataError: where the masks cannot be told by a manifest.
    """
    masks = (
        None
        if looked.values is None
        else guess_encoding(looked.values, ignore, are_classes=classes is not None)
    )
    splits = guess_splits(looked.layout)
    return _assembled(looked, path, name_classes(masks, classes), masks, splits)


def with_splits(made: Draft, splits: SplitGuess) -> Draft:
    """The draft with other splits."""
    return _assembled(made.looked, made.path, made.manifest.classes, made.masks, splits)


def _assembled(
    looked: Looked,
    path: Path,
    classes: Sequence[ClassSpec],
    masks: MaskGuess | None,
    splits: SplitGuess,
) -> Draft:
    text = manifest_text(looked, path, classes, masks, splits)
    manifest = validate(Manifest, yaml.safe_load(text), str(path))
    guesses = tuple(_guesses(looked, classes, masks, splits))
    return Draft(manifest, text, guesses, looked, path, masks, splits)


def write_manifest(made: Draft, path: Path, *, overwrite: bool = False) -> None:
    """Write the YAML file.

    Raises:
        ConfigError: where a file is there and `overwrite` is not set, or the name is no YAML file's.
        MissingFileError: where its folder is missing.
    """
    require_free(path, overwrite=overwrite)
    with atomic_file(path) as file:
        file.write(made.text.encode())


def require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that cannot be written, before anything is read."""
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError("a manifest's name ends in .yaml", where=path)
    if not path.parent.is_dir():
        raise MissingFileError("the folder is missing", where=path.parent)
    require_no_folder(path)
    if path.exists() and not overwrite:
        raise ConfigError(
            "the file is there already",
            where=path,
            remedy="name another with --out, or --overwrite",
        )


def _guesses(
    looked: Looked, classes: Sequence[ClassSpec], masks: MaskGuess | None, splits: SplitGuess
) -> list[tuple[str, str, str]]:
    layout = looked.layout
    names = ", ".join(spec.name for spec in classes)
    rules = "; ".join(f"{name}: {spec.describe()}" for name, spec in splits.splits.items())
    return [
        ("images", layout.images, layout.why),
        (
            "masks",
            layout.masks or "none",
            f"{len(layout.mask_files)} files" if layout.masks else "nothing beside the images",
        ),
        ("sizes", *_sizes(looked.sizes)),
        ("bands", *_bands(looked)),
        (
            "encoding",
            "-" if masks is None else _encoding(masks),
            "no masks" if masks is None else masks.why,
        ),
        ("ignored", "-" if masks is None else ", ".join(map(str, masks.ignore)) or "nothing", ""),
        ("classes", names, f"{len(classes)} classes"),
        ("splits", rules, splits.why),
    ]


def _encoding(masks: MaskGuess) -> str:
    return masks.encoding if masks.match == "exact" else f"{masks.encoding}, match: {masks.match}"


def _bands(looked: Looked) -> tuple[str, str]:
    kinds = "; ".join(f"{count} of {kind}" for kind, count in looked.kinds.items())
    if looked.bands is None:
        return "as they are", kinds
    if looked.undeclared:
        values = ", ".join(f"{value:g}" for value in looked.undeclared)
        kinds += (
            f"; {values} looks like no data, although the files do not say so: left out of the range, but learnt "
            f"from as black unless each file names it: gdal_edit.py -a_nodata {looked.undeclared[0]:g} IMAGE"
        )
    first, others = looked.bands.indices[:SHOWN], looked.bands.indices[SHOWN:]
    words = [f"{', '.join(map(str, first))} as red, green and blue"]
    words += [f"{', '.join(map(str, others))} for the student"] if others else []
    words += [f"{low:g} to {high:g}" for low, high in looked.bands.scale or ()]
    return "; ".join(words), kinds


def _sizes(sizes: Counter[tuple[int, int]]) -> tuple[str, str]:
    low, high = (
        min(sizes, key=lambda one: one[0] * one[1]),
        max(sizes, key=lambda one: one[0] * one[1]),
    )
    text = f"{low[0]} x {low[1]}" + (f" to {high[0]} x {high[1]} px" if low != high else " px")
    large = max(high) > _LARGE
    return (
        text,
        "large: `window` in the manifest cuts them into scenes" if large else "",
    )

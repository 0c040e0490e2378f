"""Turn the contents of a folder into a draft of a manifest, and write the draft to a file."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.data.init.looking import Looked
from pipeline.data.init.naming import (
    ClassRow,
    NamedClass,
    assigned_by_order,
    class_rows,
    name_classes,
)
from pipeline.data.init.text import manifest_text
from pipeline.data.init.windows import blocked_splits, windowed_splits
from rsmtdf_core.errors import ConfigError, MissingFileError
from rsmtdf_core.files import atomic_file, require_writable
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.scenes.guessing import (
    MaskGuess,
    SplitGuess,
    Value,
    guess_encoding,
    guess_splits,
    named_encoding,
)
from rsmtdf_core.scenes.manifest import Manifest
from rsmtdf_core.scenes.pixel_masks import ClassSpec
from rsmtdf_core.validation import validate

_LARGE = 2048  # px; longer images are mostly rasters to be cut into windows


@dataclass(frozen=True)
class Draft:
    """A manifest before it is written.

    Attributes:
        manifest: the values.
        text: the manifest as YAML with comments.
        guesses: for each guess its subject, the guess and the reason, as text.
        looked: the contents of the folder.
        path: the file that will be written.
        masks: the encoding of the masks; None without masks.
        splits: the scenes of each split, and why.
        by_order: whether class names got their mask colors by order alone, see `assigned_by_order`.
    """

    manifest: Manifest
    text: str
    guesses: tuple[tuple[str, str, str], ...]
    looked: Looked
    path: Path
    masks: MaskGuess | None
    splits: SplitGuess
    by_order: bool = False

    @property
    def class_rows(self) -> tuple[ClassRow, ...]:
        """The classes with their mask values, in the order of the ids; empty without masks."""
        return () if self.masks is None else tuple(class_rows(self.manifest.classes, self.masks))

    @property
    def cautions(self) -> tuple[str, ...]:
        """Sentences about guesses that need a person's review before the manifest is used."""
        if (shapes := self.looked.shapes) is not None and shapes.encoding.annotated is None:
            caution = (
                "pixels without a shape are ignored, and no class is learned there: if everything was labeled, name "
                "the class of these pixels and run the command again with --overwrite --background NAME"
            )
            return (caution,)
        if not self.by_order:
            return ()
        pairs = ",".join(f"{spec.name}={spec.color}" for spec in self.manifest.classes)
        caution = (
            "the names were assigned to the mask colors in the order of the color values, which may be wrong: compare "
            "the table of classes with a mask. To correct it, edit the pairs and run the command again with "
            f"--overwrite --classes {shlex.quote(pairs)}"
        )
        return (caution,)


def draft(
    looked: Looked,
    path: Path,
    classes: Sequence[NamedClass] | None = None,
    ignore: Sequence[Value] | None = None,
    values: Mapping[Value, str] | None = None,
) -> Draft:
    """Turn the contents of a folder into a manifest.

    Args:
        looked: the contents of the folder.
        path: the file that will be written; the comments name it.
        classes: classes in the order of the ids; None gives them numbers for names.
        ignore: mask values without a class; None guesses them.
        values: the class of each mask value; None guesses them. Those of shapes are in `looked`.

    Raises:
        ConfigError: If the names do not fit the masks.
        DataError: If no manifest can describe the masks.
    """
    masks = None
    if looked.values is not None and values:
        masks = named_encoding(looked.values, values, ignore)
    elif looked.values is not None:
        masks = guess_encoding(looked.values, ignore, are_classes=classes is not None)
    if classes is None and looked.shapes is not None:
        classes = [NamedClass(name) for name in looked.shapes.class_names]
    specs = name_classes(masks, classes)
    by_order = assigned_by_order(masks, classes)
    windows = looked.shapes is not None and looked.layout.split_field is None
    splits = (windowed_splits(looked.sizes) if windows else None) or guess_splits(looked.layout)
    if looked.blocks is not None:
        splits = blocked_splits(looked.sizes, looked.blocks)
    return _assembled(looked, path, specs, masks, splits, by_order=by_order)


def with_splits(proposal: Draft, splits: SplitGuess) -> Draft:
    """Return the draft with other splits."""
    return _assembled(
        proposal.looked,
        proposal.path,
        proposal.manifest.classes,
        proposal.masks,
        splits,
        by_order=proposal.by_order,
    )


def _assembled(
    looked: Looked,
    path: Path,
    classes: Sequence[ClassSpec],
    masks: MaskGuess | None,
    splits: SplitGuess,
    *,
    by_order: bool,
) -> Draft:
    text = manifest_text(looked, path, classes, masks, splits, by_order=by_order)
    manifest = validate(Manifest, yaml.safe_load(text), str(path))
    guesses = tuple(_guesses(looked, classes, masks, splits))
    return Draft(manifest, text, guesses, looked, path, masks, splits, by_order)


def write_manifest(proposal: Draft, path: Path, *, overwrite: bool = False) -> None:
    """Write the YAML file.

    Raises:
        ConfigError: If the file exists and `overwrite` is not set, or its name does not end in .yaml.
        MissingFileError: If its folder is missing.
    """
    require_free(path, overwrite=overwrite)
    with atomic_file(path) as file:
        file.write(proposal.text.encode())


def require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that cannot be written, before anything is read."""
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError("a manifest's name ends in .yaml", where=path)
    if not path.parent.is_dir():
        raise MissingFileError("the folder is missing", where=path.parent)
    require_writable(path)
    if path.exists() and not overwrite:
        raise ConfigError(
            "the file exists already",
            where=path,
            remedy="choose another file with --out, or replace this one with --overwrite",
        )


def _guesses(
    looked: Looked, classes: Sequence[ClassSpec], masks: MaskGuess | None, splits: SplitGuess
) -> list[tuple[str, str, str]]:
    layout = looked.layout
    names = ", ".join(spec.name for spec in classes)
    rules = "; ".join(f"{name}: {spec.describe()}" for name, spec in splits.splits.items())
    return [
        ("images", ", ".join(layout.images), layout.why),
        (
            "masks",
            *_masks(looked),
        ),
        ("sizes", *_sizes(looked.sizes)),
        ("bands", *_bands(looked)),
        (
            "encoding",
            *_encodings(looked, masks),
        ),
        ("ignored", "-" if masks is None else ", ".join(map(str, masks.ignore)) or "nothing", ""),
        ("classes", names, f"{len(classes)} classes"),
        ("splits", rules, splits.why),
    ]


def _masks(looked: Looked) -> tuple[str, str]:
    if looked.shapes is not None:
        return looked.shapes.masks, "labels drawn as shapes"
    layout = looked.layout
    if layout.masks is None:
        return "none", "no mask files next to the images"
    return layout.masks, f"{len(layout.mask_files)} files"


def _encodings(looked: Looked, masks: MaskGuess | None) -> tuple[str, str]:
    if looked.shapes is not None:
        return looked.shapes.encoding.encoding, looked.shapes.why
    return ("-", "no masks") if masks is None else (_encoding(masks), masks.why)


def _encoding(masks: MaskGuess) -> str:
    return masks.encoding if masks.match == "exact" else f"{masks.encoding}, match: {masks.match}"


def _bands(looked: Looked) -> tuple[str, str]:
    kinds = "; ".join(f"{count} of {kind}" for kind, count in looked.kinds.items())
    if looked.bands is None:
        return "as they are", kinds
    if looked.undeclared:
        values = ", ".join(f"{value:g}" for value in looked.undeclared)
        kinds += (
            f"; {values} looks like nodata, although no file declares it: excluded from the range, but learned from "
            f"as black unless each file declares it: gdal_edit.py -a_nodata {looked.undeclared[0]:g} IMAGE"
        )
    first, others = looked.bands.indices[:SHOWN], looked.bands.indices[SHOWN:]
    words = [f"{', '.join(map(str, first))} as red, green and blue"]
    words += [f"{', '.join(map(str, others))} for the student"] if others else []
    words += [f"{low:g} to {high:g}" for low, high in looked.bands.scale or ()]
    return "; ".join(words), kinds


def _sizes(sizes: Counter[tuple[int, int]]) -> tuple[str, str]:
    low = min(sizes, key=lambda size: size[0] * size[1])
    high = max(sizes, key=lambda size: size[0] * size[1])
    text = f"{low[0]} x {low[1]}" + (f" to {high[0]} x {high[1]} px" if low != high else " px")
    large = max(high) > _LARGE
    return text, "large: `window` in the manifest cuts them into scenes" if large else ""

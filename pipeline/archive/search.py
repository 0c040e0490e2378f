"""The search verb: the views of an archive that are most similar to an image or a scene, by their mean tokens."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.archive.archive import Archive, open_source
from pipeline.archive.places import in_image, polygon, view_box, write_features
from pipeline.archive.query import Query, find_query
from pipeline.archive.vectors import view_vectors
from pipeline.config import ExperimentConfig
from pipeline.reporter import Reporter, Silent
from rsmtdf_core.arrays import Doubles, Rows
from rsmtdf_core.charts.contact import MOST_CELLS, Cell, contact_sheet
from rsmtdf_core.files import atomic_file
from rsmtdf_core.scenes.bands import SHOWN
from rsmtdf_core.scenes.images.file import open_image
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.settings import Settings
from rsmtdf_core.views.view import Box, from_record
from rsmtdf_core.words import counted

OUT = Path("matches")
LIST = "matches.csv"
SHEET = "matches.png"
PLACES = "matches.geojson"


class Match(Settings):
    """A view that is similar to the query.

    Attributes:
        rank: 1 for the most similar.
        scene: id of the scene that it shows.
        image: image of the scene, relative to the data root; None if only a store was given.
        left: left edge of the view in the image, px.
        top: top edge, px.
        width: width, px.
        height: height, px.
        similarity: cosine of the mean tokens about the archive's mean, -1 to 1.
    """

    rank: int
    scene: str
    image: str | None
    left: int
    top: int
    width: int
    height: int
    similarity: float


class SearchReport(Settings):
    """The views that are most similar to a query, one of each scene.

    Attributes:
        query: description of the query.
        matches: the views, most similar first.
        teacher: the teacher whose tokens were compared.
        views: number of views in the archive.
        scenes: number of scenes in the archive.
        random_weights: whether the teacher has random weights, so that similarities have little meaning.
        cautions: warnings about the files of the scenes.
        files: the files that were written.
    """

    query: str
    matches: tuple[Match, ...]
    teacher: str
    views: int
    scenes: int
    random_weights: bool
    cautions: tuple[str, ...]
    files: tuple[Path, ...]


def search(
    source: ExperimentConfig | Path,
    like: str,
    count: int = 12,
    out: Path | None = OUT,
    teacher: str | None = None,
    reporter: Reporter | None = None,
) -> SearchReport:
    """Find the views of an archive that are most similar to a query, at most one of each scene.

    The similarity is the cosine of mean tokens, after the archive's mean is subtracted. A scene of the archive is
    compared by its cached tokens, and not with itself; for any other image the teacher is loaded.

    Args:
        source: a config whose tokens are in the cache, or the folder of a store.
        like: id of a scene, or an image, with an optional box: `IMAGE:x,y,w,h` in px.
        count: largest number of views.
        out: folder for a CSV file, a contact sheet and, for scenes with a georeference, a GeoJSON file; None writes no
            files.
        teacher: name of the teacher; None uses the first that the method distills, or the first.
        reporter: shows progress.

    Raises:
        RsmtdfError: If the tokens, the query or the teacher cannot be used.
    """
    reporter = reporter or Silent()
    archive, cautions = open_source(source, teacher)
    means, counts = view_vectors(archive.reader, archive.table, archive.settings, reporter)
    query = find_query(archive, like, means, counts, reporter)
    rows, similarities = nearest_views(query, archive.scene_of, means, counts, count)
    matches = tuple(
        _match(archive, rank, row, similarity)
        for rank, (row, similarity) in enumerate(zip(rows, similarities, strict=True), 1)
    )
    return SearchReport(
        query=query.name,
        matches=matches,
        teacher=archive.reader.shape.teacher if archive.teacher is None else archive.teacher.name,
        views=len(archive.table),
        scenes=len(np.unique(archive.scene_of)),
        random_weights=archive.random_weights,
        cautions=cautions,
        files=() if out is None else tuple(_written(out, archive, query, matches)),
    )


def nearest_views(
    query: Query, scenes: Rows, means: Doubles, counts: Rows, count: int
) -> tuple[list[int], list[float]]:
    """Return the most similar view of each scene, most similar first, and the cosines about the archive's mean.

    Args:
        query: the query; its scene is left out.
        scenes: the scene of each view, int64 [views].
        means: the mean token of each view, float64 [views, D].
        counts: number of tokens of each mean, int64 [views]; views without any are left out.
        count: largest number of views.
    """
    shown = counts > 0
    center = means[shown].mean(axis=0) if shown.any() else np.zeros(means.shape[1])
    vectors, wanted = means - center, query.vector - center
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(wanted)
    cosines = vectors @ wanted / np.maximum(lengths, np.finfo(np.float64).tiny)
    allowed = shown if query.scene is None else shown & (scenes != query.scene)
    rows: list[int] = []
    seen: set[int] = set()
    for row in np.argsort(-cosines, kind="stable").tolist():
        scene = int(scenes[row])
        if allowed[row] and scene not in seen and len(rows) < count:
            seen.add(scene)
            rows.append(row)
    return rows, cosines[rows].tolist()


def _match(archive: Archive, rank: int, row: int, similarity: float) -> Match:
    scene = archive.scenes[int(archive.table[row]["scene"])]
    box = in_image(_box(archive, row), scene)
    found = archive.found.get(scene.id)
    return Match(
        rank=rank,
        scene=scene.id,
        image=None if found is None else found.image,
        left=box.left,
        top=box.top,
        width=box.width,
        height=box.height,
        similarity=similarity,
    )


def _box(archive: Archive, row: int) -> Box:
    """Return the part of its scene that a view shows, px."""
    view = from_record(archive.table[row], row, -1)
    return view_box(view, archive.scenes[view.scene], archive.settings.crop)


def _written(out: Path, archive: Archive, query: Query, matches: Sequence[Match]) -> list[Path]:
    """Write the files of a search and return their paths."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(list(Match.model_fields))
    for match in matches:
        row = match.model_dump(mode="json") | {"similarity": f"{match.similarity:.6f}"}
        writer.writerow(row.values())
    with atomic_file(out / LIST) as file:
        file.write(text.getvalue().encode(errors="surrogateescape"))
    files = [out / LIST]
    if archive.experiment is None or not matches:
        return files
    _write_sheet(out / SHEET, archive, query, matches)
    files.append(out / SHEET)
    if places := _places(archive, matches):
        write_features(out / PLACES, places)
        files.append(out / PLACES)
    return files


def _write_sheet(path: Path, archive: Archive, query: Query, matches: Sequence[Match]) -> None:
    assert archive.experiment is not None
    reader = SceneReader(archive.experiment.dataset)
    cells = []
    if query.picture is not None:
        cells.append(Cell("query", Path(query.name).name, query.picture))
    for match in matches[: MOST_CELLS - len(cells)]:
        scene = archive.found[match.scene]
        left, top = match.left, match.top
        if scene.window is not None:
            left, top = left - scene.window.left, top - scene.window.top
        image = reader.picture(scene)[top : top + match.height, left : left + match.width]
        title = f"{match.rank}  {match.scene}"
        cells.append(Cell(title, f"similarity {match.similarity:.3f}", image[..., :SHOWN]))
    warning = " (teacher with RANDOM WEIGHTS)" if archive.random_weights else ""
    note = (
        f"the most similar view of each scene, by the mean tokens of {archive.reader.shape.teacher}"
    )
    title = f"{counted(len(matches), 'view')} like {Path(query.name).name}{warning}"
    contact_sheet(path, title, note, cells)


def _places(
    archive: Archive, matches: Sequence[Match]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return geometry and properties of the matches whose images have a georeference."""
    assert archive.experiment is not None
    dataset = archive.experiment.dataset
    places = []
    for match in matches:
        assert match.image is not None
        with open_image(dataset.root / match.image) as image:
            box = Box(match.left, match.top, match.width, match.height)
            geometry = polygon(box, image.frame)
        if geometry is not None:
            places.append((geometry, match.model_dump(mode="json")))
    return places

"""Which images have labels that are drawn as shapes."""

from types import SimpleNamespace

from rsmtdf_core.scenes.image_labels import ImageLabels, label_notes, unplaced
from rsmtdf_core.scenes.shapes.features import Note

from .shapes.test_settings import shapes_manifest


def labels(path: str, *, empty: bool, notes: tuple[Note, ...] = ()) -> ImageLabels:
    return ImageLabels(path, SimpleNamespace(empty=empty, notes=notes))


def test_a_file_is_unplaced_if_it_meets_none_of_its_images():
    images = [labels("a", empty=True), labels("a", empty=False), labels("b", empty=True)]
    assert [path for path, _ in unplaced(shapes_manifest(field="class"), images)] == ["b"]


def test_a_note_names_the_file_once():
    images = [labels("a", empty=False, notes=(Note("odd"),)) for _ in range(2)]
    assert label_notes(images) == ("a: odd",)


def test_equal_facts_about_many_files_are_one_note():
    notes = [Note("{count} repaired, such as {example}", count, "shape", "4") for count in (1, 2)]
    images = [labels(name, empty=False, notes=(notes[name == "b"],)) for name in "aabc"]
    assert label_notes(images) == ("a and 2 more files: 4 shapes repaired, such as 4",)

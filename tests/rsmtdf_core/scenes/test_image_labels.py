"""Which images have labels that are drawn as shapes."""

from types import SimpleNamespace

from rsmtdf_core.scenes.image_labels import ImageLabels, label_notes, unplaced


def labels(path: str, *, empty: bool, notes: tuple[str, ...] = ()) -> ImageLabels:
    return ImageLabels(path, SimpleNamespace(empty=empty, notes=notes))


def test_a_file_is_unplaced_if_it_meets_none_of_its_images():
    images = [labels("a", empty=True), labels("a", empty=False), labels("b", empty=True)]
    assert list(unplaced(images)) == ["b"]


def test_a_note_names_the_file_once():
    images = [labels("a", empty=False, notes=("odd",)) for _ in range(2)]
    assert label_notes(images) == ("a: odd",)

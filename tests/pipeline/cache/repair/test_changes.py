"""A repair moves damaged files aside and deletes none; a dry one only lists its steps."""

import pytest

from pipeline.cache.repair.changes import Changes, RepairReport, first_sound
from rsmtdf_core.cache.catalogue import SET_ASIDE
from rsmtdf_core.errors import StoreDamagedError
from rsmtdf_core.store.copies import copy_of, keep_copy


@pytest.fixture
def path(tmp_path):
    """A sound file of a cache with its copy."""
    path = tmp_path / "views" / "commit.json"
    path.parent.mkdir()
    path.write_text("sound")
    keep_copy(path)
    return path


def read(path):
    if not path.exists() or path.read_text() != "sound":
        raise StoreDamagedError(f"{path.name} is damaged", where=path)
    return path.read_text()


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def kinds(changes):
    return [action.kind for action in changes.actions]


def test_a_sound_file_needs_no_step(path, tmp_path):
    changes = Changes(tmp_path, dry=False)
    assert first_sound(path, read, changes) == "sound"
    assert changes.actions == []
    assert changes.aside is None


@pytest.mark.parametrize("dry", [False, True])
def test_a_damaged_file_takes_the_bytes_of_its_copy_and_is_kept_aside(path, tmp_path, dry):
    path.write_text("damaged")
    before, changes = contents(tmp_path), Changes(tmp_path, dry)
    assert first_sound(path, read, changes) == "sound"
    assert kinds(changes) == ["restored"]
    if dry:
        assert contents(tmp_path) == before
    else:
        assert path.read_text() == "sound"
        assert (changes.aside / "views" / "commit.json").read_text() == "damaged"


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize("copy", ["damaged", None])
def test_a_damaged_copy_follows_its_original(path, tmp_path, dry, copy):
    copy_of(path).unlink()
    if copy is not None:
        copy_of(path).write_text(copy)
    before, changes = contents(tmp_path), Changes(tmp_path, dry)
    assert first_sound(path, read, changes) == "sound"
    assert kinds(changes) == ["copied"]
    if dry:
        assert contents(tmp_path) == before
    else:
        assert copy_of(path).read_text() == "sound"
        assert copy is None or (changes.aside / "views" / copy_of(path).name).exists()


def test_two_damaged_files_give_none_and_stay(path, tmp_path):
    path.write_text("damaged")
    copy_of(path).unlink()
    before, changes = contents(tmp_path), Changes(tmp_path, dry=False)
    assert first_sound(path, read, changes) is None
    assert changes.actions == []
    assert contents(tmp_path) == before


@pytest.mark.parametrize("dry", [False, True])
def test_a_rebuilt_file_and_its_copy_have_the_new_content(path, tmp_path, dry):
    path.write_text("damaged")
    before, changes = contents(tmp_path), Changes(tmp_path, dry)
    changes.rebuild(path, b"new", "damaged", "some records")
    report = RepairReport(cache=tmp_path, actions=tuple(changes.actions), aside=None, dry=dry)
    assert [action.kind for action in report.losses] == ["rebuilt"]
    if dry:
        assert contents(tmp_path) == before
    else:
        assert path.read_text() == copy_of(path).read_text() == "new"
        kept = contents(changes.aside)
        assert sorted(kept.values()) == ["damaged", "sound"]


def test_each_repair_has_a_separate_folder(path, tmp_path):
    folders = []
    for content in ("first", "second"):
        path.write_text(content)
        changes = Changes(tmp_path, dry=False)
        changes.set_aside(path, "damaged")
        folders.append(changes.aside)
        assert not path.exists()
        assert (changes.aside / "views" / "commit.json").read_text() == content
    assert folders == [tmp_path / SET_ASIDE / "1", tmp_path / SET_ASIDE / "2"]


def test_a_note_has_a_loss_and_moves_no_file(path, tmp_path):
    before, changes = contents(tmp_path), Changes(tmp_path, dry=False)
    changes.missing(path, "the shard is damaged", "its records")
    assert kinds(changes) == ["missing"]
    assert contents(tmp_path) == before

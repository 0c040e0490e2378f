import pytest
from PIL import Image

from rsmtdf_core.errors import ConfigError, DataError
from rsmtdf_core.scenes.check import check_dataset
from rsmtdf_core.scenes.find import find_scenes
from rsmtdf_core.scenes.labeled import listed_labeled
from rsmtdf_core.scenes.manifest import Manifest, load_manifest
from rsmtdf_core.scenes.splits import imported_notes, shared_with_training, split_notes
from rsmtdf_core.validation import validate

from .conftest import make_manifest, manifest_values

WINDOW = {"size": 4, "stride": 4}  # four windows of each 8 x 6 image


def ids(dataset, split):
    return [scene.id for scene in dataset.splits[split]]


def crop_folder(tmp_path, tiles=6, crops=3):
    (tmp_path / "c").mkdir()
    for tile in range(tiles):
        for crop in range(1, crops + 1):
            Image.new("RGB", (4, 4)).save(tmp_path / "c" / f"t{tile}_{crop}.png")
    return tmp_path


def crop_manifest(**splits):
    return make_manifest(images="c/{tile}_{crop}.png", masks=None, parent=["tile"], splits=splits)


def test_a_split_is_the_scenes_that_it_lists(root):
    manifest = make_manifest(
        window=WINDOW,
        splits={"train": {"scenes": ["s2@4,0", "s0@0,0"]}, "test": {"scenes": ["s0@4,4"]}},
    )
    dataset = find_scenes(manifest, root)
    assert ids(dataset, "train") == ["s0@0,0", "s2@4,0"]
    assert ids(dataset, "test") == ["s0@4,4"]
    check = check_dataset(manifest, root)
    assert [split.scenes for split in check.splits] == [2, 1]
    # Two windows of 4 x 4 px: one of id 0 (left), one of id 1 (right).
    assert check.splits[0].pixels == {"low": 16, "high": 16}
    assert check.splits[1].pixels == {"low": 0, "high": 8}
    assert not check.problems


@pytest.mark.parametrize("scene", ["s9@0,0", "s0@8,0", "s0"])
def test_a_listed_scene_that_is_not_there_is_named(root, scene):
    manifest = make_manifest(window=WINDOW, splits={"train": {"scenes": ["s0@0,0", scene]}})
    with pytest.raises(DataError, match=r"splits\.train lists") as caught:
        find_scenes(manifest, root)
    assert scene in str(caught.value)


@pytest.mark.parametrize("scene", ["s0@80,0", "s0"])
def test_a_listed_scene_that_is_no_window_of_its_image_is_a_problem_of_the_check(root, scene):
    manifest = make_manifest(window=WINDOW, splits={"train": {"scenes": ["s0@0,0", scene]}})
    (problem,) = check_dataset(manifest, root).problems
    assert problem.file == scene


def test_a_scene_listed_for_training_and_testing_is_refused(root):
    splits = {"train": {"scenes": ["s0", "s1"]}, "test": {"scenes": ["s1"]}}
    for refusing in (find_scenes, check_dataset):
        with pytest.raises(DataError, match="both train and test, the first is s1"):
            refusing(make_manifest(splits=splits), root)


def test_windows_can_be_drawn_one_by_one(root):
    halves = {
        "val": {"share": [0, 0.5], "by": "crop"},
        "test": {"share": [0.5, 1], "by": "crop"},
    }
    dataset = find_scenes(make_manifest(window=WINDOW, splits=halves), root)
    val, test = ids(dataset, "val"), ids(dataset, "test")
    assert len(val) == len(test) == 8
    assert len({*val, *test}) == 16
    images = [{scene.partition("@")[0] for scene in half} for half in (val, test)]
    assert images[0] & images[1]  # no image would be in both, were images drawn
    counts = [split.scenes for split in check_dataset(dataset.manifest, root).splits]
    assert counts == [8, 8]


def test_crops_of_one_tile_stay_together_unless_crops_are_drawn(tmp_path):
    root = crop_folder(tmp_path)

    def tiles(by):
        shares = {"train": {"share": [0, 0.5], "by": by}, "test": {"share": [0.5, 1], "by": by}}
        dataset = find_scenes(crop_manifest(**shares), root)
        parents = [
            {scene.id.split("/")[0] for scene in scenes} for scenes in dataset.splits.values()
        ]
        assert [len(scenes) for scenes in dataset.splits.values()] == [9, 9]
        return dataset, parents[0] & parents[1]

    together, shared = tiles("parent")
    assert not shared
    assert shared_with_training(together) == 0
    assert "by parent tile: no test crop" in split_notes(together)[1]
    apart, shared = tiles("crop")
    assert shared
    assert shared_with_training(apart) == sum(
        scene.id.split("/")[0] in shared for scene in apart.splits["test"]
    )
    assert "by crop: test crops share parent tiles with training crops" in split_notes(apart)[1]


def test_windows_of_a_raster_count_as_crops_of_a_tile(root):
    manifest = make_manifest(
        window=WINDOW, splits={"train": {"scenes": ["s0@0,0"]}, "test": {"scenes": ["s0@4,0"]}}
    )
    assert "(1 of 1)" in split_notes(find_scenes(manifest, root))[1]


def test_whole_images_have_no_note_on_parents_and_notes_are_repeated(root):
    manifest = make_manifest(notes=["half of it is missing"])
    rule, note = split_notes(find_scenes(manifest, root))
    assert rule.startswith("split of manifest tiny: train = 0% to 50% by chance")
    assert note == "half of it is missing"


def test_lists_are_read_from_files_next_to_the_manifest(tmp_path, root):
    (tmp_path / "train.txt").write_text("s0\ns1\n")
    (tmp_path / "labeled.txt").write_text("s1\n")
    path = tmp_path / "listed.yaml"
    path.write_text(
        "name: listed\ntitle: Listed\nclasses: [{name: low, color: '#102030'}]\n"
        "images: images/{name}.png\nmasks: masks/{name}.png\nmask_encoding: {encoding: indices}\n"
        "splits: {train: {scenes: train.txt}}\nlabeled: labeled.txt\n"
    )
    manifest = load_manifest(str(path))
    assert manifest.splits["train"].scenes == ("s0", "s1")
    assert manifest.labeled_share == 0.5
    scenes = find_scenes(manifest, root).splits["train"]
    labeled, unlabeled = listed_labeled(scenes, manifest.labeled, seed=0)
    assert [scene.id for scene in labeled] == ["s1"]
    assert [scene.id for scene in unlabeled] == ["s0"]
    assert any("1 training scene" in note for note in check_dataset(manifest, root).notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": {"train": {"scenes": ["a"], "share": [0, 0.5]}}}, "cannot be set"),
        ({"splits": {"train": {"scenes": ["a", "b", "a"]}}}, "the scene 'a' is listed 2 times"),
        ({"labeled": ["a"]}, r"splits\.train must list"),
        ({"labeled": ["b"], "splits": {"train": {"scenes": ["a"]}}}, "the first is b"),
        ({"labeled": [], "splits": {"train": {"scenes": ["a"]}}}, "labeled lists no scene"),
        ({"parent": ["nmae"]}, "did you mean 'name'"),
    ],
)
def test_incoherent_lists_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        validate(Manifest, manifest_values(**changes), "tiny.yaml")


def test_a_labeled_scene_without_a_mask_is_refused(root):
    (root / "masks" / "s1.png").unlink()
    scenes = find_scenes(make_manifest(splits={"train": {}}), root).splits["train"]
    with pytest.raises(DataError, match=r"images/s1\.png"):
        listed_labeled(scenes, {"s1"}, seed=0)


def test_an_imported_model_has_unknown_training_data(root):
    manifest = make_manifest(window=WINDOW, notes=["half of it is missing"])
    rule, data, note = imported_notes(find_scenes(manifest, root), "test", None)
    assert rule == "test of manifest tiny: 50% to 100% by chance (seed 0)"
    assert "training data are unknown and may include these scenes" in data
    assert note == "half of it is missing"
    assert "no test crop" in " ".join(split_notes(find_scenes(manifest, root)))


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (["s0@0,0", "s3@4,0"], "2 of 4 test scenes share an image or tile with them, and 0 are"),
        (["s0@4,0", "s3@0,0"], "2 of 4 test scenes share an image or tile with them, and 1 are"),
        (["s3@0,0"], "no test scene shares its image or tile with them"),
    ],
)
def test_named_training_data_of_an_imported_model_are_compared_with_the_scored_scenes(
    root, listed, expected
):
    test = {"scenes": ["s0@4,0", "s0@4,4", "s1@0,0", "s1@4,0"]}
    splits = {"train": {"scenes": ["s2@0,0"]}, "test": test}
    dataset = find_scenes(make_manifest(window=WINDOW, splits=splits), root)
    trained_on = make_manifest(name="lists", window=WINDOW, splits={"train": {"scenes": listed}})
    _, data, shared = imported_notes(dataset, "test", trained_on)
    assert data.endswith(f"scene{'s' if len(listed) > 1 else ''} of manifest lists")
    assert expected in shared


def test_crops_and_windows_of_one_tile_are_compared(root):
    dataset = find_scenes(make_manifest(window=WINDOW, splits={"test": {}}), root)
    crops = make_manifest(
        images="c/{tile}_{crop}.png",
        masks=None,
        parent=["tile"],
        splits={"train": {"scenes": ["s1/3"]}},
    )
    assert "4 of 16 test scenes share" in imported_notes(dataset, "test", crops)[2]

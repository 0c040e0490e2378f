"""Copies of one image are never in two splits that `data init` proposes."""

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rsmtdf_core.scenes.find import find_pairs
from rsmtdf_core.scenes.manifest import load_manifest
from rsmtdf_core.scenes.members import split_pairs
from tests.any_folder import AREAS, IMAGES, LAYOUTS, SCENES, SPLITS, filled, lay_out, run


def spread_copies(root: Path, layout: str, image: str, sources: list[int]) -> None:
    """Give each scene the image of another scene, as bytes; masks stay."""
    suffix, draw = IMAGES[image]
    for scene, source in enumerate(sources):
        fields = {"split": SPLITS[scene], "area": AREAS[scene % 3], "name": f"t{scene}"}
        draw(source)(root / f"{filled(LAYOUTS[layout][0], fields)}{suffix}")


def contents_of(manifest, root: Path) -> dict[str, set[bytes]]:
    """The images' bytes in each split."""
    pairs = split_pairs(manifest, find_pairs(manifest, root))
    return {
        split: {(root / pair.image).read_bytes() for pair in members}
        for split, members in pairs.items()
    }


@settings(max_examples=10)
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    image=st.sampled_from(["RGB", "grey", "BMP"]),
    sources=st.lists(st.integers(0, 5), min_size=SCENES, max_size=SCENES),
    bare=st.sets(st.integers(0, SCENES - 1), max_size=3),
)
def test_copies_never_are_in_two_splits(layout, image, sources, bare):
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        lay_out(root, layout, image, "ids", "t")
        spread_copies(root, layout, image, sources)
        if not {"split", "area"} & set(re.findall(r"\w+", LAYOUTS[layout][1])):
            for scene in bare:
                fields = {"split": "", "area": "", "name": f"t{scene}"}
                (root / f"{filled(LAYOUTS[layout][1], fields)}.png").unlink()
        status, output = run("init", root, "--yes")
        if status:  # the folders' splits leave no image for training or for validation
            assert "has a copy in a later split" in output
            assert not (root / "manifest.yaml").exists()
            return
        manifest = load_manifest(str(root / "manifest.yaml"))
        contents = list(contents_of(manifest, root).values())
        assert len(set().union(*contents)) == sum(map(len, contents))
        status, output = run("check", root / "manifest.yaml", "--root", root)
        assert status == 0, output


def test_copies_are_kept_together_with_a_warning(tmp_path):
    lay_out(tmp_path, "two folders", "RGB", "ids", "t")
    spread_copies(tmp_path, "two folders", "RGB", [0, 1, 2, 3, 0, 1, 2, 3, 0])
    status, output = run("init", tmp_path, "--yes")
    assert status == 0, output
    assert "would be in two splits" in output
    assert "the same bytes" in output
    manifest = load_manifest(str(tmp_path / "manifest.yaml"))
    contents = contents_of(manifest, tmp_path)
    assert [len(contents[split]) for split in ("train", "val", "test")] == [2, 1, 1]
    pairs = split_pairs(manifest, find_pairs(manifest, tmp_path))
    assert sum(map(len, pairs.values())) == SCENES  # none is lost
    assert "copies of one image are kept in one split" in (tmp_path / "manifest.yaml").read_text()


def test_copies_in_folders_of_splits_are_left_out_of_the_earlier_one(tmp_path):
    lay_out(tmp_path, "splits", "RGB", "ids", "t")
    spread_copies(tmp_path, "splits", "RGB", [0, 1, 2, 6, 4, 5, 6, 7, 5])
    status, output = run("init", tmp_path, "--yes")
    assert status == 0, output
    assert "2 images in no split, as a later split has a copy" in output
    manifest = load_manifest(str(tmp_path / "manifest.yaml"))
    pairs = split_pairs(manifest, find_pairs(manifest, tmp_path))
    names = {split: [pair.fields["name"] for pair in members] for split, members in pairs.items()}
    assert names == {"train": ["t0", "t1", "t2", "t4"], "val": ["t6"], "test": ["t7", "t8"]}


def test_images_that_are_all_one_image_are_for_training_alone(tmp_path):
    lay_out(tmp_path, "two folders", "RGB", "ids", "t")
    spread_copies(tmp_path, "two folders", "RGB", [0] * SCENES)
    assert run("init", tmp_path, "--yes")[0] == 0
    manifest = load_manifest(str(tmp_path / "manifest.yaml"))
    pairs = split_pairs(manifest, find_pairs(manifest, tmp_path))
    assert {split: len(members) for split, members in pairs.items()} == {"train": SCENES}

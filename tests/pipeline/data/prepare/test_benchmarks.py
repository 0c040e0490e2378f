"""The published facts agree with each other and with the packaged manifests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.prepare.benchmarks import BENCHMARKS, CROP, FileName
from rsmtdf_core.scenes.manifest import load_manifest

ALL = sorted(BENCHMARKS.values(), key=lambda benchmark: benchmark.name)
VALUES = {"part": st.sampled_from(["Train", "Val"]), "area": st.sampled_from(["Rural", "Urban"])}


@given(st.sampled_from(ALL), st.data(), st.sampled_from(["", "a/", "Train/images/"]))
def test_a_name_is_matched_with_its_fields_below_any_folder(benchmark, data, prefix):
    for name in (benchmark.image, *benchmark.masks, benchmark.crop_image, benchmark.crop_mask):
        fields = {
            field: data.draw(VALUES.get(field, st.integers(0, 9999).map(str)))
            for field in name.regex.groupindex
            if field != "prefix"
        }
        path = name.pattern.format(**fields)
        assert name.matched(prefix + path) == (prefix, fields)
        assert name.matched(path + ".txt") is None
        assert name.matched("x" + path) is None or prefix


def test_other_values_of_fields_are_other_files():
    (loveda,) = (benchmark for benchmark in ALL if benchmark.name == "loveda")
    assert loveda.image.matched("Train/Rural/images_png/12.png")
    assert not loveda.image.matched("Test/Rural/images_png/12.png")
    assert not loveda.image.matched("Train/Rural/images_png/12a.png")


def test_a_folder_without_fields_may_be_the_one_that_is_named():
    with_folder = FileName("data/{tile}_sat.jpg")
    assert [name.pattern for name in with_folder.forms] == ["data/{tile}_sat.jpg", "{tile}_sat.jpg"]
    assert len(FileName("{part}/{tile}.jpg").forms) == len(FileName("{tile}.jpg").forms) == 1


@pytest.mark.parametrize("benchmark", ALL, ids=lambda benchmark: benchmark.name)
def test_crops_cover_the_image_once_row_by_row(benchmark):
    corners = [benchmark.corner(number) for number in range(1, benchmark.crops + 1)]
    assert [benchmark.number(*corner) for corner in corners] == list(range(1, benchmark.crops + 1))
    assert corners == sorted(corners, key=lambda corner: (corner[1], corner[0]))
    width, height = benchmark.size
    assert max(left for left, _ in corners) < width <= max(left for left, _ in corners) + CROP
    assert max(top for _, top in corners) < height <= max(top for _, top in corners) + CROP
    reaches_over = bool(width % CROP or height % CROP)
    for name in benchmark.manifests:
        assert reaches_over == (load_manifest(name).protocols.padding is not None)


@pytest.mark.parametrize("benchmark", ALL, ids=lambda benchmark: benchmark.name)
def test_every_manifest_of_a_benchmark_is_packaged_and_finds_its_files(benchmark):
    assert benchmark.manifests[0] == benchmark.name
    for name in benchmark.manifests:
        manifest = load_manifest(name)
        assert set(manifest.fields) == set(benchmark.image.regex.groupindex) - {"prefix"}
    assert set(benchmark.urls) <= set(benchmark.md5)

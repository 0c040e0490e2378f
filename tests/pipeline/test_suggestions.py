"""Suggestions are read as they were written, and another file is refused by name."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.suggestions import LIST, Suggestion, read_suggestions, write_suggestions
from rsmtdf_core.errors import RunError

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.just("\n"), min_size=1)
SCENES = st.builds(
    Suggestion,
    rank=st.integers(1, 10**6),
    scene=NAMES,
    image=NAMES,
    has_mask=st.booleans(),
    distance=st.integers(0, 10**9).map(lambda millionths: millionths / 10**6),
    nearest=NAMES,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scenes=st.lists(SCENES, max_size=4))
def test_a_list_is_read_as_it_was_written(tmp_path, scenes):
    write_suggestions(tmp_path, scenes)
    assert read_suggestions(tmp_path) == tuple(scenes)


def test_a_folder_without_a_list_has_none(tmp_path):
    assert read_suggestions(tmp_path / "absent") == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("rank", "number"),
        lambda text: text.replace("\n1,", "\nfirst,"),
        lambda text: text.replace("0.500000", ""),
        lambda text: text.rstrip() + ",more\n",
        lambda text: text[: text.rindex(",")],
        lambda text: text.replace("a scene", '"a scene'),
    ],
)
def test_another_file_is_refused_with_the_command_that_writes_it(tmp_path, change):
    scene = Suggestion(
        rank=1, scene="a scene", image="a.png", has_mask=False, distance=0.5, nearest="b"
    )
    write_suggestions(tmp_path, [scene])
    path = tmp_path / LIST
    path.write_text(change(path.read_text()))
    with pytest.raises(RunError, match="not a list of suggestions") as caught:
        read_suggestions(tmp_path)
    assert f"rsmtdf suggest CONFIG --out {tmp_path}" in caught.value.remedy

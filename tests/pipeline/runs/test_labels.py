"""Labels are short, unique, and made of the fewest settings; the others are listed with the group."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runs.compare.groups import deciding_settings
from pipeline.runs.compare.labels import label_groups
from pipeline.runs.record import read_run
from tests.pipeline.runs.written import write_run

BASE = {
    "objective.method": "rs-mtdf",
    "views.unlabeled_views": 4,
    "views.labeled_views": 4,
    "optimiser.lr": 0.1,
}


def labels(*groups):
    return [label for label, _ in label_groups([BASE | group for group in groups])]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([{}], ["rs-mtdf"]),
        ([{}, {"optimiser.lr": 0.2}], ["lr 0.1", "lr 0.2"]),
        (
            [{}, {"initial": "first-run ema 1234abcd"}],
            ["rs-mtdf", "initial first-run ema 1234abcd"],
        ),
        (
            [{}, {"objective.method": "fixmatch", "optimiser.lr": 0.2, "x.y": 3}],
            ["rs-mtdf", "fixmatch"],
        ),
        (
            [
                {"views.unlabeled_views": k, "views.labeled_views": k, "optimiser.lr": lr}
                for k in (1, 2)
                for lr in (0.1, 0.2)
            ],
            ["K 1, lr 0.1", "K 1, lr 0.2", "K 2, lr 0.1", "K 2, lr 0.2"],
        ),
        # The third key alone has the effect of the first two together.
        (
            [{"a": i % 2, "b": i // 2, "c.d": i} for i in range(4)],
            ["d 0", "d 1", "d 2", "d 3"],
        ),
    ],
)
def test_labels_have_the_fewest_keys(groups, expected):
    assert labels(*groups) == expected


def test_other_settings_that_differ_are_listed(make_config, tmp_path):
    configs = [make_config(), make_config("objective.method=fixmatch", "optimiser.lr=0.5")]
    for number, config in enumerate(configs):
        run = write_run(tmp_path / str(number), config, status="finished")
        if number == 0:
            run.note(initial={"path": "runs/first", "weights": "ema", "fingerprint": "12345678ab"})
    settings = [deciding_settings(read_run(tmp_path / name)) for name in "01"]
    (first, others), (second, fewer) = label_groups(settings)
    assert (first, second) == ("rs-mtdf", "fixmatch")
    assert others["initial"] == "first ema 12345678"
    assert (others["optimiser.lr"], fewer["optimiser.lr"]) == (0.002, 0.5)
    assert not any("fusion" in key for key in others), (
        "defaults of keys that fixmatch does not have"
    )


values = st.one_of(st.integers(0, 2), st.text("ab/", max_size=90), st.booleans(), st.floats(0, 1))
keys = st.sampled_from(["a.x", "a.y", "b.x", "initial", "teachers", "objective.method"])


@given(st.lists(st.dictionaries(keys, values), min_size=1, max_size=12))
def test_labels_are_unique_and_bounded(groups):
    unique = {repr(sorted((BASE | group).items(), key=str)): group for group in groups}
    made = labels(*unique.values())
    assert len(set(made)) == len(made)
    assert all(len(label) <= 60 for label in made)

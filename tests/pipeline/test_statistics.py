"""Images are normalized by the statistics of each model, unless the config has others; runs record the numbers."""

import pytest

from pipeline.config import load_config
from pipeline.plan import plan_experiment
from pipeline.statistics import uncommon_statistics, with_statistics
from pipeline.train.run import train
from rsmtdf_core.errors import RunError
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.settings import IMAGENET_MEAN, IMAGENET_STD
from rsmtdf_core.teachers.teacher import declared_identity

HALF = (0.5, 0.5, 0.5)


def test_a_teachers_statistics_are_those_of_its_model_and_part_of_its_identity(make_config):
    config = make_config()
    vit, cnn = (declared_identity(teacher, 64)["preprocessing"] for teacher in config.teachers)
    assert (vit["mean"], vit["std"]) == ([*HALF], [*HALF])
    assert (cnn["mean"], cnn["std"]) == ([*IMAGENET_MEAN], [*IMAGENET_STD])
    # The number that the model has anyway does not change the address.
    same = make_config("teachers.vit.mean=[0.5, 0.5, 0.5]", "teachers.vit.std=[0.5, 0.5, 0.5]")
    assert declared_identity(same.teachers[0], 64) == declared_identity(config.teachers[0], 64)
    mixed = make_config("teachers.vit.mean=[0.1, 0.2, 0.3]")
    assert declared_identity(mixed.teachers[0], 64)["preprocessing"]["std"] == [*HALF]


def test_a_config_without_statistics_gets_those_of_its_models(make_config):
    config = make_config("student.encoder=test_vit", "student.std=[0.1, 0.1, 0.1]")
    found = with_statistics(config)
    assert (found.student.mean, found.student.std) == (HALF, (0.1, 0.1, 0.1))
    assert (found.teachers[0].mean, found.teachers[1].mean) == (HALF, IMAGENET_MEAN)
    assert with_statistics(found) == found


def test_a_difference_from_a_pretrained_model_is_reported(make_config):
    overrides = ("teachers.vit.weights=hub", "student.encoder=test_vit", "student.weights=hub")
    assert not list(uncommon_statistics(make_config(*overrides)))
    imagenet = [f"teachers.vit.mean={[*IMAGENET_MEAN]}", f"student.std={[*IMAGENET_STD]}"]
    config = make_config(*overrides, *imagenet)
    teacher, student = uncommon_statistics(config)
    assert teacher.startswith("teacher vit: its model was trained with mean [0.5, 0.5, 0.5]")
    assert student.startswith("student: its model was trained with")
    assert {teacher, student} <= set(plan_experiment(config).cautions)
    # Random weights were trained with no statistics.
    assert not list(uncommon_statistics(make_config(imagenet[0], "student.std=[0.1, 0.1, 0.1]")))


def test_a_run_records_its_statistics_and_resumes_with_them_only(make_config):
    overrides = ("objective.method=supervised", "optimiser.max_steps=1")
    run = train(make_config(*overrides)).run
    recorded = load_config(str(open_run(run).config))
    assert (recorded.student.mean, recorded.student.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert recorded.teachers[0].mean == HALF
    explicit = f"student.mean={[*IMAGENET_MEAN]}"
    train(make_config(*overrides, explicit), resume=True)
    with pytest.raises(RunError, match=r"student\.mean"):
        train(make_config(*overrides, "student.mean=[0.5, 0.5, 0.5]"), resume=True)

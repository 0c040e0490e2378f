"""Advice from tables of measurements; measuring is tested for structure alone, never for times."""

import errno
import math
import os
import shutil
import tempfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cache.plan import PlanReport, plan_cache
from pipeline.cache.plan.advice import advise, rank
from pipeline.cache.plan.disk import existing_folder, open_disk
from pipeline.cache.plan.estimates import AS_CONFIGURED, DISK_SHARE, Choice, choices
from pipeline.cache.plan.measuring import run_teacher
from pipeline.cache.plan.present import present_views
from pipeline.cache.plan.values import CodecMeasured, Measurements, TeacherMeasured
from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from rsmtdf_core.errors import ConfigError, StoreError
from rsmtdf_core.teachers.teacher import declared_shape, live_teachers

GIB = 2**30
CODECS = ("fp16", "int8", "transform")


def _codec(name: str, size: float, **changed: object) -> CodecMeasured:
    values = {
        "codec": name,
        "label": name,
        "bytes": size,
        "exact": name != "transform",
        "meaningful": True,
        "encode_seconds": 1e-4,
        "unpack_seconds": 0.0,
        "decode_seconds": 0.0,
        "read_bandwidth": 1e9,
        "present": 0,
    }
    return CodecMeasured(**values | changed)


def _teacher(name: str = "dino", codec: str = "fp16", **changed: object) -> TeacherMeasured:
    sizes = zip(CODECS, (2.1e6, 1.05e6, 1.3e5), strict=True)
    values = {
        "teacher": name,
        "codec": codec,
        "weights": "own",
        "seconds": 0.02,
        "copy_seconds": 0.001,
        "codecs": tuple(_codec(*size) for size in sizes),
    }
    return TeacherMeasured(**values | changed)


def _measured(**changed: object) -> Measurements:
    """A GPU, 1000 unlabeled scenes and a teacher that takes as long as the student."""
    values = {
        "epochs": 60,
        "steps_per_epoch": 125,
        "step_views": 16,
        "labeled_scenes": 100,
        "unlabeled_scenes": 1000,
        "labeled_views": 4,
        "unlabeled_views": 4,
        "device": "cuda",
        "cores": 8,
        "teacher_threads": 0,
        "render_threads": 4,
        "extract_devices": 1,
        "step_seconds": 0.3,
        "render_seconds": 0.01,
        "write_bandwidth": 1e9,
        "cold_reads": True,
        "disk_free": 1000 * GIB,
        "teachers": (_teacher(),),
    }
    return Measurements(**values | changed)


def _slow_reads(bandwidth: float) -> tuple[TeacherMeasured, ...]:
    teacher = _teacher()
    codecs = [codec.model_copy(update={"read_bandwidth": bandwidth}) for codec in teacher.codecs]
    return (teacher.model_copy(update={"codecs": tuple(codecs)}),)


@pytest.mark.parametrize(
    ("changed", "choice", "reason"),
    [
        ({}, "fp16", "hides behind the student's work"),
        ({}, "fp16", "a training of 7,500 steps takes 37.5 min and its validations"),
        ({"step_seconds": 20.0}, "fp16", "`rsmtdf start DIR --hours H` proposes settings"),
        ({"disk_free": 5 * GIB}, "int8", "fp16: only K = 1"),
        ({"disk_free": 2 * GIB}, "transform", "int8: only K = 1"),
        ({"teachers": _slow_reads(60e6)}, "int8", "fp16: reading would take"),
        ({"teachers": _slow_reads(10e6)}, "transform", "fp16: a step from the cache takes"),
        ({"disk_free": GIB // 8}, None, "too little even for K = 1"),
        ({"teachers": _slow_reads(1e5)}, None, "reading is slower than computing"),
        ({"epochs": 1, "labeled_views": 20}, None, "1 epochs are too few"),
        ({"teachers": (_teacher(seconds=1e-5),)}, None, "too few"),
    ],
)
def test_the_advice_and_its_reason_follow_from_the_measurements(changed, choice, reason):
    advice = advise(_measured(**changed))
    assert advice.choice == choice, advice.reasons
    assert advice.cache == (choice is not None)
    assert reason in "\n".join(advice.reasons)
    assert advice.codecs == ({"dino": choice} if choice else {})
    assert (advice.unlabeled_views is None) == (choice is None)


def test_views_are_as_many_as_epochs_disk_and_time_allow():
    assert advise(_measured(epochs=10)).unlabeled_views == 10
    on_disk = advise(_measured(disk_free=20 * GIB))
    assert on_disk.unlabeled_views == int((DISK_SHARE * 20 * GIB / 2.1e6 - 400) / 1000)
    assert on_disk.estimates[0].limit == "disk"
    slow = advise(_measured(write_bandwidth=20e6))
    assert slow.estimates[0].limit == "time"
    assert 4 < slow.unlabeled_views < 60


def test_only_missing_views_are_counted():
    there = [_codec("fp16", 2.1e6, present=4400), _codec("int8", 1e6), _codec("transform", 1e5)]
    advice = advise(_measured(epochs=4, teachers=(_teacher(codecs=tuple(there)),)))
    fp16, int8, _ = advice.estimates
    assert (fp16.missing_bytes, fp16.extraction_seconds, fp16.bound) == (0, 0, "nothing")
    assert (fp16.epochs_to_pay, fp16.experiments_to_pay) == (0, 0)
    assert fp16.bytes == 4400 * 2.1e6
    assert int8.missing_bytes == 4400 * 1e6
    assert "the cache already has everything" in "\n".join(advice.reasons)


@pytest.mark.parametrize(
    ("changed", "bound"),
    [
        ({}, "teachers"),
        ({"render_seconds": 1.0}, "rendering"),
        ({"write_bandwidth": 1e6}, "writing"),
        ({"teacher_threads": 8}, "teachers"),
        ({"teacher_threads": 4, "render_threads": 8, "render_seconds": 0.1}, "rendering"),
    ],
)
def test_the_slowest_part_of_an_extraction_is_named(changed, bound):
    assert advise(_measured(**changed)).estimates[0].bound == bound


def test_estimates_are_the_arithmetic_they_claim_to_be():
    [fp16, *_] = advise(_measured()).estimates
    assert fp16.stores[0].views == 4400
    assert fp16.extraction_seconds == pytest.approx(4400 * 0.021)
    assert fp16.read_seconds == pytest.approx(16 * 2.1e6 / 1e9)
    assert fp16.step_seconds == pytest.approx(0.3)
    assert fp16.training_seconds == pytest.approx(60 * 125 * 0.3)
    assert fp16.online_step_seconds == pytest.approx(0.3 + 16 * 0.02)
    assert fp16.speed_up == pytest.approx(0.62 / 0.3)
    assert fp16.epochs_to_pay == pytest.approx(4400 * 0.021 / (125 * 0.32))
    assert fp16.experiments_to_pay == 1


@pytest.mark.parametrize("weights", ["random", "absent"])
def test_a_size_that_random_weights_made_is_never_recommended(weights):
    codecs = [_codec("fp16", 2.1e6), _codec("int8", 1e6), _codec("transform", 10, meaningful=False)]
    teacher = _teacher(weights=weights, codecs=tuple(codecs))
    advice = advise(_measured(teachers=(teacher,), disk_free=GIB // 8))
    assert not advice.cache
    assert "transform: its size is not known" in "\n".join(advice.reasons)
    caveats = "\n".join(advice.caveats)
    assert "do not predict those under trained weights" in caveats
    assert ("not on this machine" in caveats) == (weights == "absent")


def test_reads_from_memory_are_reported():
    assert any("of memory" in caveat for caveat in advise(_measured(cold_reads=False)).caveats)
    assert not any("of memory" in caveat for caveat in advise(_measured()).caveats)


def test_a_mixture_in_the_config_is_weighed_too():
    teachers = (_teacher("dino", "transform"), _teacher("clip", "fp16"))
    advice = advise(_measured(teachers=teachers, disk_free=7 * GIB))
    assert [option.choice for option in advice.estimates] == [*CODECS, AS_CONFIGURED]
    assert [store.label for store in advice.estimates[3].stores] == ["transform", "fp16"]
    assert any(caveat.startswith(AS_CONFIGURED) for caveat in advice.caveats)
    assert not any(caveat.startswith(AS_CONFIGURED) for caveat in advise(_measured()).caveats)


_SECONDS = st.floats(0, 10) | st.floats(0, 1e-3)
_RATES = st.floats(1e3, 1e11)


@st.composite
def _codecs(draw: st.DrawFn, name: str) -> CodecMeasured:
    times = ("encode_seconds", "unpack_seconds", "decode_seconds")
    return _codec(
        name,
        draw(st.floats(1, 1e8)),
        meaningful=draw(st.booleans()),
        read_bandwidth=draw(_RATES),
        present=draw(st.integers(0, 5000)),
        **{key: draw(_SECONDS) for key in times},
    )


@st.composite
def _teachers(draw: st.DrawFn, name: str) -> TeacherMeasured:
    return _teacher(
        name,
        draw(st.sampled_from(CODECS)),
        seconds=draw(st.floats(1e-6, 10)),
        copy_seconds=draw(_SECONDS),
        codecs=tuple(draw(_codecs(codec)) for codec in CODECS),
    )


@st.composite
def _any_measured(draw: st.DrawFn) -> Measurements:
    counts = {
        "epochs": st.integers(1, 100),
        "steps_per_epoch": st.integers(1, 1000),
        "step_views": st.integers(4, 64),
        "labeled_scenes": st.integers(0, 100),
        "unlabeled_scenes": st.integers(0, 1000),
        "labeled_views": st.integers(1, 10),
        "unlabeled_views": st.integers(1, 100),
        "teacher_threads": st.integers(0, 8),
        "extract_devices": st.integers(1, 8),
        "step_seconds": st.floats(1e-4, 10),
        "render_seconds": _SECONDS,
        "write_bandwidth": _RATES,
        "disk_free": st.integers(0, 2**44),
    }
    names = ["dino", "clip"][: draw(st.integers(1, 2))]
    teachers = tuple(draw(_teachers(name)) for name in names)
    return _measured(teachers=teachers, **{key: draw(strategy) for key, strategy in counts.items()})


@settings(max_examples=200)
@given(_any_measured())
def test_the_recommended_cache_fits_is_used_and_pays(measured):
    advice = advise(measured)
    assert advice.reasons
    if not advice.cache:
        return
    views = advice.unlabeled_views
    assert 1 <= views <= measured.epochs
    codecs = tuple(
        teacher.measured(advice.codecs[teacher.teacher]) for teacher in measured.teachers
    )
    assert all(codec.meaningful for codec in codecs)
    choice = Choice(measured, "recommended", codecs)
    assert choice.missing_bytes(views) <= DISK_SHARE * measured.disk_free
    seconds, _ = choice.extraction(views)
    assert seconds <= measured.epochs * choice.saved_seconds
    assert views == measured.epochs or not (choice.fits(views + 1) and choice.worthwhile(views + 1))


def _score(measured: Measurements) -> tuple[object, ...]:
    """How good the recommendation is, by the rule that picks it; and the best K of each choice."""
    advice = advise(measured)
    if not advice.cache:
        return (False, 0, False, -math.inf)
    [best] = [option for option in advice.estimates if option.choice == advice.choice]
    faithful = min(-CODECS.index(codec) for codec in advice.codecs.values())
    return (True, *rank(measured, best, faithful))


@settings(max_examples=200)
@given(_any_measured(), st.floats(1, 100), st.floats(1, 100), st.floats(1, 100))
def test_a_faster_or_larger_disk_never_makes_the_advice_worse(measured, read, write, room):
    teachers = tuple(
        teacher.model_copy(
            update={
                "codecs": tuple(
                    codec.model_copy(update={"read_bandwidth": codec.read_bandwidth * read})
                    for codec in teacher.codecs
                )
            }
        )
        for teacher in measured.teachers
    )
    better = measured.model_copy(
        update={
            "teachers": teachers,
            "write_bandwidth": measured.write_bandwidth * write,
            "disk_free": int(measured.disk_free * room),
        }
    )
    assert _score(better) >= _score(measured)
    for old, new in zip(choices(measured), choices(better), strict=True):
        assert new.largest_views()[0] >= old.largest_views()[0]
        assert new.step_seconds <= old.step_seconds


def test_the_disk_is_measured_in_a_file_that_is_gone_afterwards(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with open_disk(tmp_path, min(free, 2**24)) as disk:
        assert disk.write_bandwidth > 0
        assert disk.read_bandwidth(100_000, 4) > 0
        # Larger than the file: clipped.
        assert disk.read_bandwidth(2**30, 4) > 0
    assert not list(tmp_path.iterdir())


def test_a_disk_that_keeps_its_pages_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fadvise", lambda *_: None)
    with open_disk(tmp_path, 2**22) as disk:
        disk.read_bandwidth(4096, 4)
    assert not disk.cold


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StoreError, match="Read-only file system"), open_disk(tmp_path, GIB):
        pass


def test_a_missing_cache_is_on_its_parents_disk(tmp_path):
    assert existing_folder(tmp_path / "a" / "b") == tmp_path
    assert existing_folder(tmp_path) == tmp_path


def test_every_part_of_an_experiment_is_measured_and_no_trace_is_left(make_config):
    config = make_config()
    report = plan_cache(config)
    results = report.measurements
    assert (results.labeled_scenes, results.unlabeled_scenes) == (2, 8)
    assert (results.epochs, results.steps_per_epoch, results.step_views) == (2, 4, 4)
    assert [(teacher.teacher, teacher.weights) for teacher in results.teachers] == [
        ("vit", "random"),
        ("cnn", "random"),
    ]
    for teacher in results.teachers:
        shape = declared_shape(
            next(settings for settings in config.teachers if settings.name == teacher.teacher),
            config.views.crop,
        )
        numbers = math.prod(shape.record_shape)
        assert teacher.measured("fp16").bytes == 2 * numbers
        assert teacher.measured("int8").bytes == numbers + 2 * math.prod(shape.grid)
        assert all(codec.meaningful == codec.exact for codec in teacher.codecs)
        assert all(codec.present == 0 for codec in teacher.codecs)
    assert report.advice.estimates[0].stores[0].views == 20
    assert not config.runtime.cache_folder.exists()
    assert not config.runtime.runs.exists()
    assert live_teachers() == 0
    assert PlanReport.model_validate_json(report.model_dump_json()) == report


def test_present_views_exclude_other_views_of_the_cache(make_config):
    extract(make_config("views.unlabeled_views=1", "views.labeled_views=1"))
    config = make_config()
    for teacher in config.teachers:
        present = present_views(plan_experiment(config), teacher)
        assert present == [(teacher.declared_codec, 10)]
    other = make_config("teachers.vit.seed=1")
    assert present_views(plan_experiment(other), other.teachers[0]) == []


def test_absent_weights_are_stood_in_for(make_config):
    views = torch.zeros((2, 3, 64, 64), dtype=torch.uint8)
    teacher = make_config("teachers.vit.weights=nowhere.safetensors").teachers[0]
    run = run_teacher(teacher, views, 2, torch.device("cpu"))
    assert run.weights == "absent"
    assert run.tokens.shape[0] == 2
    assert run.seconds > 0


@pytest.mark.parametrize("override", ["teachers=[]", "objective.method=fixmatch"])
def test_a_training_without_features_needs_no_plan(make_config, override):
    with pytest.raises(ConfigError, match="no cache is needed"):
        plan_cache(make_config(override))

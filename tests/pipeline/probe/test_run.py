"""Probes of the tiny experiment: a teacher that knows the classes wins, and the cache changes no score."""

import numpy as np
import pytest
import torch

from pipeline.config import load_config
from pipeline.extract.run import extract
from pipeline.probe import open_source, probe, sources
from pipeline.probe import run as stage
from pipeline.probe.sample import sample_views
from pipeline.train.run import train
from rsmtdf_core.errors import ConfigError, DataError, RsmtdfError
from rsmtdf_core.probing.cells import class_shares
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.teachers.teacher import live_teachers
from rsmtdf_core.views.render import ViewRenderer
from tests.pipeline.helpers import Messages

ALL = "data.labeled=1"
VIEWS = 16


def by_name(report):
    return {score.name: score for score in report.features}


@pytest.fixture
def planted(make_config, monkeypatch):
    """The config, with a teacher `vit` whose tokens are class shares in some rotation, and `cnn` of noise."""
    config = make_config(ALL)
    sample = sample_views(config, "train", VIEWS, None)
    renderer = ViewRenderer(SceneReader(sample.experiment.dataset), sample.experiment.plan)
    manifest = sample.experiment.dataset.manifest
    masks = {renderer.weak(row).tobytes(): renderer.mask(row) for row in range(len(sample.folds))}
    draws = np.random.default_rng(0)

    def tokens(teacher, images):
        rows, columns, channels = teacher.shape.record_shape
        values = draws.normal(size=(len(images), rows, columns, channels)).astype(np.float32)
        if teacher.settings.name == "vit":
            classes = len(manifest.classes)
            mixing = np.random.default_rng(1).normal(size=(classes, channels))
            for number, image in enumerate(images):
                shares, _ = class_shares(
                    masks[image.tobytes()], (rows, columns), classes, manifest.ignore_id
                )
                signal = (shares @ mixing).reshape(rows, columns, channels)
                values[number] = 5 * signal + 0.1 * values[number]
        return values

    monkeypatch.setattr(sources, "view_tokens", tokens)
    return config


def test_the_teacher_that_knows_the_classes_is_worth_caching(planted):
    report = probe(planted, views=VIEWS)
    scores = by_name(report)
    assert scores["vit"].miou > 0.5
    assert scores["cnn"].miou < scores["vit"].miou - 0.2
    assert report.worth_caching == ("vit",)
    assert "vit is worth caching" in report.verdict[0]
    assert "a second teacher has no clear gain" in report.verdict[1]
    assert scores["vit + cnn"].miou == pytest.approx(scores["vit"].miou, abs=0.1)
    assert len(report.folds) == 5
    assert report.views == VIEWS
    assert any("RANDOM WEIGHTS" in caution for caution in report.cautions)


def test_without_the_teacher_that_knows_none_is_worth_caching(planted):
    [_, noise] = planted.teachers
    report = probe(planted.model_copy(update={"teachers": (noise,)}), views=VIEWS)
    assert report.worth_caching == ()
    assert "no teacher is clearly better" in report.verdict[0]


def test_the_order_of_teachers_does_not_matter(planted):
    turned = planted.model_copy(update={"teachers": planted.teachers[::-1]})
    # The noise differs between calls, so that its scores are compared with those of the next test.
    forward, backward = by_name(probe(planted, views=VIEWS)), by_name(probe(turned, views=VIEWS))
    assert forward["vit"].miou == pytest.approx(backward["vit"].miou, abs=0.02)
    assert forward["student, random weights"] == backward["student, random weights"].model_copy(
        update={"seconds": forward["student, random weights"].seconds}
    )
    assert {frozenset(score.teachers) for score in forward.values()} == {
        frozenset(score.teachers) for score in backward.values()
    }


def test_cached_tokens_give_the_scores_of_computed_ones(make_config, monkeypatch):
    config = make_config(ALL, "objective.method=supervised")
    computed = probe(config, views=VIEWS)
    turned = probe(config.model_copy(update={"teachers": config.teachers[::-1]}), views=VIEWS)
    extract(config)

    def load(*_):
        raise AssertionError("a teacher was loaded although its tokens are cached")

    monkeypatch.setattr(sources, "load_teacher", load)
    before = live_teachers()
    cached = probe(config, views=VIEWS)
    assert live_teachers() <= before
    for score in cached.features:
        alike = next(other for other in computed.features if other.name == score.name)
        assert score.miou == pytest.approx(alike.miou, abs=1e-3), score.name
        assert score.fold_miou == pytest.approx(alike.fold_miou, abs=2e-3)
        assert score.bytes == alike.bytes
        if score.kind == "teacher":
            assert (score.origin, alike.origin) == ("cache", "computed")
            assert score.seconds is not None
        same = next(
            other for other in turned.features if set(other.teachers) == set(score.teachers)
        )
        assert score.miou == pytest.approx(same.miou, abs=1e-3), score.name


def test_views_that_are_cached_are_read_although_the_plan_has_more(make_config):
    extract(make_config(ALL, "objective.method=supervised"))
    more = make_config(ALL, "objective.method=supervised", "views.labeled_views=5")
    assert [score.origin for score in probe(more, views=20).features[:3]] == ["cache"] * 3
    assert [score.origin for score in probe(more, views=21).features[:3]] == ["computed"] * 3


def test_a_probe_writes_nothing_and_disturbs_no_generator(make_config, tmp_path):
    config = make_config(ALL)
    before, state = sorted(tmp_path.rglob("*")), torch.get_rng_state()
    probe(config, views=4)
    assert sorted(tmp_path.rglob("*")) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_is_compared_with_its_teachers(make_config):
    config = make_config("data.labeled=1/2", "optimiser.max_steps=2")
    extract(config)
    folder = train(config).run
    opened, run = open_source(str(folder), cache=config.runtime.cache)
    report = probe(opened, run, views=8, split="train")
    scores = by_name(report)
    assert {"vit", "cnn", "vit + cnn", "student trained (ema)"} <= set(scores)
    assert scores["vit"].origin == "cache"
    trained = {row.teacher: row for row in report.kept if row.student == "trained student"}
    assert trained.keys() == {"vit", "cnn"}
    for row in report.kept:
        assert 0 <= row.cka <= 1 + 1e-9
        assert (row.explained_variance is None) == (row.student == "student")
    assert report.worth_caching is None
    assert len(report.verdict) == 5
    assert any("trained on these scenes" in caution for caution in report.cautions)
    held_out = probe(opened, run, views=8)
    assert held_out.split == "val"
    assert by_name(held_out)["vit"].origin == "computed"
    assert not any("trained on these scenes" in caution for caution in held_out.cautions)


class Mapped:
    """Features of each view, mapped like the targets of a training."""

    def __init__(self, features, target):
        self.features, self.target = features, target

    def tokens(self, row):
        return self.target(torch.from_numpy(self.features.tokens(row))).numpy()


@pytest.mark.parametrize("targets", ["tokens", "phi-s"])
def test_a_translation_equal_to_what_it_learned_explains_all(make_config, monkeypatch, targets):
    words = f"objective.distillation.targets={targets}"
    config = make_config("data.labeled=1/2", "optimiser.max_steps=1", words)
    extract(config)
    opened, run = open_source(str(train(config).run), cache=config.runtime.cache)
    translated = sources.student_source

    def teachers_own(computing, student, name, kind, grid, **options):
        source = translated(computing, student, name, kind, grid, **options)
        assert (kind == "trained student" and targets != "tokens") == bool(source.targets)
        for settings in opened.teachers if kind == "trained student" else ():
            features = sources.teacher_source(computing, settings).features
            learned = source.targets.get(settings.name)
            source.translated[settings.name] = Mapped(features, learned) if learned else features
        return source

    monkeypatch.setattr(stage, "student_source", teachers_own)
    report = probe(opened, run, views=6, split="train")
    shares = [row.explained_variance for row in report.kept if row.student == "trained student"]
    assert shares == pytest.approx([1, 1], abs=1e-5)


def test_few_scenes_have_few_folds_and_a_caution(make_config):
    report = probe(make_config(ALL), views=6, scenes=2)
    assert len(report.folds) == 2
    assert any("hardly measure the spread" in caution for caution in report.cautions)
    assert len(report.folds[0]) == len(report.folds[1]) == 1


def test_students_without_their_weights_are_left_out(make_config, tmp_path):
    messages = Messages()
    missing = f"student.weights={tmp_path / 'none.safetensors'}"
    report = probe(make_config(ALL, missing), views=6, reporter=messages)
    assert "student" not in by_name(report)
    assert any("initial features are not scored" in line for line in messages.lines)
    assert any("its initial features were not scored" in caution for caution in report.cautions)


@pytest.mark.parametrize(
    ("overrides", "options", "error", "message"),
    [
        (["teachers=[]", "objective.method=supervised"], {}, ConfigError, "names no teacher"),
        (["data.labeled=0.05"], {}, DataError, "1 image of the training split is labeled"),
        ([], {"views": 1}, ConfigError, "at least 2 views"),
        ([], {"scenes": 1}, ConfigError, "at least 2 views of 2 scenes"),
        (["teachers.vit.weights=absent.pth"], {}, RsmtdfError, "absent.pth"),
        (["student.encoder=resnet999"], {}, ConfigError, "resnet999"),
    ],
)
def test_bad_input_is_a_sentence(make_config, overrides, options, error, message):
    with pytest.raises(error, match=message):
        probe(make_config(*overrides), **options)


def test_a_source_is_a_config_or_a_run(config_file, tmp_path):
    config, run = open_source(str(config_file), cache=tmp_path / "other")
    assert run is None
    assert config.runtime.cache == tmp_path / "other"
    with pytest.raises(ConfigError, match="checkpoint belongs to a run"):
        open_source(str(config_file), checkpoint=tmp_path)
    with pytest.raises(RsmtdfError):
        open_source(str(tmp_path))
    assert open_source(load_config(str(config_file)))[0] == load_config(str(config_file))

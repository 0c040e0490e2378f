import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.extract.run import extract
from pipeline.plan import plan_experiment
from pipeline.train.features import find_features
from pipeline.train.run import train
from pipeline.train.setup import make_accelerator, make_training
from rsmtdf_core.errors import ConfigError, StoreMismatchError, StoreNotFoundError
from rsmtdf_core.runs.checkpoint import newest_checkpoint
from rsmtdf_core.runs.folder import open_run
from rsmtdf_core.scenes.reader import SceneReader
from rsmtdf_core.training.sources import CachedPixels, RenderedPixels

CACHED = "runtime.cache_pixels=true"
FIXMATCH = "objective.method=fixmatch"


def batches_of(config):
    experiment = plan_experiment(config)
    accelerator = make_accelerator(config)
    features = find_features(experiment, accelerator.device)
    training = make_training(experiment, features, accelerator)
    with training.pixels.opened(0, training.total_steps) as batches:
        return training.pixels, [
            [batch.step, *(part.clone() for part in batch[3:])] for batch in batches
        ]


@pytest.mark.parametrize("method", ["supervised", "fixmatch", "unimatch-v2"])
@pytest.mark.parametrize("sees", ["mixed", "strong", "weak"])
def test_cached_pixels_are_the_rendered_ones(make_config, sees, method):
    settings = (
        f"objective.method={method}",
        f"views.teacher_sees={sees}",
        "views.scale=[0.3, 1.2]",
        "views.vertical_flip=0.5",
        "views.quarter_turns=1",
    )
    config = make_config(*settings, CACHED)
    report = extract(config)
    assert report.stores[-1].teacher == "pixels"
    cached_source, cached = batches_of(config)
    rendered_source, rendered = batches_of(make_config(*settings))
    assert isinstance(cached_source, CachedPixels)
    assert isinstance(rendered_source, RenderedPixels)
    assert len(cached) == len(rendered) == 8
    for served, expected in zip(cached, rendered, strict=True):
        assert served[0] == expected[0]
        for tensor, other in zip(served[1:], expected[1:], strict=True):
            assert tensor.dtype == other.dtype
            assert torch.equal(tensor, other)


def test_a_training_from_cached_pixels_opens_no_image_and_ends_with_the_same_weights(
    make_config, monkeypatch
):
    extract(make_config(CACHED))
    rendered = train(make_config()).run

    def refuse(*_: object) -> None:
        raise AssertionError("an image was opened")

    with monkeypatch.context() as patch:
        patch.setattr(SceneReader, "image", refuse)
        patch.setattr(SceneReader, "mask", refuse)
        config = make_config(CACHED)
        patch.setattr("pipeline.train.session.scored_scenes", lambda _: ())
        cached = train(config, config.runtime.runs / "cached").run
    first, other = (
        newest_checkpoint(open_run(run).checkpoints)[0].path for run in (rendered, cached)
    )
    for name in ("student.safetensors", "ema.safetensors"):
        assert (first / name).read_bytes() == (other / name).read_bytes()


def test_pixels_alone_may_be_cached(make_config):
    config = make_config("teachers=[]", "objective.method=supervised", CACHED)
    assert [store.teacher for store in extract(config).stores] == ["pixels"]
    train(config)
    assert extract(config).rendered == 0


def test_pixels_that_were_never_cached_are_missed(make_config):
    config = make_config(FIXMATCH)
    extract(config)
    with pytest.raises(StoreNotFoundError, match="extract-features"):
        train(make_config(FIXMATCH, CACHED))


def test_only_the_views_of_a_changed_mask_are_made_again(make_config, scenes, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(scenes, copy)
    config = make_config(FIXMATCH, CACHED, f"data.root={copy}")
    before = extract(config)
    plan = plan_experiment(config).plan
    mask = copy / plan.scenes[plan.labeled_scenes[0]].mask
    with Image.open(mask) as image:
        changed = np.array(image)
    changed[:30] = changed[30, 30]
    with Image.open(mask) as image:
        out = Image.fromarray(changed, image.mode)
        if image.palette is not None:
            out.putpalette(image.getpalette())
    out.save(mask)
    with pytest.raises(StoreMismatchError, match="the masks of 1 scenes"):
        train(config)
    again = extract(config)
    assert [store.new for store in before.stores] == [20, 20, 20]
    assert [store.new for store in again.stores] == [0, 0, 2]
    train(config)


def test_no_teacher_may_take_the_name_of_the_pixels(make_config):
    with pytest.raises(ConfigError, match="pixels"):
        make_config("teachers.vit.name=pixels")

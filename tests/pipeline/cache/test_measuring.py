"""A training step and every codec can be measured before any store exists."""

from typing import get_args

import numpy as np
import pytest
import torch

from pipeline.cache.plan import measuring
from pipeline.cache.plan.measuring import run_codec, step_seconds
from pipeline.plan import plan_experiment
from pipeline.train.setup import make_accelerator
from rsmtdf_core.codecs import declare_codec
from rsmtdf_core.errors import StoreError
from rsmtdf_core.kinds import TOKEN_CODECS
from rsmtdf_core.training.settings import DistanceName, TargetsName

CPU = torch.device("cpu")
_PAIRS = [
    *((loss, "tokens") for loss in get_args(DistanceName)),
    *(("mse", targets) for targets in get_args(TargetsName)[1:]),
]


@pytest.mark.parametrize(("loss", "targets"), _PAIRS)
def test_a_step_with_any_loss_is_measured_without_a_store(make_config, monkeypatch, loss, targets):
    monkeypatch.setattr(measuring, "RUNS", 1)
    config = make_config(
        f"objective.distillation.loss={loss}",
        f"objective.distillation.targets={targets}",
        "objective.distillation.teachers=[vit]",
        "objective.distillation.teacher_weights={vit: 2}",
        "optimiser.max_steps=1",
    )
    assert step_seconds(plan_experiment(config), make_accelerator(config)) > 0
    assert not config.runtime.cache_folder.exists()


@pytest.mark.parametrize("name", TOKEN_CODECS)
def test_a_codec_is_measured_on_views_that_differ_too_much_for_half_of_them(name):
    random = np.random.default_rng(0)
    smooth = np.ones((2, 8, 8, 16), np.float32) + random.normal(0, 1e-3, (2, 8, 8, 16))
    rough = random.normal(0, 50, (2, 8, 8, 16))
    tokens = np.concatenate([smooth, rough]).astype(np.float32)
    timing = run_codec(declare_codec(name), tokens, CPU)
    assert timing.bytes > 0
    with pytest.raises(StoreError, match="finite"):
        run_codec(declare_codec(name), np.full_like(tokens, np.nan), CPU)

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs.zstd import Zstd

from rsmtdf_core.codecs import Codec, declare_codec, fit_codec, make_codec
from rsmtdf_core.codecs.transform_formulas import (
    Basis,
    cosines,
    fit_transform,
    frequency_order,
    quantised,
)
from rsmtdf_core.errors import ConfigError, StoreError
from rsmtdf_core.store.fidelity import Fidelity

SHAPE = (12, 9, 20)


def views(count: int, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    """Smooth maps of components that differ in strength, with an offset and some noise."""
    height, width, channels = shape
    draws = np.random.default_rng(seed)
    u, v = np.ogrid[:height, :width]
    spectrum = draws.standard_normal((count, *shape)) / (1 + u**2 + v**2)[..., None]
    maps = np.einsum("ui,vj,nuvd->nijd", cosines(height), cosines(width), spectrum)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((channels, channels)))
    mixed = maps * 0.8 ** np.arange(channels) @ rotation
    return (40 * mixed + 5 + 0.1 * draws.standard_normal(mixed.shape)).astype(np.float32)


@cache
def fitted(quality: float = 0.99) -> Codec:
    declared = declare_codec("transform", quality=quality)
    return make_codec(declared, SHAPE, fit_codec(declared, views(16)))


def numbers(codec: Codec, tokens: np.ndarray) -> np.ndarray:
    """The contents of a record, through its bytes."""
    out = np.empty(codec.stored_shape, codec.dtype)
    codec.unpack(codec.encode(tokens), out)
    return out


def restored(codec: Codec, tokens: np.ndarray) -> np.ndarray:
    stored = torch.from_numpy(numbers(codec, tokens)[None])
    decoded = codec.decode(stored, "cpu")
    assert decoded.dtype == torch.float32
    return decoded[0].numpy()


@pytest.mark.parametrize("quality", [0.9, 0.99, 0.999])
def test_views_that_it_was_not_fitted_on_reach_the_quality_and_hardly_more(quality: float) -> None:
    codec, unseen = fitted(quality), views(200, seed=7)
    mean = views(16).mean(axis=(0, 1, 2))
    measured = Fidelity.merged(Fidelity.measure(v, restored(codec, v), mean) for v in unseen)
    loss = 1 - measured.certificate()["centred_cosine"]["mean"]
    assert 0.7 * (1 - quality) < loss < 1.1 * (1 - quality)


@pytest.mark.parametrize("quality", [0.9, 0.99])
def test_a_basis_that_fits_its_few_tokens_too_well_does_not_spoil_the_quality(
    quality: float,
) -> None:
    # The sample's 32 tokens lie in a subspace of the 64 channels, which tokens of other views leave.
    shape, draws = (2, 2, 64), np.random.default_rng(0)
    sample, unseen = (
        draws.standard_normal((count, *shape)).astype(np.float32) for count in (8, 100)
    )
    declared = declare_codec("transform", quality=quality)
    codec = make_codec(declared, shape, fit_codec(declared, sample))
    mean = sample.mean(axis=(0, 1, 2))
    measured = Fidelity.merged(Fidelity.measure(v, restored(codec, v), mean) for v in unseen)
    loss = 1 - measured.certificate()["centred_cosine"]["mean"]
    assert loss < 1.2 * (1 - quality)


def test_a_lower_quality_makes_smaller_records_of_the_size_it_expects() -> None:
    sizes = []
    for quality in (0.999, 0.99, 0.9):
        codec = fitted(quality)
        packed = [codec.encode(view).nbytes for view in views(16, seed=3)]
        assert np.mean(packed) == pytest.approx(codec.typical_bytes, rel=0.1)
        sizes.append(codec.typical_bytes)
    assert sizes[0] > 1.5 * sizes[1] > 2 * sizes[2]


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 17)),
    st.integers(1, 6),
    st.floats(-3, 3),
    st.sampled_from([0.5, 0.9, 0.99, 0.9999]),
    st.integers(0, 99),
)
def test_any_shape_and_scale_errs_by_no_more_than_the_quantiser(
    shape: tuple[int, int, int], count: int, decade: float, quality: float, seed: int
) -> None:
    sample = views(count, shape, seed) * np.float32(10**decade)
    declared = declare_codec("transform", quality=quality)
    parameters = fit_codec(declared, sample)
    codec = make_codec(declared, shape, parameters)
    for view in sample:
        error = np.linalg.norm(restored(codec, view) - view)
        # Both transforms are rotations, so that errors of at most .67 steps stay what they are.
        rounding = 1e-5 * np.linalg.norm(view)
        assert error <= 0.67 * parameters["step"][0] * np.sqrt(view.size) + rounding


def test_views_without_any_change_are_the_mean() -> None:
    sample = np.full((4, 5, 5, 16), 3.25, np.float32)
    declared = declare_codec("transform", quality=0.99)
    codec = make_codec(declared, (5, 5, 16), fit_codec(declared, sample))
    assert np.array_equal(restored(codec, sample[0]), sample[0])


def test_fitting_twice_gives_the_same_arrays() -> None:
    first, second = (fit_transform(0.99, views(6)) for _ in range(2))
    for name, array in first.items():
        assert np.array_equal(array, second[name])
    components = first["components"]
    assert np.allclose(components @ components.T, np.eye(SHAPE[2]), atol=1e-5)
    assert (np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1) > 0).all()


def test_a_batch_decodes_like_its_records_and_ignores_autocast() -> None:
    codec = fitted()
    batch = torch.from_numpy(np.stack([numbers(codec, view) for view in views(3, seed=5)]))
    with torch.autocast("cpu", torch.bfloat16):
        together = codec.decode(batch, "cpu")
    for decoded, alone in zip(together, batch, strict=True):
        assert torch.allclose(decoded, codec.decode(alone[None], torch.device("cpu"))[0], atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    tokens = views(1)[0]
    tokens[3, 4, 5] = value
    with pytest.raises(StoreError, match="finite"):
        fitted().encode(tokens)
    with pytest.raises(StoreError, match="finite"):
        fit_codec(declare_codec("transform", quality=0.99), np.stack([views(1)[0], tokens]))


def test_coefficients_beyond_int16_are_refused() -> None:
    with pytest.raises(StoreError, match="beyond int16") as caught:
        fitted().encode(views(1)[0] + np.float32(1e6))
    assert "int8" in str(caught.value)


def checkered(steps: float) -> np.ndarray:
    """A view whose highest frequency has that many steps in one component."""
    parameters = fit_transform(0.99, views(16))
    highest = np.outer(cosines(SHAPE[0])[-1], cosines(SHAPE[1])[-1])
    strong = steps * parameters["step"][0] * highest[..., None] * parameters["components"][0]
    return views(1, seed=9)[0] + strong.astype(np.float32)


def test_fine_detail_that_int8_would_cut_off_is_refused_unless_negligible() -> None:
    tokens = checkered(128)
    assert np.abs(restored(fitted(), tokens) - tokens).max() < 5
    with pytest.raises(StoreError, match="fine detail") as caught:
        fitted().encode(checkered(400))
    assert "int8" in str(caught.value)


def test_int8_may_cut_a_hundredth_of_the_energy_that_the_quality_gives_up() -> None:
    quality = 0.99
    parameters = fit_transform(quality, views(16))
    codec, wide = fitted(quality), int(parameters["wide"][0])
    basis = Basis(parameters["mean"], parameters["components"])
    ordered = frequency_order(*SHAPE[:2])
    # A strong constant, stored wide, makes a step of fine detail a small share of the energy.
    constant = 3000 * parameters["step"][0] * (SHAPE[0] * SHAPE[1]) ** -0.5
    view = checkered(0) + (constant * parameters["components"][0]).astype(np.float32)
    step = checkered(1) - checkered(0)
    refused = []
    for steps in range(130, 180, 2):
        tokens = view + steps * step
        numbers = quantised(basis.coefficients(tokens), parameters["step"][0]).reshape(-1, SHAPE[2])
        cut = np.maximum(np.abs(numbers[ordered[wide:]]) - 127, 0)
        share = np.square(cut, dtype=float).sum() / np.square(numbers, dtype=float).sum()
        try:
            codec.encode(tokens)
            refused.append(False)
        except StoreError:
            refused.append(True)
        assert refused[-1] == (share > 0.01 * (1 - quality)), f"{steps} steps, share {share:.3g}"
    assert refused[0] is False
    assert refused[-1] is True


def test_a_quality_out_of_reach_is_refused() -> None:
    noise = np.random.default_rng(0).standard_normal((4, 5, 5, 8)).astype(np.float32)
    with pytest.raises(StoreError, match="reaches"):
        fit_codec(declare_codec("transform", quality=1 - 1e-12), noise)
    for quality in (0.0, 1.0, -3.0, float("nan")):
        with pytest.raises(ConfigError, match="quality"):
            declare_codec("transform", quality=quality)


def test_parameters_that_do_not_fit_are_refused() -> None:
    declared = declare_codec("transform", quality=0.99)
    good = dict(fit_codec(declared, views(4)))
    for name, wrong in {
        "mean": good["mean"][:-1],
        "components": good["components"].astype(np.float64),
        "step": np.zeros(1, np.float32),
        "wide": np.array([SHAPE[0] * SHAPE[1] + 1], np.int32),
        "typical_bytes": np.int64(3),
    }.items():
        with pytest.raises(ValueError, match="transform"):
            make_codec(declared, SHAPE, {**good, name: np.asarray(wrong)})
    good.pop("mean")
    with pytest.raises(ValueError, match="mean"):
        make_codec(declared, SHAPE, good)


def test_the_declared_filter_reads_the_stored_numbers() -> None:
    codec, view = fitted(), views(1, seed=4)[0]
    (declared,) = codec.filters
    plain = Zstd(**declared["configuration"]).decode(codec.encode(view))
    assert np.array_equal(np.frombuffer(plain, np.uint8), numbers(codec, view))
    assert codec.label == "transform-0.99"
    assert codec.record_bytes is None


def test_threads_may_unpack_and_decode_with_one_codec() -> None:
    declared = declare_codec("transform", quality=0.99)
    codec = make_codec(declared, SHAPE, fit_codec(declared, views(8)))
    several = views(16, seed=2)
    packed = [codec.encode(view) for view in several]
    expected = [restored(codec, view) for view in several]

    def read(number: int) -> bool:
        out = np.empty(codec.stored_shape, np.uint8)
        codec.unpack(packed[number % 16], out)
        decoded = codec.decode(torch.from_numpy(out[None]), "cpu")[0].numpy()
        return np.allclose(decoded, expected[number % 16], atol=1e-3)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))

"""Ma's features against the authors' program, forests against a plain walk through their trees, and Q_PI."""

import json
import math

import numpy as np
import pytest
import scipy.io
from PIL import Image

from iassf_jax.core.errors import InputError
from iassf_jax.metrics import Models, evaluate, load_ma_model, why_not_computed
from iassf_jax.metrics.ma_features import MaFeatures, ma_features
from iassf_jax.metrics.steerable import steerable_pyramid

LENGTHS = {"dct": 18, "wavelet": 45, "singular": 75}
MATLAB = {"feature": "mbest", "threshold": "upper", "left": "lDau", "right": "rDau", "value": "avnode"}


def _forest(rng, length, trees=5, nodes=31):
    """Complete trees of five levels: node k leads to 2k + 1 and 2k + 2."""
    following = np.arange(nodes)[None].repeat(trees, 0) * 2 + 1
    inner = following + 1 < nodes
    return {
        "feature": rng.integers(0, length, (trees, nodes)),
        "threshold": rng.uniform(0, 2, (trees, nodes)),
        "left": np.where(inner, following, -1),
        "right": np.where(inner, following + 1, -1),
        "value": rng.uniform(0, 10, (trees, nodes)),
    }


@pytest.fixture
def forests(rng):
    return {prefix: _forest(rng, length) for prefix, length in LENGTHS.items()}


@pytest.fixture
def linear():
    return np.asarray([0.3, 0.2, 0.5, 0.4])


@pytest.fixture
def npz(forests, linear, tmp_path):
    arrays = {f"{p}_{name}": array for p, forest in forests.items() for name, array in forest.items()}
    np.savez(tmp_path / "ma.npz", linear=linear, **arrays)
    return tmp_path / "ma.npz"


def _walk(forest, features):
    """A prediction one node at a time."""
    predictions = []
    for tree in range(len(forest["left"])):
        node = 0
        while forest["left"][tree, node] != -1:
            low = features[forest["feature"][tree, node]] <= forest["threshold"][tree, node]
            node = forest["left" if low else "right"][tree, node]
        predictions.append(forest["value"][tree, node])
    return sum(predictions) / len(predictions)


def test_features_are_those_of_the_authors_program(shared):
    golden = json.loads((shared / "golden" / "golden.json").read_text())
    for name, expected in golden["ma_features_partial"]["values"].items():
        fused = np.asarray(Image.open(shared / "golden" / "images" / golden["triples"][name]["fused"]))
        levels = np.floor(16 + 219 / 255 * fused + 0.5)[4:-4, 4:-4]
        for found, values in zip(ma_features(levels), expected, strict=True):
            np.testing.assert_allclose(found, values, rtol=1e-9)


@pytest.mark.parametrize("shape", [(64, 64), (65, 78)])
def test_the_pyramid_keeps_the_energy_of_high_frequencies(shape, rng):
    """The squares of the masks sum to 1; above half the Nyquist frequency nothing goes to the next scale."""
    image = rng.standard_normal(shape)
    rows, columns = np.meshgrid(*(2 * np.fft.fftfreq(n) for n in shape), indexing="ij")
    radius = np.hypot(rows, columns)
    high = np.fft.ifft2(np.fft.fft2(image) * ((radius > 0.5) & (radius < 0.98))).real
    kept = steerable_pyramid(high, scales=2)
    assert [band.shape for band in kept.bands[1]] == [tuple(-(-n // 2) for n in shape)] * 6
    energy = np.square(kept.highpass).sum() + sum(np.square(band).sum() for band in kept.bands[0])
    assert energy == pytest.approx(np.square(high).sum(), rel=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (73, 91)])
def test_constant_and_small_images_have_finite_features(size):
    for image in (np.full(size, 120.0), np.random.default_rng(0).uniform(16, 235, size)):
        assert [len(part) for part in ma_features(image)] == [18, 45, 75]
        assert all(np.isfinite(part).all() for part in ma_features(image))


def test_the_score_is_the_mean_over_the_trees(npz, forests, linear, rng):
    model = load_ma_model(npz)
    for _ in range(10):
        features = MaFeatures(*(rng.uniform(0, 2, length) for length in LENGTHS.values()))
        predictions = [_walk(forest, part) for forest, part in zip(forests.values(), features, strict=True)]
        assert model.combine(features) == pytest.approx(linear @ [1, *predictions], rel=1e-12)


def test_the_authors_file_gives_the_same_score(npz, forests, linear, rng, tmp_path):
    structures = np.empty(3, object)
    for i, forest in enumerate(forests.values()):
        from_one = {name: forest[name] + (name in ("feature", "left", "right")) for name in MATLAB}
        structures[i] = {MATLAB[name]: array.T for name, array in from_one.items()} | {"coef": np.zeros(2)}
    scipy.io.savemat(tmp_path / "model.mat", {"model": {"rf": structures, "linear": linear[:, None]}})
    features = MaFeatures(*(rng.uniform(0, 2, length) for length in LENGTHS.values()))
    first, second = load_ma_model(npz), load_ma_model(tmp_path / "model.mat")
    assert second.combine(features) == first.combine(features)


def test_the_perceptual_index(npz, rng):
    image = rng.integers(0, 256, (104, 200, 3), dtype=np.uint8)
    models = Models(ma=load_ma_model(npz))
    values = evaluate(image, image, image, names=["q_pi", "ma", "niqe_for_pi"], models=models)
    red, green, blue = np.moveaxis(image.astype(float), 2, 0)
    luma = np.floor(16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255 + 0.5)
    assert values["ma"] == pytest.approx(models.ma.score(luma[4:-4, 4:-4]), rel=1e-9)
    assert values["q_pi"] == pytest.approx((10 - values["ma"] + values["niqe_for_pi"]) / 2)
    alone = evaluate(image, image, image, names=["q_pi"], models=models)
    assert alone == {"q_pi": pytest.approx(values["q_pi"], rel=1e-4)}


def test_without_the_forests_there_is_no_number_but_a_reason():
    image = np.zeros((104, 200), np.uint8)
    assert "--ma-model" in why_not_computed(["q_pi"], (104, 200))["q_pi"]
    assert math.isnan(evaluate(image, image, image, names=["q_pi"])["q_pi"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"linear": np.zeros(3)}, "4 finite weights"),
        ({"dct_left": np.zeros((5, 31), int)}, "later nodes"),
        ({"dct_right": np.full((5, 31), 31)}, "later nodes"),
        ({"wavelet_feature": np.full((5, 31), 45)}, r"0\.\.44"),
        ({"singular_value": np.zeros((5, 30))}, "one shape"),
        ({"singular_value": None}, "singular_value"),
    ],
)
def test_damaged_models_are_refused(npz, change, message):
    with np.load(npz) as arrays:
        kept = {name: array for name, array in {**arrays, **change}.items() if array is not None}
    np.savez(npz, **kept)
    with pytest.raises(InputError, match=message):
        load_ma_model(npz)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "model.mat").write_bytes(b"MATLAB")
    for name in ("none.npz", "none.mat", "model.mat"):
        with pytest.raises(InputError, match=f"{name}.*model.mat"):
            load_ma_model(tmp_path / name)

"""DistilBERT against plain NumPy, and the reading of model folders."""

import json
from math import erf, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from iassf_jax.core.errors import CheckpointError
from iassf_jax.text.distilbert import DistilBert, DistilBertConfig
from iassf_jax.text.distilbert_files import read_config, read_weights, sizes

TINY = DistilBertConfig(
    dim=8, n_layers=1, n_heads=2, hidden_dim=12, vocab_size=20, max_position_embeddings=10
)
IDS = np.array([[2, 7, 9, 3], [2, 5, 3, 0]], np.int32)
MASK = np.array([[True, True, True, True], [True, True, True, False]])


def stored_tensors(config=TINY, prefix=""):
    """A model file as it is published: [out, in] matrices, and a head that is of no use here."""
    rng = np.random.default_rng(0)
    d, h = config.dim, config.hidden_dim
    shapes = {
        "embeddings.word_embeddings.weight": (config.vocab_size, d),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, d),
        "embeddings.LayerNorm.weight": (d,),
        "embeddings.LayerNorm.bias": (d,),
    }
    for layer in range(config.n_layers):
        start = f"transformer.layer.{layer}."
        for name, shape in {
            **{f"attention.{x}_lin": (d, d) for x in ("q", "k", "v", "out")},
            "ffn.lin1": (h, d),
            "ffn.lin2": (d, h),
            "sa_layer_norm": (d,),
            "output_layer_norm": (d,),
        }.items():
            shapes |= {f"{start}{name}.weight": shape, f"{start}{name}.bias": shape[:1]}
    tensors = {prefix + name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    return tensors | {"vocab_projector.bias": np.zeros(config.vocab_size, np.float32)}


@pytest.fixture
def weights(tmp_path):
    safetensors.numpy.save_file(stored_tensors(), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def norm(x, scale, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * scale + bias


def one_layer(ids, t):
    """The published formulas for one sentence without padding."""
    t = {name: value.astype(np.float64) for name, value in t.items()}

    def dense(x, name):
        return x @ t[f"transformer.layer.0.{name}.weight"].T + t[f"transformer.layer.0.{name}.bias"]

    def layer_norm(x, name):
        return norm(x, t[f"{name}.weight"], t[f"{name}.bias"])

    x = t["embeddings.word_embeddings.weight"][ids] + t["embeddings.position_embeddings.weight"][: len(ids)]
    x = layer_norm(x, "embeddings.LayerNorm")
    q, k, v = (dense(x, f"attention.{name}_lin") for name in "qkv")
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        scores = q[:, part] @ k[:, part].T / sqrt(4)
        shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        heads.append(shares @ v[:, part])
    x = layer_norm(
        dense(np.concatenate(heads, -1), "attention.out_lin") + x, "transformer.layer.0.sa_layer_norm"
    )
    hidden = dense(x, "ffn.lin1")
    hidden = hidden * 0.5 * (1 + np.vectorize(erf)(hidden / sqrt(2)))
    return layer_norm(x + dense(hidden, "ffn.lin2"), "transformer.layer.0.output_layer_norm")


def test_one_layer_is_its_formula_and_padding_changes_nothing(weights):
    variables = read_weights(weights, TINY)
    actual = jax.jit(DistilBert(TINY).apply)(variables, IDS, MASK)
    tensors = stored_tensors()
    np.testing.assert_allclose(actual[0], one_layer(IDS[0], tensors), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(actual[1, :3], one_layer(IDS[1, :3], tensors), rtol=1e-4, atol=1e-5)


def test_names_are_read_with_and_without_prefix(weights, tmp_path):
    safetensors.numpy.save_file(stored_tensors(prefix="distilbert."), tmp_path / "prefixed.safetensors")
    plain, prefixed = read_weights(weights, TINY), read_weights(tmp_path / "prefixed.safetensors", TINY)
    jax.tree.map(np.testing.assert_array_equal, plain, prefixed)


def test_the_base_model_has_its_published_size():
    shapes = jax.eval_shape(DistilBert().init, jax.random.key(0), jnp.asarray(IDS), jnp.asarray(MASK))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 66_362_880
    embeddings = [v for k, v in shapes["params"].items() if "embedding" in k]
    assert sum(leaf.size for leaf in jax.tree.leaves(embeddings)) == 23_835_648


def test_every_parameter_is_read(weights):
    shapes = jax.eval_shape(DistilBert(TINY).init, jax.random.key(0), jnp.asarray(IDS), jnp.asarray(MASK))
    read = read_weights(weights, TINY)
    assert jax.tree.map(np.shape, read) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    assert sizes(read) == sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_missing_and_misshaped_tensors_are_errors(tmp_path):
    tensors = stored_tensors()
    del tensors["transformer.layer.0.ffn.lin1.bias"]
    tensors["embeddings.LayerNorm.bias"] = np.zeros(3, np.float32)
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"bias has shape \(3,\).*; .*lin1.bias is missing"):
        read_weights(tmp_path / "model.safetensors", TINY)


def test_damaged_and_absent_files_are_errors(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        read_weights(tmp_path / "none.safetensors", TINY)
    (tmp_path / "half.safetensors").write_bytes(b"12345678garbage")
    with pytest.raises(CheckpointError, match="truncated or no .safetensors"):
        read_weights(tmp_path / "half.safetensors", TINY)


def test_config_is_read_and_checked(tmp_path):
    with pytest.raises(CheckpointError, match="cannot read"):
        read_config(tmp_path)
    stored = {**vars(TINY), "activation": "gelu", "sinusoidal_pos_embds": False, "dropout": 0.1}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(stored))
    assert read_config(tmp_path) == TINY
    for change, message in (
        ({"activation": "relu"}, "activation 'relu'"),
        ({"dim": "large"}, "lacks dim"),
    ):
        file.write_text(json.dumps(stored | change))
        with pytest.raises(CheckpointError, match=message):
            read_config(tmp_path)
    file.write_text("{")
    with pytest.raises(CheckpointError, match="is no JSON"):
        read_config(tmp_path)

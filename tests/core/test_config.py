"""Configuration files: overrides are read as the type of the default, and mistakes are named."""

import json

import pytest

from iassf_jax.core.config import differences, from_json, load_config, to_json
from iassf_jax.core.errors import ConfigError

FILE = """
import ml_collections
from ml_collections import config_dict

def get_config():
    config = ml_collections.ConfigDict()
    config.seed = 0
    config.alpha = 2.0
    config.name = "first"
    config.flag = True
    config.widths = (24, 48)
    config.ratios = (0.25, 0.5)
    config.clip = config_dict.placeholder(float)
    config.size = config_dict.placeholder(tuple)
    config.limit = config_dict.placeholder(float)
    config.limit = 1.0
    config.optimizer = ml_collections.ConfigDict({"learning_rate": 2e-4, "weight_decay": 0.01})
    return config
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "setting.py"
    file.write_text(FILE)
    return file


@pytest.mark.parametrize(
    "word, key, value",
    [
        ("--config.alpha=3", "alpha", 3.0),
        ("config.alpha=1e-1", "alpha", 0.1),
        ("--config.seed=-7", "seed", -7),
        ("--config.name=a=b", "name", "a=b"),
        ("--config.name=", "name", ""),
        ("--config.flag=False", "flag", False),
        ("--config.flag=yes", "flag", True),
        ("--config.widths=(8, 16, 32)", "widths", (8, 16, 32)),
        ("--config.widths=[8]", "widths", (8,)),
        ("--config.ratios=1,0.5", "ratios", (1.0, 0.5)),
        ("--config.clip=1", "clip", 1.0),
        ("--config.clip=none", "clip", None),
        ("--config.limit=none", "limit", None),
        ("--config.limit=2", "limit", 2.0),
        ("--config.name=none", "name", "none"),
        ("--config.size=480,640", "size", (480, 640)),
        ("--config.optimizer.learning_rate=1e-3", "optimizer.learning_rate", 1e-3),
    ],
)
def test_overrides_take_the_type_of_the_default(path, word, key, value):
    node = load_config(path, [word])
    for part in key.split("."):
        node = node[part]
    assert node == value
    assert type(node) is type(value)
    if isinstance(value, tuple):
        assert [type(element) for element in node] == [type(element) for element in value]


@pytest.mark.parametrize(
    "word, expected",
    [
        ("--config.alpah=3", "did you mean config.alpha"),
        ("--config.optimizer.learning_rat=1", "did you mean config.optimizer.learning_rate"),
        ("--config.optimiser.learning_rate=1", "did you mean config.optimizer"),
        ("--config.alpha.x=1", "config.alpha is a single option"),
        ("--config.optimizer=1", "learning_rate, weight_decay"),
        ("--config.alpha=big", "expected float"),
        ("--config.seed=1.5", "expected int"),
        ("--config.flag=maybe", "expected bool"),
        ("--config.widths=24", "expected a tuple of int"),
        ("--config.widths=24,0.5", "expected a tuple of int"),
        ("--config.widths=24,(", "expected a tuple of int"),
        ("--config.alpha=none", "expected float"),
        ("--config.clip=", "expected float"),
        ("--config.limit=x", "expected float"),
        ("alpha=3", "--config.NAME=VALUE"),
        ("--config.alpha", "--config.NAME=VALUE"),
    ],
)
def test_mistakes_name_the_option_and_what_was_expected(path, word, expected):
    with pytest.raises(ConfigError) as caught:
        load_config(path, [word])
    assert expected in str(caught.value)


def test_the_tree_is_locked(path):
    config = load_config(path)
    with pytest.raises(AttributeError):
        config.alpah = 3.0
    with pytest.raises(TypeError):
        config.alpha = "3"


def test_json_round_trip_keeps_values_and_types(path):
    config = load_config(path, ["--config.clip=1", "--config.widths=1,2"])
    again = from_json(to_json(config))
    assert again.to_dict() == config.to_dict()
    assert again.is_locked
    assert json.loads(to_json(config))["widths"] == [1, 2]


def test_differences_are_dotted_and_complete():
    saved = {"model": {"name": "iassf", "depth": 2}, "seed": 0, "old": 1}
    given = {"model": {"name": "iassf", "depth": 3}, "seed": 0, "new": None}
    assert differences(saved, given) == {"model.depth": (2, 3), "old": (1, None)}
    assert differences(saved, saved) == {}


@pytest.mark.parametrize("name", ["cpu_small", "cpu_small.py", "configs/cpu_small.py"])
def test_packaged_configurations_are_found_by_name_from_anywhere(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert load_config(name).model.name == "iassf_released"


def test_unknown_names_show_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'cpu_small'"):
        load_config("cpu_smal")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("x = 1", "needs get_config"),
        ("def get_config(:", "SyntaxError"),
        ("def get_config():\n    return {}", "expected a ConfigDict"),
        ("def get_config():\n    raise KeyError('k')", "KeyError"),
    ],
)
def test_files_that_are_no_configuration_say_why(tmp_path, text, expected):
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=expected):
        load_config(file)

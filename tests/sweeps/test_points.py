"""Sweep files and grids multiply into named configurations; programs are grouped by what is traced."""

import importlib
from pathlib import Path

import pytest

from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.models import create
from iassf_jax.sweeps.folders import (
    FINISHED,
    Status,
    read_config,
    read_overrides,
    read_status,
    write_points,
    write_status,
)
from iassf_jax.sweeps.groups import group_points
from iassf_jax.sweeps.points import make_points, point_name


def test_files_and_grids_multiply(sweep_file):
    first, second = sweep_file({"alpha": 1.0}, {"alpha": 2.5}), sweep_file({"seed": 0}, {"seed": 7}, name="b")
    points = make_points(first, times=[second], grids=["model.num_fusion_blocks=1,3"])
    assert len(points) == 8
    last = points[-1]
    assert last.name == "alpha=2.5,seed=7,num_fusion_blocks=3"
    assert (last.config.alpha, last.config.seed, last.config.model.num_fusion_blocks) == (2.5, 7, 3)
    assert last.config.steps == 20  # of the sweep file's own configuration


def test_a_base_and_overrides_hold_for_all_points(sweep_file):
    (point,) = make_points(
        sweep_file({"alpha": 1.0}), base="cpu_small", overrides=["config.steps=7", "config.seed=9"]
    )
    assert point.config.data.crop == 96 and (point.config.steps, point.config.seed) == (7, 9)
    assert point.config.alpha == 1.0


def test_overrides_that_no_point_would_take_are_refused(sweep_file):
    with pytest.raises(ConfigError, match="--config.alpha=9: each of the runs sets alpha itself"):
        make_points(sweep_file({"alpha": 1.0}, {"alpha": 2.0}), overrides=["--config.alpha=9"])
    with pytest.raises(ConfigError, match="sets seed itself"):
        make_points(sweep_file({"alpha": 1.0}), grids=["seed=1,2"], overrides=["config.seed=3"])
    one_by_one = sweep_file({"alpha": 1.0}, {"seed": 2})
    values = [point.config.alpha for point in make_points(one_by_one, overrides=["config.alpha=9"])]
    assert values == [1.0, 9.0]  # the point's own value counts, and it is named by it


@pytest.mark.parametrize(
    "overrides, name",
    [
        ({}, "base"),
        ({"alpha": 0.5}, "alpha=0.5"),
        ({"optimizer.clip_norm": None, "data.train": "a/b c"}, "clip_norm=none,train=a_b_c"),
        ({"data.x": 1, "model.x": 2}, "data.x=1,model.x=2"),
    ],
)
def test_names_are_folders(overrides, name):
    assert point_name(overrides) == name


def test_a_value_may_be_none_a_tuple_or_text(sweep_file):
    file = sweep_file({"optimizer.clip_norm": None, "model.depths": (1, 1, 1, 2, 1), "haze": "physical"})
    (point,) = make_points(file)
    assert point.config.optimizer.clip_norm is None and point.config.haze == "physical"
    assert point.config.model.depths == (1, 1, 1, 2, 1)


@pytest.mark.parametrize(
    "points, options, message",
    [
        ([{"alhpa": 1.0}], {}, "did you mean config.alpha"),
        ([{"alpha": 1.0}, {"alpha": 1.0}], {}, "equal: alpha=1.0"),
        ([{"alpha": 1.0}], {"grids": ["alpha=1,2"]}, "two factors of the sweep set alpha"),
        ([{"alpha": 1.0}], {"grids": ["seed"]}, "expected OPTION=VALUE"),
        ([], {}, "yields nothing"),
    ],
)
def test_mistakes_are_named(sweep_file, points, options, message):
    with pytest.raises(ConfigError, match=message):
        make_points(sweep_file(*points), **options)


def test_files_that_are_no_sweep_are_refused(tmp_path):
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    for name, message in (("empty", "no get_points"), ("broken", "ModuleNotFoundError")):
        with pytest.raises(ConfigError, match=message):
            make_points(tmp_path / f"{name}.py")
    packaged = "ablations, alpha, choices, fusion_blocks, population_based, seeds"
    with pytest.raises(ConfigError, match=f"one of {packaged}"):
        make_points("beta")


@pytest.mark.parametrize(
    "name, count",
    [
        ("alpha", 6),
        ("fusion_blocks", 4),
        ("ablations", 7),
        ("seeds", 3),
        ("choices", 18),
        ("population_based", 4),
    ],
)
def test_packaged_sweeps_make_networks(name, count):
    points = make_points(name)
    assert len(points) == count
    for point in points:
        create(point.config.model.to_dict())
    module = importlib.import_module(f"configs.sweeps.{name}")
    assert [point.overrides for point in points] == list(module.get_points())


def test_points_are_kept_in_folders(sweep_file, tmp_path):
    points = make_points(sweep_file({"alpha": 1.0}, {"model.num_fusion_blocks": 3}))
    folders = write_points(tmp_path / "sweep", points)
    assert [folder.name for folder in folders] == ["alpha=1.0", "num_fusion_blocks=3"]
    assert read_overrides(folders[1]) == {"model.num_fusion_blocks": 3}
    assert read_config(folders[1]).to_dict() == points[1].config.to_dict()
    assert read_status(folders[0]) == Status()
    write_status(folders[0], Status(FINISHED, 20, {"restored_psnr": 20.0}))
    write_points(tmp_path / "sweep", points)  # the same command again
    assert read_status(folders[0]).metrics == {"restored_psnr": 20.0}
    with pytest.raises(InputError, match="point.json cannot be read"):
        read_config(tmp_path)


def test_points_of_one_program_are_grouped(sweep_file, tmp_path):
    file = sweep_file(
        *({"alpha": alpha, "model.num_fusion_blocks": m} for m in (1, 3) for alpha in (1.0, 2.0, 3.0))
    )
    grid = ["optimizer.learning_rate=1e-3,1e-4"]
    folders = write_points(tmp_path / "sweep", make_points(file, grids=grid))
    assert group_points(folders, population=1) == [(folder,) for folder in folders]
    groups = group_points(folders, population=4)
    assert [len(group) for group in groups] == [4, 2, 4, 2]
    assert [folder for group in groups for folder in group] == folders
    blocks = [{read_config(folder).model.num_fusion_blocks for folder in group} for group in groups]
    assert blocks == [{1}, {1}, {3}, {3}]


def test_every_packaged_sweep_says_how_it_is_run():
    for path in Path("configs/sweeps").glob("[a-z]*.py"):
        assert "iassf sweep --config configs/sweeps/" in path.read_text()

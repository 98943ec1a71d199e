"""A member of a population is the run that it would be alone, whatever becomes of the others."""

import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console

from iassf_jax.checkpoints.manager import CheckpointManager
from iassf_jax.core.errors import ConfigError, TrainingError
from iassf_jax.sweeps import population, worker
from iassf_jax.sweeps.folders import DIVERGED, FINISHED, read_status
from iassf_jax.sweeps.population import train_population
from iassf_jax.sweeps.stacked import StackedProgram, check_members
from iassf_jax.sweeps.turns import TurnsProgram
from iassf_jax.training import run_training

ALONE = ("alpha=3.0", "seed=5", "optimizer.learning_rate=3e-3", "optimizer.weight_decay=0.1")
ALONE = (*ALONE, "haze_options.strength=0.5")
DIVERGING = (*ALONE[:2], "optimizer.learning_rate=1e38")
SHORT = ("steps=4", "log_every=1", "eval_every=4", "images_every=4", "haze=iassf_released")


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def compiled(monkeypatch):
    """The programs of populations, as they are compiled."""
    programs, compile_one = [], StackedProgram._compile

    def counting(self, shared):
        programs.append(compile_one(self, shared))
        return programs[-1]

    monkeypatch.setattr(StackedProgram, "_compile", counting)
    return programs


def test_each_member_is_its_own_run(make_config, tmp_path, silent, compiled):
    members = [("alpha=1.0",), ("seed=5",), DIVERGING, ALONE]
    configs = [make_config(*SHORT, *words) for words in members]
    folders = [tmp_path / str(index) for index in range(len(configs))]
    results = train_population(configs, folders, console=silent)
    # Neither alpha, nor seeds, rates or decay compile another program.
    assert [program._cache_size() for program in compiled] == [1]
    alone = run_training(configs[3], tmp_path / "alone", console=silent)

    for found, expected in zip(lines(folders[3]), lines(tmp_path / "alone"), strict=True):
        assert found.keys() == expected.keys() and found["kind"] == expected["kind"]
        for name in found.keys() - {"kind"}:
            assert found[name] == pytest.approx(expected[name], rel=1e-4), (name, found["step"])
    for found, expected in zip(_leaves(results[3]), _leaves(alone), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert [result.step for result in results if not isinstance(result, TrainingError)] == [4] * 3
    assert len({lines(folders[index])[-1]["loss/total"] for index in (0, 1, 3)}) == 3
    assert (folders[0] / "images" / "step_00000004.png").exists()

    assert isinstance(results[2], TrainingError) and "not finite" in str(results[2])
    assert read_status(folders[2]).state == DIVERGED
    # A member's folder is a run's folder: the ordinary command finds nothing left to do.
    assert run_training(configs[3], folders[3], console=silent).step == 4


class Killed(Exception):
    pass


def test_a_population_continues_from_the_step_that_all_have(make_config, tmp_path, silent, monkeypatch):
    configs = [make_config(*SHORT, "keep_last=1", f"alpha={index}.5") for index in (1, 2)]
    whole = [tmp_path / "whole" / name for name in ("a", "b")]
    for folder, config in zip(whole, configs, strict=True):
        folder.mkdir(parents=True)
        point = {"overrides": {"alpha": config.alpha}, "config": config.to_dict()}
        (folder / "point.json").write_text(json.dumps(point))
    statuses = worker.train_points(whole)
    assert [status.state for status in statuses] == [FINISHED] * 2
    assert statuses[0].metrics["loss/total"] != statuses[1].metrics["loss/total"]

    folders = [tmp_path / "killed" / name for name in ("a", "b")]
    save, saves = CheckpointManager.save, []

    def killing_at(count):
        def dying(self, step, *args, **kwargs):
            saves.append(step)
            if len(saves) == count:
                raise Killed
            return save(self, step, *args, **kwargs)

        return dying

    for count in (2, 6):  # the second member's first checkpoint, then its last one
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(CheckpointManager, "save", killing_at(count))
            train_population(configs, folders, console=silent)
    shown = io.StringIO()
    results = train_population(configs, folders, console=Console(file=shown, width=400))
    assert "a goes back from step 4 to 2" in shown.getvalue() and "members, steps 2 to 4" in shown.getvalue()
    assert saves == [2, 2, 2, 2, 4, 4] and [result.step for result in results] == [4, 4]
    for found, expected in zip(folders, whole, strict=True):
        assert lines(found) == lines(expected)


def test_on_a_single_cpu_members_take_turns_with_one_program(make_config, tmp_path, silent, monkeypatch):
    programs = []

    def in_turns(task, config, *, members):
        programs.append(TurnsProgram(task, config))
        return programs[-1]

    monkeypatch.setattr(population, "_make_program", in_turns)
    members = [("alpha=1.0",), ("alpha=1.0",), DIVERGING, ALONE]  # equal ones do not share their state
    configs = [make_config(*SHORT, *words, "eval_every=0", "images_every=0") for words in members]
    folders = [tmp_path / str(index) for index in range(len(configs))]
    results = train_population(configs, folders, console=silent)
    assert len(programs) == 1
    run_training(configs[3], tmp_path / "alone", console=silent)
    for found, expected in zip(lines(folders[3]), lines(tmp_path / "alone"), strict=True):
        assert {**found, "kind": 0} == pytest.approx({**expected, "kind": 0}, rel=2e-6)
    assert lines(folders[0]) == lines(folders[1]) != lines(folders[3])
    assert isinstance(results[2], TrainingError) and read_status(folders[2]).state == DIVERGED


def test_members_of_other_programs_are_refused(make_config):
    with pytest.raises(ConfigError, match="may differ in alpha, seed"):
        check_members([make_config(), make_config("data.crop=24")])


def _leaves(result):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(result.state.params)]

"""Schedulers by configuration: which one is chosen, what it may change, and what makes no sense."""

import pytest

from iassf_jax.cli.main import main
from iassf_jax.core.errors import ConfigError
from iassf_jax.sweeps.points import make_points, sweep_scheduler
from iassf_jax.sweeps.schedulers import TOKEN, Asha, Comparison, Pbt, compare, explore, read_scheduler

RATE = "optimizer.learning_rate"
MUTATIONS = {RATE: (1e-4, 1e-2)}
PBT = {"name": "pbt", "interval": 10, "mutations": MUTATIONS}
VALIDATED = ("data.val=somewhere", "checkpoint_every=5")


@pytest.mark.parametrize(
    "name, given, expected",
    [
        (None, None, None),
        (None, {"name": "asha", "reduction_factor": 3, "grace_period": 40}, Asha(40, 3)),
        (None, PBT, Pbt(10, MUTATIONS)),
        ("pbt", {**PBT, "synchronous": True}, Pbt(10, MUTATIONS, synchronous=True)),
        ("asha", None, Asha()),
        ("asha", PBT, Asha()),
        ("none", PBT, None),
    ],
)
def test_the_command_line_counts_more_than_the_file(name, given, expected):
    assert read_scheduler(name, given) == expected


@pytest.mark.parametrize(
    "given, message",
    [
        ({"name": "hyperband"}, "expected one of none, asha, pbt"),
        ({"name": "asha", "interval": 10}, "options of asha are grace_period, reduction_factor, brackets"),
        ({"name": "asha", "reduction_factor": 1}, "reduction_factor is 1; expected more than 1"),
        ({"name": "pbt", "interval": 10}, "missing .* 'mutations'"),
        ({**PBT, "mutations": {}}, "at least one option"),
        ({**PBT, "mutations": {"seed": [1, 2]}}, "'seed' cannot change while a point trains"),
        ({**PBT, "mutations": {"model.channels": [8, 16]}}, "these can: alpha, optimizer.learning_rate"),
        ({**PBT, "mutations": {"alpha": (2, 1)}}, "expected a range"),
        ({**PBT, "mutations": {"alpha": [2, 1]}}, "list of increasing values"),
        ({**PBT, "mutations": {"alpha": "high"}}, "expected a range"),
        ({**PBT, "interval": 0}, "interval is 0"),
        ({**PBT, "quantile": 0.6}, "quantile is 0.6; expected above 0 up to 0.5"),
        ({**PBT, "factors": (0.5,)}, "two factors above 0"),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        read_scheduler(None, given)


def test_pbt_is_told_what_it_may_change():
    with pytest.raises(ConfigError, match="give the sweep file a get_scheduler"):
        read_scheduler("pbt", None)


@pytest.fixture
def configs(sweep_file):
    """A function from points and overrides to the configurations of runs of 20 steps."""

    def make(*points, words=VALIDATED):
        overrides = [f"config.{word}" for word in words]
        return [point.config for point in make_points(sweep_file(*points), overrides=overrides)]

    return make


def test_points_are_compared_by_their_best_metric(configs):
    points = configs({RATE: 1e-3, "seed": 1}, {RATE: 1e-2, "seed": 2})
    expected = Comparison("restored_psnr", "max", 20, 10)
    assert compare(read_scheduler(None, PBT), points) == compare(Asha(), points) == expected


@pytest.mark.parametrize(
    "scheduler, points, words, message",
    [
        (PBT, ({"alpha": 1.0},), VALIDATED, "at least two points"),
        (PBT, ({"data.crop": 32}, {"data.crop": 48}), VALIDATED, "these differ in more"),
        (PBT, ({"alpha": 1.0}, {"alpha": 2.0}), ("checkpoint_every=5",), "pbt needs validation"),
        (
            PBT,
            ({"seed": 1}, {"seed": 2}),
            (VALIDATED[0], "checkpoint_every=4"),
            "checkpoint_every, which is 4",
        ),
        ({**PBT, "interval": 15}, ({"alpha": 1.0}, {"alpha": 2.0}), VALIDATED, "eval_every, which is 10"),
        ({**PBT, "interval": 20}, ({"alpha": 1.0}, {"alpha": 2.0}), VALIDATED, "less than config.steps = 20"),
        ({"name": "asha"}, ({"steps": 20}, {"steps": 30}), VALIDATED, "equal best_metric, best_mode, steps"),
        ({"name": "asha", "grace_period": 30}, ({"seed": 1}, {"seed": 2}), VALIDATED, "grace_period is 30"),
        (
            {"name": "asha"},
            ({"haze_options.strength": 1.0}, {"haze_options.strength": 2.0}),
            (*VALIDATED, "haze=physical"),
            "validation has it too",
        ),
        (
            {"name": "asha"},
            ({"alpha": 1.0}, {"alpha": 2.0}),
            (*VALIDATED, "best_metric=loss/total"),
            "alpha weighs it",
        ),
        (
            {**PBT, "mutations": {"alpha": (1, 2)}},
            ({"seed": 1}, {"seed": 2}),
            (*VALIDATED, "best_metric=loss/total"),
            "alpha weighs it",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(configs, scheduler, points, words, message):
    with pytest.raises(ConfigError, match=message):
        compare(read_scheduler(None, scheduler), configs(*points, words=words))


def test_new_values_stay_in_range_and_every_takeover_has_a_name():
    mutations = {RATE: (1e-4, 1e-2), "alpha": [1.0, 2.0]}
    before = {RATE: 2e-2, "alpha": 2.0, "unit": ["a"], TOKEN: "before"}
    after = explore(mutations, before)
    assert after == {**before, RATE: 1e-2, TOKEN: after[TOKEN]} and before[TOKEN] == "before"
    assert explore(mutations, {**before, RATE: 1e-9})[RATE] == 1e-4
    assert len({explore(mutations, before)[TOKEN], after[TOKEN], "before"}) == 3


def test_a_sweep_file_has_the_scheduler(sweep_file, tmp_path, capsys):
    file = sweep_file({"seed": 1}, {"seed": 2})
    assert sweep_scheduler(file) is None
    text = file.read_text() + f"\ndef get_scheduler():\n    return {PBT!r}\n"
    file.write_text(text)
    assert sweep_scheduler("seeds", file) == PBT
    with pytest.raises(ConfigError, match="each have a get_scheduler"):
        sweep_scheduler(file, "population_based")
    assert main(["sweep", "--config", str(file), "--workdir", str(tmp_path / "out")]) == 2
    assert "the engine is local, which trains all points to their end" in capsys.readouterr().err
    for returned in ("[]", "{'interval': 10}"):
        file.write_text(text.replace(f"return {PBT!r}", f"return {returned}"))
        with pytest.raises(ConfigError, match='expected a mapping with "name"'):
            sweep_scheduler(file)


def test_the_packaged_one_makes_sense():
    words = ["config.data.val=somewhere"]
    points = make_points("population_based", overrides=words)
    scheduler = read_scheduler(None, sweep_scheduler("population_based"))
    assert compare(scheduler, [point.config for point in points]).eval_every == scheduler.interval

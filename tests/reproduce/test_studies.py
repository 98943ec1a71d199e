"""Which runs the paper's tables need: counted, shared, in few programs."""

import pytest

from iassf_jax.core.errors import ConfigError
from iassf_jax.evaluation import baselines
from iassf_jax.models import create
from iassf_jax.report.published import TITLES, counterpart, published
from iassf_jax.reproduce.budgets import NAMES, load_budget
from iassf_jax.reproduce.studies import make_runs, study
from iassf_jax.sweeps.folders import write_points
from iassf_jax.sweeps.groups import group_points
from iassf_jax.sweeps.stacked import program_key


@pytest.mark.parametrize("table, rows", [("VII", 7), ("VIII", 6), ("IX", 4), ("I", 1), ("VI", 1)])
def test_a_table_has_its_rows_for_every_seed(table, rows):
    runs = study(table).runs((0, 1, 2))
    assert len(runs) == 3 * rows and len({tuple(run.items()) for run in runs}) == 3 * rows
    assert [run["seed"] for run in runs[: rows + 1]] == [0] * rows + [1]


@pytest.mark.parametrize("table", ("VII", "VIII", "IX"))
def test_the_rows_are_those_of_the_paper(table):
    wanted = study(table)
    found = {counterpart(table, {wanted.option: value}) for value in wanted.values}
    assert found == set(published(table)) and wanted.reference in wanted.values


@pytest.mark.parametrize("table, programs", [("VII", 7), ("VIII", 1), ("IX", 4)])
def test_a_program_is_for_a_network_and_not_for_alpha_or_a_seed(table, programs):
    runs = make_runs([study(table)], load_budget("small"), ())
    assert len({program_key(point.config) for point, _ in runs.values()}) == programs


def test_rivals_are_computed_where_the_paper_has_rivals():
    for table in TITLES:
        assert study(table).baselines == (() if table in ("VII", "VIII", "IX") else baselines.ALL)
    names = {table: study(table).evaluation for table in TITLES}
    assert names["I"] == names["II"] == "msrs_rivals" and names["IV"] == "m3fd_rivals"
    assert names["VII"] == names["VIII"] == names["IX"] == "msrs"


def test_tables_share_runs_and_programs(tmp_path):
    """Three seeds of VII, VIII and IX: 45 runs, since the whole network stands in all of them."""
    budget = load_budget("small")
    runs = make_runs([study("VII"), study("VIII"), study("IX")], budget, ["config.data.train=somewhere"])
    assert len(runs) == 3 * (7 + 6 + 4 - 2)
    point, wanted = runs["alpha=2.0,num_fusion_blocks=5,ablation=none,seed=1"]
    assert [one.table for one in wanted] == ["VII", "VIII", "IX"]
    assert point.config.data.train == "somewhere" and point.config.seed == 1
    folders = write_points(tmp_path, [point for point, _ in runs.values()])
    units = group_points(folders, population=budget.population)
    # The whole network with all alphas and seeds, in two parts; six ablations; three other M.
    assert sorted(map(len, units)) == [3] * 9 + [9, 9]


@pytest.mark.parametrize("word", ["alpha=9", "seed=5", "model.num_fusion_blocks=3", "model.ablation=wo_fir"])
def test_what_the_tables_set_themselves_is_not_changed_silently(word):
    with pytest.raises(ConfigError, match=f"{word.partition('=')[0]} itself; .*--seeds"):
        make_runs([study("VIII")], load_budget("smoke"), [f"--config.{word}"])


@pytest.mark.parametrize("name", NAMES)
def test_every_budget_can_be_spent(name):
    budget = load_budget(name)
    runs = make_runs([study(table) for table in ("VII", "VIII", "IX")], budget, ())
    for point, _ in runs.values():
        create(point.config.model.to_dict())
    assert budget.seeds and budget.population >= 1 and budget.batch >= 1
    assert point.config.steps % point.config.checkpoint_every == 0


def test_budgets_that_are_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="smoke, small, paper"):
        load_budget("large")
    file = tmp_path / "mine.py"
    file.write_text("def get_budget():\n    return {'seeds': (0,)}\n")
    with pytest.raises(ConfigError, match="expected.*population"):
        load_budget(str(file))
    file.write_text("import nothing_of_this_name")
    with pytest.raises(ConfigError, match="ModuleNotFoundError"):
        load_budget(str(file))

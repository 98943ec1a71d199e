"""Tables: marks, spreads, LaTeX that compiles, published values."""

import csv
import math
import re

import numpy as np
import pytest

from iassf_jax.core.errors import InputError
from iassf_jax.metrics import METRICS, PAPER
from iassf_jax.metrics.report import latex_text
from iassf_jax.metrics.summary import compare
from iassf_jax.report import tables
from iassf_jax.report.published import TITLES, counterpart, published
from iassf_jax.report.statistics import Difference, make_cell, noise_limit

METRIC_NAMES = ("q_mi", "q_cv")


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)

    def row(q_mi, q_cv, seeds):
        return {
            "q_mi": make_cell(q_mi + 0.1 * rng.normal(size=(seeds, 12))),
            "q_cv": make_cell(q_cv + rng.normal(size=(seeds, 12))),
        }

    return {"alpha=1": row(2.0, 300, 3), "a_b & 50 %": row(3.0, 310, 1), "c": row(1.0, 290, 1)}


def check_latex(text):
    """Braces and environments balance, every line has as many cells as the table has columns."""
    bare = re.sub(r"\\[{}]", "", text)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1]
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
    for line in text.splitlines():
        if line.endswith(r"\\"):
            separators = len(re.findall(r"(?<!\\)&", line))
            spanned = re.search(r"\\multicolumn\{(\d+)\}", line)
            assert separators + (int(spanned[1]) if spanned else 1) == columns, line
    outside = re.sub(r"\$[^$\n]*\$", "", text)
    assert not re.search(r"(?<!\\)[_^#%]", re.sub(r"^% .*$", "", outside, flags=re.M))
    assert text.isascii()


def test_latex_is_sound_and_marks_the_best(cells):
    paper = tables.printed(published("VIII"), title="published, Table VIII (50 %)")
    text = tables.to_latex([tables.measured(cells), paper], METRIC_NAMES)
    check_latex(text)
    assert r"Q\_MI $\uparrow$ & Q\_CV $\downarrow$" in text
    assert r"a\_b \& 50 \% & \textbf{" in text
    assert r" $\pm$ " in text.splitlines()[4] and r" $\pm$ " not in text.splitlines()[5]


@pytest.mark.parametrize("text", ["a_b", "50 %", "x & y", "{", "\\", "a^b", "#1 ~ $2"])
def test_special_characters_are_only_text(text):
    check_latex(rf"\begin{{tabular}}{{l}} {latex_text(text)} \end{{tabular}}")


def test_markdown_ranks_each_section_by_itself(cells):
    sections = [tables.measured(cells), tables.printed(published("IX"), title="paper")]
    lines = tables.to_markdown(sections, METRIC_NAMES).splitlines()
    assert lines[0] == "|  | Q_MI ↑ | Q_CV ↓ |"
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith(r"| a\_b & 50 % | **3.0")
    assert "**2" in lines[4].split("|")[3]
    assert lines[5] == "| *paper* |  |  |"
    assert lines[7] == "| 3 | **2.915** | 244.3 |"
    assert lines[8] == "| 5 | 2.720 | **238.4** |"


def test_differences_say_whether_seeds_explain_them():
    rng = np.random.default_rng(1)
    base = rng.normal(size=30)
    comparison = compare(base + 1 + 0.1 * rng.normal(size=30), base)
    texts = [
        tables.difference_text(Difference(comparison, limit, beyond))
        for limit, beyond in ((0.5, True), (2.0, False), (math.nan, None))
    ]
    assert all(text.startswith("+") and "p < 0.001" in text for text in texts)
    assert texts[0].endswith(", larger than seed noise") and texts[1].endswith(", within seed noise")
    assert texts[2].endswith(", p < 0.001")
    nothing = compare(np.array([math.nan]), np.array([1.0]))
    assert tables.difference_text(Difference(nothing, math.nan, None)) == "–"
    found = {"c": {"q_mi": Difference(comparison, 0.5, True)}}
    assert tables.comparison_markdown(found, "alpha=1", ["q_mi"]).startswith("| minus alpha=1 | Q_MI |")


def test_the_csv_has_every_number(cells):
    base = np.arange(5.0)
    limit = noise_limit((0.1, 4), 3, 3)
    found = {"c": {"q_mi": Difference(compare(base + 1, base), limit, True)}}
    rows = list(csv.DictReader(tables.to_csv([("fusion", cells, found)]).splitlines()))
    assert len(rows) == 6 and tuple(rows[0]) == tables.COLUMNS
    by_name = {(row["row"], row["metric"]): row for row in rows}
    assert by_name["alpha=1", "q_mi"]["seeds"] == "3" and by_name["c", "q_mi"]["sd_over_seeds"] == ""
    assert float(by_name["c", "q_mi"]["difference"]) == 1.0
    assert float(by_name["c", "q_mi"]["seed_noise"]) == pytest.approx(limit)
    assert by_name["c", "q_mi"]["beyond_seed_noise"] == "yes"
    assert float(by_name["c", "q_cv"]["mean"]) == cells["c"]["q_cv"].mean


def test_published_tables():
    sizes = {table: len(published(table)) for table in TITLES}
    assert sizes == {**dict.fromkeys(("I", "II", "III", "IV", "V", "VI"), 8), "VII": 7, "VIII": 6, "IX": 4}
    for table in TITLES:
        for row in published(table).values():
            assert set(row) == set(PAPER) <= set(METRICS)
    ours = published("I")["Ours"]
    assert ours == published("VII")["Ours"] == published("VIII")["2"] == published("IX")["5"]
    assert (ours["q_mi"], ours["q_cv"], ours["q_pi"]) == (2.72, 238.42, 3.811)
    assert published("VII")["w/o HDE"]["q_vif"] == 0.464
    with pytest.raises(InputError, match="X.*VIII"):
        published("X")


@pytest.mark.parametrize(
    "table, settings, row",
    [
        ("VIII", {"alpha": 2.0}, "2"),
        ("VIII", {"alpha": 0.5}, "0.5"),
        ("VIII", {"alpha": 2.5}, None),
        ("VIII", {}, None),
        ("IX", {"model.num_fusion_blocks": 7}, "7"),
        ("VII", {"model.ablation": "wo_pvi"}, "w/o P_vi"),
        ("VII", {"model.ablation": "none"}, "Ours"),
        ("I", {"alpha": 3}, "Ours"),
    ],
)
def test_networks_have_counterparts_in_the_paper(table, settings, row):
    assert counterpart(table, settings) == row
    assert row is None or row in published(table)


def test_every_ablation_of_the_network_is_a_row_of_the_paper():
    from configs.sweeps.ablations import ABLATIONS

    rows = {counterpart("VII", {"model.ablation": name}) for name in ABLATIONS}
    assert rows == set(published("VII"))


def test_deviations_are_relative(cells):
    known = {"c": {"q_mi": 2 * cells["c"]["q_mi"].mean, "q_pi": 3.0}}
    found = tables.deviations(cells, known, METRIC_NAMES)
    assert found == {"c": {"q_mi": pytest.approx(-0.5)}}
    assert tables.deviations_markdown(found, METRIC_NAMES).splitlines()[2] == "| c | -50.0 % | – |"

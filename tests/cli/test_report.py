"""`iassf report`: from the files of evaluations, runs and sweeps to tables, figures and a page."""

import csv
import html.parser
import json

import numpy as np
import pytest
from PIL import Image

from iassf_jax.cli.main import main
from iassf_jax.core.errors import InputError
from iassf_jax.report.results import read_results
from iassf_jax.report.rows import make_blocks

METRICS = ("q_mi", "q_cv", "q_pi")
IMAGES = tuple(f"{i:05d}D" for i in range(6))


def _evaluation(folder, methods, *, name="iassf_lite", images=IMAGES):
    folder.mkdir(parents=True)
    with (folder / "per_image.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "name", "data", "light", *METRICS])
        for method, values in methods.items():
            for image, value in zip(images, values, strict=True):
                writer.writerow([method, image, "msrs/val", "day", value, 300 - value, ""])
    (folder / "summary.json").write_text(json.dumps({"settings": {"model": {"name": name}}}))


def _run(folder, *, alpha, seed, shift):
    folder.mkdir(parents=True)
    config = {"seed": seed, "alpha": alpha, "model": {"name": "iassf_lite"}, "data": {"val": str(folder)}}
    (folder / "config.json").write_text(json.dumps(config))
    lines = [{"step": s, "kind": "eval", "restored_psnr": 10.0 + s + alpha} for s in (1, 2)]
    lines.insert(1, {"step": 1, "kind": "train", "total": 0.5})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 3, ')
    values = np.arange(6) + shift + 0.1 * seed
    _evaluation(folder / "evaluation", {"iassf_lite": values, "maximum": np.arange(6) / 7})


@pytest.fixture
def sweep(tmp_path):
    folder = tmp_path / "sweep"
    for alpha, shift in ((2.0, 3.0), (0.5, 1.0)):
        for seed in (0, 1):
            _run(folder / f"alpha={alpha},seed={seed}", alpha=alpha, seed=seed, shift=shift)
    return folder


def _images(folder, kind, *, names=IMAGES, size=(40, 60)):
    rng = np.random.default_rng(len(kind))
    (folder / kind / "msrs_val").mkdir(parents=True)
    for name in names:
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / kind / "msrs_val" / f"{name}.png")


def _report(folder, output, *options):
    return main(["report", "--workdir", str(folder), "--output", str(output), *options])


class _Page(html.parser.HTMLParser):
    """What is open, what is shown, and what would have to be loaded."""

    void = ("meta", "img", "br", "input", "link")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.sources = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_runs_that_differ_in_the_seed_are_one_row(sweep):
    block = make_blocks(read_results({"sweep": sweep}))[0]
    assert [(row.label, row.seeds) for row in block.rows] == [
        ("alpha=0.5", 2),
        ("alpha=2.0", 2),
        ("maximum", 1),
    ]
    assert block.images == tuple(f"msrs/val/{name}" for name in IMAGES)
    np.testing.assert_allclose(block.rows[1].values("q_mi", block.images[:1]), [[3.0], [3.1]])


def test_rows_that_differ_in_many_options_are_called_as_their_runs(tmp_path):
    for name, options in {"small": {}, "large": {f"o{i}": i for i in range(4)}}.items():
        _run(tmp_path / name, alpha=2.0, seed=0, shift=1.0)
        config = json.loads((tmp_path / name / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps(config | options))
    block = make_blocks(read_results({"runs": tmp_path}))[0]
    assert {row.label for row in block.rows} == {"large", "small", "maximum"}


def test_a_sweep_becomes_a_table_beside_the_published_one(sweep, tmp_path, capsys):
    assert _report(sweep, tmp_path / "out", "--no-figures") == 0
    assert "report.html" in capsys.readouterr().out.replace("\n", "")
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| alpha=2.0 | **5.550** ± 0.071 | **294." in text and "± 0.071 | – |" in text
    assert "Table VIII" in text and "| alpha=5 | 2.030 | 388.0 | 5.401 |" in text
    assert "larger than seed noise" in text
    deviation = f"{100 * (5.55 / 2.72 - 1):+.1f} %"
    assert f"| alpha=2.0 | {deviation} |" in text
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").read_text().splitlines()))
    row = next(r for r in rows if (r["row"], r["metric"]) == ("alpha=2.0", "q_mi"))
    assert float(row["difference"]) == pytest.approx(2.0) and row["beyond_seed_noise"] == "yes"
    assert float(row["sd_over_seeds"]) == pytest.approx(0.1 / np.sqrt(2))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Not computed: Q_PI" in page
    assert _report(sweep, tmp_path / "out", "--no-figures") == 2  # it exists
    options = ("--no-figures", "--overwrite", "--reference", "maximum", "--metrics", "paper")
    assert _report(sweep, tmp_path / "out", *options) == 0
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| minus maximum | Q_MI | Q_CV | Q_PI |" in text


def test_the_page_holds_figures_and_sliders_and_loads_nothing(sweep, tmp_path):
    pytest.importorskip("matplotlib")
    evaluation = sweep / "alpha=0.5,seed=0" / "evaluation"
    for kind in ("hazy", "fused"):
        _images(evaluation, kind)
    assert _report(sweep, tmp_path / "out", "--scenes", "3", "--title", "a < b") == 0
    figures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {
        "sweep_alpha.png",
        "sweep_alpha.svg",
        "violins_fusion.png",
        "validation.png",
        "panel.png",
    } <= figures
    panel = np.asarray(Image.open(tmp_path / "out" / "figures" / "panel.png"))
    assert panel.shape[1] > 2 * 280 and len(np.unique(panel.reshape(-1, 3), axis=0)) > 1000
    text = (tmp_path / "out" / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert not page.open
    assert page.sources and all(source.startswith("data:image/") for source in page.sources)
    assert page.tags.count("input") == 3  # a slider for each scene
    assert "<h1>a &lt; b</h1>" in text
    assert "http" not in text.replace("data:image", "").replace("<!DOCTYPE html>", "")


def test_a_sweep_without_evaluations_shows_its_validation(sweep, tmp_path):
    for path in sweep.rglob("per_image.csv"):
        path.unlink()
    assert _report(sweep, tmp_path / "out", "--no-figures") == 0
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert lines[0] == "## Validation in training, last step"
    assert "| alpha=2.0 | **14.00** ± 0 | – |" in lines and "| alpha=0.5 | <u>12.50</u> ± 0 | – |" in lines
    assert "| alpha=2.0 | +1.5, larger than seed noise | – |" in lines


def test_methods_of_several_folders_are_compared(tmp_path):
    _evaluation(tmp_path / "first", {"fused": np.arange(6.0)}, name="other")
    _evaluation(tmp_path / "second", {"u2f": np.arange(6.0) + 1}, name="other")
    _images(tmp_path, "ours")
    _images(tmp_path, "rival")
    options = ["--workdir", f"mine={tmp_path / 'first'}", "--workdir", str(tmp_path / "second")]
    options += ["--images", f"a={tmp_path / 'ours'}", "--images", f"b={tmp_path / 'rival'}", "--no-figures"]
    assert main(["report", *options, "--output", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| u2f | **3.500** |" in text and "| fused | <u>2.500</u> |" in text
    assert "+1 [+1, +1], p < 0.001 |" in text and "No row has two seeds" in text


def _measured(folder, method, values, *, images=IMAGES):
    folder.mkdir()
    lines = [f"{method},{name},{value}" for name, value in zip(images, values, strict=True)]
    (folder / "per_image.csv").write_text("\n".join(["method,name,q_mi", *lines]) + "\n")


def test_an_evaluation_and_a_measurement_are_of_the_same_images(tmp_path, capsys):
    _evaluation(tmp_path / "first", {"iassf_lite": np.arange(6.0)})
    _measured(tmp_path / "second", "u2f", np.arange(6.0) + 1)
    _images(tmp_path, "fused")
    (tmp_path / "flat").mkdir()
    for path in (tmp_path / "fused").rglob("*.png"):
        (tmp_path / "flat" / path.name).write_bytes(path.read_bytes())
    words = ["report", "--workdir", f"ours={tmp_path / 'first'}", "--workdir", f"m={tmp_path / 'second'}"]
    columns = ["--images", f"a={tmp_path / 'fused'}", "--images", f"b={tmp_path / 'flat'}", "--no-figures"]
    assert main([*words, *columns, "--output", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "table.md").read_text()
    assert "Fused images, 6 images" in text and "No image in common" not in text
    assert "| ours | <u>2.500</u> |" in text and "| u2f | +1 [+1, +1], p < 0.001 |" in text
    assert (tmp_path / "out" / "figures" / "panel.png").exists()


def test_names_that_two_data_sets_have_are_not_guessed(tmp_path):
    _evaluation(tmp_path / "first", {"iassf_lite": np.arange(6.0)})
    table = tmp_path / "first" / "per_image.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, *(line.replace("msrs", "m3fd") for line in lines[1:])]) + "\n")
    _measured(tmp_path / "second", "u2f", np.arange(6.0) + 1)
    words = ["report", "--workdir", f"ours={tmp_path / 'first'}", "--workdir", f"m={tmp_path / 'second'}"]
    assert main([*words, "--no-figures", "--output", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "table.md").read_text()
    said = "No image in common with ours (such as m3fd/val/00000D): u2f (such as 00000D)."
    assert said in text and said in (tmp_path / "out" / "report.html").read_text()


def test_several_weights_of_one_network_have_a_row_each(tmp_path):
    folders = {"big": tmp_path / "all" / "a", "small": tmp_path / "all" / "b"}
    for (name, folder), shift in zip(folders.items(), (0, 1), strict=True):
        methods = {"iassf_lite": np.arange(6.0) + shift, "restored+mean": np.arange(6.0) - shift}
        _evaluation(folder, methods | {"maximum": np.arange(6) / 7})
        settings = {"weights": f"w/{name}.safetensors", "model": {"name": "iassf_lite"}}
        (folder / "summary.json").write_text(json.dumps({"settings": settings}))
    (block,) = make_blocks(read_results(folders))
    assert [row.label for row in block.rows] == [
        *("big", "restored+mean (big)", "maximum", "small", "restored+mean (small)"),
    ]
    (block,) = make_blocks(read_results({"all": tmp_path / "all"}))
    assert {row.label for row in block.rows} == {
        *("iassf_lite (big.safetensors)", "iassf_lite (small.safetensors)", "maximum"),
        *("restored+mean (big.safetensors)", "restored+mean (small.safetensors)"),
    }
    (block,) = make_blocks(read_results({"big": folders["big"]}))
    assert [row.label for row in block.rows] == ["iassf_lite", "restored+mean", "maximum"]


def test_infinite_values_are_told_beside_the_difference(tmp_path):
    (tmp_path / "e").mkdir()
    values = {"A": ("inf", "inf", "30", "31"), "B": ("25", "24", "31", "32"), "C": ("inf",) * 4}
    lines = [f"{method},{i},d,{x}" for method, own in values.items() for i, x in enumerate(own)]
    text = "\n".join(["method,name,data,restoration_psnr", *lines]) + "\n"
    (tmp_path / "e" / "restored.csv").write_text(text)
    assert _report(tmp_path / "e", tmp_path / "out", "--no-figures") == 0
    text = (tmp_path / "out" / "table.md").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "| A | **inf** |" in text and "| B | +1 (2 of 4 pairs: 2 infinite) |" in text
    assert "| C | – (0 of 4 pairs: 4 infinite) |" in text and "need not have the sign" in text
    assert "(2 of 4 pairs: 2 infinite)" in page and "<td>–<br>" in page
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").read_text().splitlines()))
    assert [row["infinite"] for row in rows] == ["2", "0", "4"]
    assert [row["infinite_pairs"] for row in rows] == ["", "2", "4"] and rows[1]["p_value"] == ""


def test_scenes_of_one_name_are_refused(tmp_path):
    _measured(tmp_path / "m", "u2f", (1.0, 2.0, 3.0), images=("a", "b", "a"))
    with pytest.raises(InputError, match=r"u2f has several lines of a; .*LABEL=DATA"):
        read_results({"m": tmp_path / "m"})


def test_what_cannot_be_reported_is_said(sweep, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    wrong = [
        ((tmp_path / "none",), "no such folder"),
        ((tmp_path / "empty",), "iassf evaluate"),
        ((sweep, "--reference", "alpha=9"), "alpha=0.5, alpha=2.0, maximum"),
        ((sweep, "--metrics", "q_sf"), "q_sf"),
        ((sweep, "--metrics", ","), "names no metric"),
        ((sweep, "--scenes", "0"), "at least 1"),
        ((sweep, "--images", str(tmp_path / "empty")), "no images"),
    ]
    for (folder, *options), message in wrong:
        assert _report(folder, tmp_path / "out", "--no-figures", *options) == 2
        assert message in capsys.readouterr().err.replace("\n", " ")


def test_the_same_run_twice_is_no_second_seed(sweep, tmp_path):
    _run(tmp_path / "again", alpha=2.0, seed=0, shift=3.0)
    with pytest.raises(InputError, match="seed 0"):
        make_blocks(read_results({"sweep": sweep, "again": tmp_path / "again"}))


def test_damaged_files_are_named(sweep):
    path = sweep / "alpha=2.0,seed=1" / "evaluation" / "per_image.csv"
    text = path.read_text()
    path.write_text(text.replace("3.1", "3,1x", 1))
    with pytest.raises(InputError, match="per_image.csv"):
        read_results({"sweep": sweep})
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="method, name"):
        read_results({"sweep": sweep})

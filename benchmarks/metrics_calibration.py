r"""Writes the calibration page: every metric against values that the original tool boxes printed.

    python -m benchmarks.metrics_calibration --golden FOLDER --output docs/metrics.md \\
        --speed benchmarks/records/metrics/cpu.json

FOLDER holds golden.json (for each triple the files under "ir", "vis", "fused" and the values by tool box) and
images/; its "ma_features_partial" has the features of Ma's metric for some of the fused images. The images
belong to their authors and are no part of this project. The record of --speed is what `python -m
benchmarks.metrics --output` wrote.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from jax import numpy as jnp
from PIL import Image

from iassf_jax.metrics import METRICS, evaluate, luma_levels, ma_model
from iassf_jax.metrics.ma_features import ma_features
from iassf_jax.metrics.metric import SHAVED

# Our name -> where the value of the original is: canonical, or the tool box that prints the variant.
CALIBRATED = {
    "q_mi": "Q_MI",
    "mi_bits": "zhengliu.mutual_info_sum_raw",
    "mi_hossny": "zhengliu.metricMI_sw1_Hossny",
    "nmi": "ivif_zoo.NMI",
    "q_abf": "Q_ABF",
    "q_g": "zhengliu.metricXydeas",
    "n_abf": "tang.Nabf",
    "q_cv": "Q_CV",
    "q_scd": "Q_SCD",
    "legacy_uint8_q_scd": "legacy_uint8_Q_SCD",
    "q_vif": "Q_VIF",
    "vif_sum": "tang.VIF",
    "legacy_uint8_q_vif": "legacy_uint8_Q_VIF",
    "viff": "Q_VIFF_Han",
    "q_niqe": "Q_NIQE",
    "niqe_for_pi": "NIQE_for_PI",
    "q_sf": "Q_SF",
    "sf_vifb": "vifb.metricsSpatial_frequency",
    "en": "EN",
    "sd": "SD",
    "ag": "AG",
    "ag_mean": "cddfuse.AG",
    "cc": "CC",
    "mse": "tang.MSE",
    "psnr": "PSNR_meanMSE",
    "psnr_tang": "tang.PSNR",
    "ssim": "SSIM_mean",
    "ssim_sum": "vifb.metricsSsim",
    "ms_ssim": "MS_SSIM_mean",
    "q_mi_rgb": "vifb.rgb.metricsMutinf",
    "q_abf_rgb": "vifb.rgb.metricsQabf",
    "q_cv_rgb": "vifb.rgb.metricsQcv",
    "sf_rgb": "vifb.rgb.metricsSpatial_frequency",
    "legacy_uint8_mi": "tang.MI",
    "legacy_uint8_q_sf": "jilei.analysis_SF_uint8input",
    "q_abf_unit_range": "tang.Qabf_on_unit_range",
    "psnr_vifb": "vifb.metricsPsnr",
    "psnr_cddfuse": "cddfuse.PSNR",
    "sf_zheng": "zhengliu.metricZheng",
    "niqe_y": "niqe.live_Y_noshave",
    "ssim_clamped": "pyiqa.ssim",
}


def main():
    """Write the calibration page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--speed", type=Path, required=True)
    args = parser.parse_args()
    golden = json.loads((args.golden / "golden.json").read_text())
    triples = golden["triples"]
    deviations = {
        precision: _deviations(args.golden, triples, precision) for precision in ("float32", "float64")
    }
    ma_deviations = _ma_deviations(args.golden, golden)
    speed = json.loads(args.speed.read_text())
    args.output.write_text(_page(triples, deviations, ma_deviations, speed), encoding="utf-8")


def _deviations(folder, triples, precision):
    """Relative differences [metric][triple]; triples for which the original prints NaN are left out."""
    found: dict[str, dict[str, float]] = {name: {} for name in CALIBRATED}
    for triple_name, triple in triples.items():
        values = evaluate(*_images(folder, triple), names=list(CALIBRATED), precision=precision)
        for name, key in CALIBRATED.items():
            expected = _expected(triple, key)
            if expected is not None:
                found[name][triple_name] = abs(values[name] / expected - 1)
    return found


def _ma_deviations(folder, golden):
    """Worst relative difference of each group of Ma's features; one dictionary for each image."""
    found = []
    for triple_name, expected in golden["ma_features_partial"]["values"].items():
        fused = np.asarray(Image.open(folder / "images" / golden["triples"][triple_name]["fused"]))
        levels = np.asarray(luma_levels(jnp.asarray(fused[None, :, :, None]))[0], np.float64)
        features = ma_features(levels[SHAVED:-SHAVED, SHAVED:-SHAVED])._asdict()
        pairs = zip(features.items(), expected, strict=True)
        found.append({name: np.max(np.abs(ours / np.asarray(theirs) - 1)) for (name, ours), theirs in pairs})
    return found


def _images(folder, triple):
    files = (triple.get("vis_rgb", triple["vis"]), triple["ir"], triple.get("fused_rgb", triple["fused"]))
    return [np.asarray(Image.open(folder / "images" / file)) for file in files]


def _expected(triple, key):
    if key in triple["canonical"]:
        return triple["canonical"][key]["value"]
    printed = triple["octave"] | triple["python_peers"]
    if key == "pyiqa.ssim":
        return sum(printed[f"pyiqa.ssim_{source}(no downsample)"] for source in ("ir", "vis")) / 2
    return printed.get(key)


def _page(triples, deviations, ma_deviations, speed):
    lines = [
        "# Metrics: definitions and calibration",
        "",
        "Generated by `python -m benchmarks.metrics_calibration`: relative differences from what the",
        f"original tool boxes print (MATLAB under Octave, Python) on {len(triples)} triples of TNO and MSRS",
        "images. NIQE differs where 7x7 windows are flat: the originals count rounding noise there; the",
        "originals of NMI, AG (mean) and MS-SSIM are float32 programs.",
        "",
        "| name | metric | original | images | float32: median | worst | float64: median | worst |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, key in CALIBRATED.items():
        cells = [f"`{name}`", METRICS[name].title, key]
        single, double = (list(deviations[p][name].values()) for p in ("float32", "float64"))
        cells += [str(len(single)), *(f"{f(x):.1e}" for x in (single, double) for f in (np.median, max))]
        lines.append("| " + " | ".join(cells) + " |")
    others = [f"`{name}`" for name in METRICS if name not in CALIBRATED]
    lines += ["", f"Without a value of an original to compare with: {', '.join(others)}."]
    lines += _speed(speed)
    lines += ["", "## Ma's features and model file", ""]
    for group in ma_deviations[0]:
        worst = max(image[group] for image in ma_deviations)
        lines.append(f"- {group}: within {worst:.1e} of the authors' program on {len(ma_deviations)} images")
    lines += ["", *str(ma_model.__doc__).splitlines()]
    lines += ["", "## Definitions", "", "A is the infrared, B the visible source, F the fused image.", ""]
    lines += ["| name | metric | better | range | definition | source | colour |", "| --- " * 7 + "|"]
    for metric in METRICS.values():
        legacy = (
            " **Faulty on purpose:** only to compare with tables that contain it." if metric.legacy else ""
        )
        cells = [
            f"`{metric.name}`",
            metric.title,
            metric.direction,
            metric.value_range,
            metric.definition + legacy,
        ]
        lines.append("| " + " | ".join([*cells, metric.source, metric.colour]) + " |")
    return "\n".join(lines) + "\n"


def _speed(record):
    """Section on time and sizes."""
    height, width = record["size"]
    lines = [
        "",
        "## Speed",
        "",
        f"`python -m benchmarks.metrics --batch {record['batch']} --rounds 2` on two cores of an",
        f"{record['machine']} CPU, jax {record['jax']}: {record['batch']} images of {height}x{width},",
        "against a plain NumPy/SciPy reading of the definitions in the same run",
        "(`benchmarks/metrics_numpy.py`), in turns; the first call, which compiles, is not in the times.",
        "Q_PI is left out: without its authors' forests there is no value to compute.",
        "",
        "| metric | NumPy, s | here, s | times faster | first call, s | largest difference |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    together = {f"the {len(record['metrics'])} together": record["all"]}
    for name, row in (record["metrics"] | together).items():
        title = METRICS[name].title if name in METRICS else name
        times = f"{row['numpy_s']:.3f} | {row['jax_s']:.3f} | {row['times_faster']:.1f}"
        deviation = row["largest_relative_difference"]
        lines.append(f"| {title} | {times} | {row['first_call_s']:.1f} | {deviation:.0e} |")
    return [
        *lines,
        "",
        "A program is compiled for each size of image. `iassf measure` lays the images of a folder with",
        "many sizes on a few common canvases and tells the programs where they end. The values are the same",
        "within the differences of float32 above; 171 pairs of RoadScene, of 170 sizes, need two programs.",
    ]


if __name__ == "__main__":
    main()

"""What `iassf bench` counts, compares and writes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import roofline
from benchmarks.alternate import Effort, compare
from benchmarks.cases import ARCHITECTURE, Case, Contender, cases, contenders
from benchmarks.page import page
from benchmarks.report import render
from benchmarks.weights import released_arrays
from iassf_jax import models
from iassf_jax.cli.main import main

A = jnp.ones((5, 7), jnp.float32)
B = jnp.ones((7, 3), jnp.float32)


def test_flops_of_products_and_sums():
    assert roofline.flops(jnp.matmul, A, B) == 2 * 5 * 7 * 3
    assert roofline.flops(jax.jit(lambda a, b: a @ b + 1.0), A, B) == 2 * 5 * 7 * 3 + 15
    image, kernel = jnp.ones((2, 8, 9, 4)), jnp.ones((3, 3, 4, 6))
    numbers = ("NHWC", "HWIO", "NHWC")

    def conv(x, k):
        return jax.lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=numbers)

    assert roofline.flops(conv, image, kernel) == 2 * (2 * 8 * 9 * 6) * (3 * 3 * 4)


def test_flops_of_loops_and_branches():
    def loop(x):
        return jax.lax.scan(lambda carry, _: (carry * x, None), x, None, length=4)[0]

    assert roofline.flops(loop, A) == 4 * 35

    def branch(x):
        return jax.lax.cond(x[0, 0] > 0.0, lambda y: y * y * y, lambda y: y, x)

    assert roofline.flops(branch, A) == 2 * 35


def test_least_traffic_grows_with_the_image_and_never_undercuts_the_parameters():
    model = models.create("iassf_released", depths=(2, 1, 1, 1, 1), attn_ratios=5 * (0.0,))

    def traffic(side):
        hazy, infrared = (jax.ShapeDtypeStruct((1, side, side, c), np.float32) for c in (3, 1))
        variables = jax.eval_shape(model.init, jax.random.key(0), hazy, infrared)
        parameters = sum(4 * x.size for x in jax.tree.leaves(variables))
        maps = roofline.forward_bytes(model, variables, hazy, infrared) - parameters
        training = roofline.train_bytes(model, variables["params"], hazy, infrared)
        return parameters, maps, training

    parameters, small, training = traffic(64)
    _, large, _ = traffic(128)
    # Over ten maps of 24 channels at full resolution are passed on.
    assert small > 2 * 10 * 24 * 64 * 64 * 4
    assert large == pytest.approx(4 * small, rel=1e-3)
    assert training == pytest.approx(5 * small / 2 + 9 * parameters)


def test_generated_parameters_hide_nothing():
    arrays = released_arrays(models.model_fields("iassf_released"), seed=3)
    assert sum(a.size for n, a in arrays.items() if not n.endswith("relative_positions")) == 11_198_576
    assert all(a.dtype == np.float32 and np.ptp(a) > 0 for a in arrays.values() if a.size > 1)
    again = released_arrays(models.model_fields("iassf_released"), seed=3)
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)


def test_every_field_of_the_network_is_the_rivals_or_known_not_to_be():
    fields = set(models.model_fields("iassf_released"))
    assert set(ARCHITECTURE) == fields - {"ablation", "dtype", "pallas", "remat"}


def test_cases_and_contenders():
    every = cases(("forward", "train", "data"), ("float32", "bfloat16"))
    assert len({case.name for case in every}) == len(every) == 2 * 8 + 5
    (case,) = cases(("train",), ("float32",), only="train 6x")
    leaner = cases(("forward", "train"), ("float32",), only="x256x256", remat=True)
    assert all(case.remat == case.name.endswith(" remat") == (case.task == "train") for case in leaner)
    parted = cases(("train",), ("float32",), pallas=True, micro_batch=2)
    assert [(case.batch, case.micro_batch) for case in parted] == [(2, 2), (6, 2), (16, 2)]
    assert all(case.name.endswith("float32 pallas in micro-batches of 2") for case in parted)
    both = contenders(case, densities=("host", "device"))
    assert [c.side for c in both] == ["jax"] + 8 * ["torch"]
    assert len({c.name for c in both}) == len(both)
    kept = contenders(case, densities=("host",), keep_memory=True)
    assert all(c.keeps_memory == c.name.endswith("freed memory kept)") == (c.side == "torch") for c in kept)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    output = tmp_path_factory.mktemp("bench") / "deep" / "data.json"
    arguments = ["bench", "data", "--only", "metrics", "--no-rivals", "--output", str(output)]
    code = main([*arguments, "--seconds", "0.1", "--rounds", "2", "--note", "a test"])
    return code, json.loads(output.read_text()), output


def test_the_record_of_a_real_run(measured):
    code, record, _ = measured
    assert code == 0
    (case,) = record["cases"]
    (ours,) = case["contenders"]
    assert len(ours["rounds"]) >= 2 and all(seconds > 0 for seconds in ours["rounds"])
    spread = ours["seconds"]
    assert spread["least"] <= spread["quarter"] <= spread["median"] <= spread["most"]
    assert ours["setup"]["compile"] > 0 and ours["resident_peak"] > 1e7
    assert case["agree"] and ours["difference"] == 0.0 and record["note"] == "a test"


def test_the_page_of_a_real_run(measured, tmp_path):
    _, record, output = measured
    text = output.with_suffix(".md").read_text()
    assert text == render(record)
    assert "metrics 1x480x640" in text and record["machine"]["processor"] in text and "a test" in text
    (tmp_path / "here.json").write_text(output.read_text())
    assert page(tmp_path).endswith(render(record, "here"))


def test_existing_output_is_kept(measured):
    _, _, output = measured
    before = output.read_text()
    assert main(["bench", "data", "--only", "metrics", "--no-rivals", "--output", str(output)]) == 2
    assert output.read_text() == before


def test_a_contender_that_cannot_be_built_is_recorded_with_its_reason():
    record = compare(
        Case("data", "juggling", 1, 8, 8), [Contender("jax")], Effort(seconds=0.1, least=1), lambda text: None
    )
    (contender,) = record["contenders"]
    assert "juggling" in contender["error"] and "ratio" not in record


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["forward", "--precision", "float16"], "float32, tf32, bfloat16"),
        (["forward", "--densities", "host,moon"], "host, device"),
        (["forward", "--no-rivals", "--only", "zebra"], "forward 1x256x256 float32"),
        (["forward", "--no-rivals", "--rivals", "zebra"], "there are none"),
        (["forward", "--no-rivals", "--micro-batch", "0"], "at least one example"),
        (["train", "--no-rivals", "--micro-batch", "7"], "there are none whose batch divides"),
    ],
)
def test_impossible_choices(options, reason, tmp_path, capsys):
    assert main(["bench", *options, "--output", str(tmp_path / "f.json")]) == 2
    assert reason in capsys.readouterr().err


def fake(name, side, rounds, **more):
    seconds = {key: float(np.median(rounds)) for key in ("median", "quarter", "three_quarters")}
    spreads = {"seconds": seconds, "processor_seconds": seconds, "rounds": rounds, "difference": 0.0}
    memory = {"resident_peak": 2e9, "resident_peak_of_setup": 3e9, "device_peak": None}
    return {
        "name": name,
        "side": side,
        "setup": {},
        "device": "cpu",
        "versions": {},
        **spreads,
        **memory,
        **more,
    }


def test_the_page_compares_with_the_best_rival_and_tells_the_bound():
    ours = fake("iassf_jax", "jax", [0.5, 0.5], flops=1e11, bytes=1e9, resident_peak=1e9, micro_batches=2)
    rivals = [fake("slow", "torch", [3.0]), fake("quick", "torch", [1.0])]
    failed = {"name": "none", "side": "torch", "error": "does not work\nat all"}
    spread = {"quarter": 0.4, "three_quarters": 0.6}
    case = {"name": "forward", "precision": "float32", "agree": True, "contenders": [ours, *rivals, failed]}
    case |= {"ratio": 0.5, "ratio_by_round": spread, "best_rival": "quick"}
    limits = {"float32": {"flops_per_second": 4e11, "bytes_per_second": 1e10}}
    machine = {"processor": "p", "cores": 2, "load": 0.0}
    text = render({"created": "now", "note": "", "machine": machine, "ceilings": limits, "cases": [case]})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    assert [
        "forward",
        "500 ms (500 ms-500 ms)",
        "1.00 s (1.00 s-1.00 s) quick",
        "0.50 (0.40-0.60)",
        "yes",
    ] in rows
    assert ["forward", "none", "does not work", "", ""] in rows
    ours = ["forward", "iassf_jax, in 2 micro-batches"]
    assert any(row[:2] == ours and row[-1] == "0.50" for row in rows)
    # 1e11 / 4e11 = 250 ms of arithmetic, 1e9 / 1e10 = 100 ms of traffic, measured 500 ms.
    assert ["forward", "100.0", "1.00", "100", "250 ms", "100 ms", "arithmetic", "500 ms", "50%"] in rows

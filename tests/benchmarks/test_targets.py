"""Targets are judged by the worst of the records, and a machine's parts are commands that exist."""

import argparse
import json
import subprocess

import pytest

from benchmarks import machine, schedule, targets
from iassf_jax.cli.main import build_parser


def contender(name, seconds, **more):
    side = "jax" if name == "iassf_jax" else "torch"
    peaks = {"resident_peak": 1e9 * seconds, "device_peak": None}
    return {"name": name, "side": side, "device": "cpu", "seconds": {"median": seconds}, **peaks, **more}


def bench(name, *contenders, agree=True, **more):
    return {"cases": [{"name": name, "agree": agree, "contenders": list(contenders)}], **more}


def verdict(records, beginning, chosen=targets.CPU):
    (found,) = [v for v in targets.judge(records, chosen) if v.target.says.startswith(beginning)]
    return found


TRAIN = "train 1x256x256 float32"
OURS = contender("iassf_jax", 1.0, setup={"trace": 20.0, "compile": 45.0})


def test_the_best_rival_of_a_run_and_the_worst_run_count():
    quick, slow = contender("eager channels_last (host density)", 2.0), contender("eager (host density)", 4.0)
    one = bench(TRAIN, OURS, quick, slow)
    assert verdict([one], "training step, batch 1").measured == 0.5
    compiled = bench(TRAIN, OURS, contender("torch.compile (host density)", 1.25))
    assert verdict([one, compiled], "training step, batch 1").measured == 0.8
    assert verdict([one, compiled], "training step, batch 1").word == "NOT REACHED"
    assert verdict([one], "training step, batch 1").word == "reached"


@pytest.mark.parametrize(
    "record",
    [
        bench(f"{TRAIN} remat", OURS, contender("eager (host density)", 2.0)),
        bench(TRAIN, OURS, contender("eager (host density, freed memory kept)", 2.0)),
        bench(TRAIN, OURS, contender("eager (host density)", 2.0), agree=False),
        bench(
            TRAIN,
            {"name": "iassf_jax", "side": "jax", "error": "died"},
            contender("eager (host density)", 2.0),
        ),
        bench(TRAIN, OURS, {"name": "eager (host density)", "side": "torch", "error": "died"}),
    ],
)
def test_what_does_not_count(record):
    found = verdict([record], "training step, batch 1")
    assert (found.measured, found.word) == (None, "not measured")


def test_eager_is_not_channels_last_and_compilation_is_with_tracing():
    forward = "forward 1x256x256 float32"
    last, eager = contender("eager channels_last (host density)", 2.0), contender("eager (host density)", 4.0)
    assert verdict([bench(forward, OURS, last, eager)], "forward 256x256 / eager").measured == 0.25
    assert verdict([bench(TRAIN, OURS)], "cold compilation, training step, batch 1").measured == 65.0


def test_targets_of_accelerators():
    train = "train 6x256x256 bfloat16"
    ours = contender("iassf_jax", 1.0, device="H100", bytes=5e9)
    rivals = [contender("eager (host density)", 4.0), contender("torch.compile (device density)", 1.6)]
    records = [
        bench(train, ours, *rivals, ceilings={"bfloat16": {"bytes_per_second": 2e10}}),
        {"schedule": {"minutes": 24.0}},
        {"pairs": 200, "batch": 1, "ratios": {"network alone, two at once": 1.2}},
        {"pairs": 12, "batch": 1, "ratios": {"network alone, two at once": 9.0}},
    ]
    assert targets.targets_for(records) is targets.GPU
    measured = [v.measured for v in targets.judge(records, targets.GPU)]
    assert measured == [0.25, 1.0 / 1.6, 4.0, None, None, None, 24.0, 1.2]


def test_records_of_a_machine_are_found_wherever_they_lie(tmp_path, capsys):
    (tmp_path / "input").mkdir()
    ratios = {"network alone": 1.05}
    (tmp_path / "input" / "old_folder.json").write_text(
        json.dumps({"pairs": 200, "batch": 1, "ratios": ratios})
    )
    assert targets.main(["--name", "old", "--records", str(tmp_path)]) == 1  # most is not measured
    assert "| folder of 200 pairs / the network alone | 1.1 | 1.05 | reached |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no record new"):
        targets.main(["--name", "new", "--records", str(tmp_path)])


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("part", machine.PARTS)
def test_the_commands_of_a_part_exist(part, on_cpu, tmp_path):
    args = argparse.Namespace(name="here", records=tmp_path, data=None)
    listed = machine.commands(part, args, tmp_path, on_cpu=on_cpu)
    assert bool(listed) == (not on_cpu or part in ("bench", "folder"))
    for (module, *words), _ in listed:
        if module == "iassf_jax.cli.main":
            build_parser(words[0]).parse_args(words)
        elif module == "benchmarks.schedule":
            schedule._arguments(words)


def test_a_part_that_fails_is_named_and_the_others_run(tmp_path, monkeypatch, capsys):
    ran = []

    def run(command, **options):
        ran.append(command[2])
        return subprocess.CompletedProcess(command, int(command[2] == "iassf_jax.cli.main"), "cpu\n")

    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "here.json").write_text(json.dumps(bench(TRAIN, OURS)))
    code = machine.main(["--name", "here", "--records", str(tmp_path), "--parts", "bench", "folder"])
    assert code == 1 and ran[1:] == ["iassf_jax.cli.main", "iassf_jax.cli.main", "benchmarks.folder"]
    assert "FAILED: iassf_jax.cli.main bench all" in capsys.readouterr().out


def test_the_schedule_is_54000_steps_of_the_runs_median(tmp_path):
    seconds = (0.03, 0.01, 0.02)
    lines = [{"step": n, "kind": "train", "seconds_per_step": s} for n, s in enumerate(seconds)]
    (tmp_path / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert schedule.summary(tmp_path)["schedule"] == {"steps": 54_000, "minutes": pytest.approx(18.0)}
    (tmp_path / "timing.jsonl").write_text("")
    with pytest.raises(ValueError, match="more --steps"):
        schedule.summary(tmp_path)


def test_the_schedule_of_a_real_run(config_file, triplets, tiny_network, tmp_path):
    words = ["--config", str(config_file), "--steps", "20", "--output", str(tmp_path / "schedule.json")]
    own = ["--", "--config.model.width=2", "--config.data.val="]
    assert schedule.main([*words, "--data", str(tmp_path / "nowhere"), *own]) == 2
    assert not (tmp_path / "schedule.json").exists()
    assert schedule.main([*words, "--data", str(triplets / "train"), *own]) == 0
    record = json.loads((tmp_path / "schedule.json").read_text())
    assert 0 < record["seconds_per_step"]["least"] <= record["seconds_per_step"]["median"]

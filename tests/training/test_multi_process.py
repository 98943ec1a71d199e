"""Real processes on this machine join, agree and stop together."""

import json
import textwrap

import pytest

from tests.training.processes import run_processes

AGREE = """
    import json, os, signal, time
    import jax
    import numpy as np
    from jax.experimental import multihost_utils
    from iassf_jax.training import distributed

    distributed.initialize()
    index = jax.process_index()
    found = {
        "processes": jax.process_count(),
        "devices": [jax.local_device_count(), jax.device_count()],
        "main": distributed.is_main(),
        "gathered": multihost_utils.process_allgather(np.asarray(index == 1)).tolist(),
    }
    time.sleep(0.3 * index)
    before = time.time()
    distributed.barrier("late")
    found["passed"] = [before, time.time()]
    for step in range(1000):
        if distributed.stop_together(step):
            break
        if step == 5 and index == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        multihost_utils.process_allgather(np.asarray(step))  # as a training step: nobody runs ahead
        time.sleep(0.01)
    found["stopped"] = step
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def agreed(tmp_path_factory):
    script = tmp_path_factory.mktemp("processes") / "agree.py"
    script.write_text(textwrap.dedent(AGREE))
    return [json.loads(out.splitlines()[-1]) for out in run_processes(script, 2, devices=2)]


def test_processes_join(agreed):
    assert [found["processes"] for found in agreed] == [2, 2]
    assert [found["devices"] for found in agreed] == [[2, 4], [2, 4]]
    assert [found["main"] for found in agreed] == [True, False]


def test_a_value_of_one_process_reaches_all(agreed):
    assert [found["gathered"] for found in agreed] == [[False, True]] * 2


def test_nobody_passes_a_barrier_before_the_last_has_come(agreed):
    last_came = max(found["passed"][0] for found in agreed)
    assert all(found["passed"][1] >= last_came for found in agreed)


def test_sigterm_to_one_process_stops_all_at_the_same_step(agreed):
    first, second = (found["stopped"] for found in agreed)
    assert 5 < first == second < 999

"""One run on any number of hosts: the same examples, the same flips, the same haze, bit for bit."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from data_pipelines.augment import augment, to_float
from data_pipelines.folder import training_iterator
from data_pipelines.haze import synthesize_with_parameters
from iassf_jax.core.rng import example_id, stream_key

OPTIONS = {"batch_size": 4, "crop": 16, "seed": 3, "num_threads": 0, "require_hazy": False}
STEPS = 2
HAZE = "uniform:1,iassf_released:1,clear:1"

NEW_PROCESS = """
import json, sys
import numpy as np
from data_pipelines.folder import training_iterator
root, out, state, hosts, options = sys.argv[1], sys.argv[2], *map(json.loads, sys.argv[3:6])
rows = []
for host in range(hosts):
    iterator = training_iterator(root, host=host, num_hosts=hosts, **options)
    iterator.set_state(state)
    rows.append([next(iterator) for _ in range(3)])
batches = [[host[step] for host in rows] for step in range(3)]
np.savez(out, *[np.concatenate([part[key] for part in parts]) for parts in batches
                for key in ("visible_clear", "infrared")])
print(json.dumps([sum((part["name"] for part in parts), []) for parts in batches]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    rng = np.random.default_rng(0)
    for name, channels in (("GT", 3), ("IR", 1)):
        (root / name).mkdir()
        for scene in range(9):
            pixels = rng.integers(0, 256, (20, 24, channels)).astype(np.uint8)
            Image.fromarray(pixels.squeeze()).save(root / name / f"{scene}.png")
    return root


@pytest.fixture(scope="module")
def prepare():
    """What the training step does to a batch before the network sees it, as the step keys it."""

    @jax.jit
    def images_of(batch, step):
        images = to_float(augment(stream_key(3, "augment", step), batch, rotate=True, brightness=0.2))
        hazy, drawn = synthesize_with_parameters(
            stream_key(3, "haze", step), images["visible_clear"], HAZE, examples=batch["example"]
        )
        return {**images, "visible_hazy": hazy}, drawn

    def run(batch, step):
        numbers = np.array([example_id(name) for name in batch["name"]], np.uint32)
        arrays = {name: value for name, value in batch.items() if name != "name"}
        return jax.device_get(images_of({**arrays, "example": numbers}, jnp.int32(step)))

    return run


def test_four_hosts_make_the_images_that_one_host_makes(folder, prepare):
    whole = training_iterator(folder, **OPTIONS)
    parts = [training_iterator(folder, host=host, num_hosts=4, **OPTIONS) for host in range(4)]
    for step in range(STEPS):
        images, drawn = prepare(next(whole), step)
        split = [prepare(next(part), step) for part in parts]
        for name, expected in images.items():
            rows = [part[0][name] for part in split]
            np.testing.assert_array_equal(np.concatenate(rows), expected, err_msg=name)
        for name, expected in drawn._asdict().items():
            rows = [getattr(part[1], name) for part in split]
            np.testing.assert_array_equal(np.concatenate(rows), expected, err_msg=name)
        assert np.ptp(drawn.mean_transmission) > 0  # every example has haze of its own


@pytest.mark.parametrize("hosts", [1, 4])
def test_a_new_process_with_other_hosts_gives_the_rest_of_the_epoch(folder, tmp_path, hosts):
    """Saved by one of two hosts in the middle of an epoch, gone on with by one and by four."""
    saved = training_iterator(folder, host=1, num_hosts=2, **OPTIONS)
    next(saved)  # an epoch of nine scenes has two batches of four
    expected = training_iterator(folder, **OPTIONS)
    next(expected)
    arguments = [json.dumps(value) for value in (saved.get_state(), hosts, OPTIONS)]
    command = [sys.executable, "-c", NEW_PROCESS, str(folder), str(tmp_path / "rest.npz"), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    with np.load(tmp_path / "rest.npz") as rest:
        arrays = iter([rest[name] for name in rest.files])
    for names in json.loads(done.stdout):
        batch = next(expected)
        assert names == batch["name"]
        for key in ("visible_clear", "infrared"):
            np.testing.assert_array_equal(next(arrays), batch[key])

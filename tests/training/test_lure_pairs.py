"""Stage 1 of LURE on real pairs of a manifest, alone and beside scenes whose degradation is drawn."""

import cv2
import jax
import numpy as np
import pytest

from data_pipelines.augment import to_float
from data_pipelines.restoration_pairs import ManifestError
from iassf_jax import models
from iassf_jax.core.config import load_config
from iassf_jax.core.errors import ConfigError
from iassf_jax.training import data
from iassf_jax.training.task import make_task

LABELS = {"LC": 0, "OE": 3, "LL": 4, "PD": 5}
ROWS = ("day,dark,LL,,", "day,,OE,,", "warm,flat,LC,,", "day,,PD,visible,", "warm,,PD,infrared,")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    pictures = {name: rng.integers(20, 236, (32, 32, 3)).astype(np.uint8) for name in ("day", "warm")}
    pictures |= {"dark": pictures["day"] // 4, "flat": pictures["warm"] // 2 + 60}
    for name, picture in pictures.items():
        picture = picture if name in ("day", "dark") else picture[..., 0]
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    for part in ("GT", "IR"):
        (tmp_path / "scenes" / part).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "scenes" / part / "a.png"), pictures["day"])
    write(tmp_path, *ROWS)
    return tmp_path


def write(folder, *rows):
    lines = (",".join(f"{w}.png" if w and i < 2 else w for i, w in enumerate(row.split(","))) for row in rows)
    (folder / "pairs.csv").write_text("hq,lq,task,modality,split\n" + "\n".join(lines) + "\n")


def config_of(train, *words, name="lure_tiny"):
    config = load_config(name, [f"config.data.train={train}", *words])
    with config.unlocked():
        config.model.update(widths=(8,), latents=(4,), k_bt=(1,), k_tb=(1,), dec_blocks=(1,))
        config.model.update(fusion_blocks=(1,), text_dim=16, heads=2)
        config.data.update(batch_size=len(ROWS), crop=16, num_threads=0)
        if "task" in config and name == "lure_tiny":
            config.task.update(tasks=("LC", "OE", "LL"), shares=(), val_scale=1.0)
    return config


def task_of(config):
    return make_task(models.create(config.model.to_dict()), config.to_dict())


def prepared(config):
    """A batch from the files to what the network sees."""
    task = task_of(config)
    batch = next(data.training_batches(config, task))
    names = batch.pop("name")
    images, _ = jax.jit(task.prepare)(jax.random.key(0), to_float(batch))
    return {name: np.asarray(value) for name, value in images.items()}, batch, names


def test_given_images_are_taken_and_missing_ones_made(folder):
    images, batch, names = prepared(config_of(folder / "pairs.csv"))
    task, infrared, given = batch["pair"].T
    assert sorted(task) == [0, 4, 5, 6, 6] and len(set(names)) == len(ROWS)
    np.testing.assert_array_equal(images["modality"], infrared)
    np.testing.assert_allclose(images["visible_clear"], batch["visible_clear"] / 255.0, atol=1e-7)
    degraded = images["visible_hazy"]
    np.testing.assert_allclose(degraded[given == 1], batch["visible_hazy"][given == 1] / 255.0, atol=1e-7)
    change = np.abs(degraded - images["visible_clear"]).max(axis=(1, 2, 3))
    clean = task == 6
    assert (change[clean] == 0).all() and (change[~clean] > 0.01).all()
    expected = {0: LABELS["LC"], 4: LABELS["OE"], 5: LABELS["LL"], 6: LABELS["PD"]}
    assert [expected[number] for number in task] == list(images["label"])


def test_scenes_of_a_mixture_are_degraded_by_draw(folder):
    images, batch, _ = prepared(config_of(f"{folder / 'pairs.csv'}*0.5 + {folder / 'scenes'}*0.5"))
    drawn = batch["pair"][:, 0] < 0
    assert 0 < drawn.sum() < len(ROWS)
    assert set(images["label"][drawn]) <= set(LABELS.values())
    assert np.isfinite(images["visible_hazy"]).all()


def test_infrared_pairs_keep_what_the_augmentation_did_to_them(folder):
    config = config_of(folder / "pairs.csv")
    task = task_of(config)
    batch = to_float({k: v for k, v in next(data.training_batches(config, task)).items() if k != "name"})
    brighter = {**batch, "visible_clear": batch["visible_clear"] * 0.5}
    images, _ = jax.jit(task.prepare)(jax.random.key(0), brighter)
    np.testing.assert_allclose(images["visible_clear"], brighter["visible_clear"])


def test_the_validation_shows_each_pair_once_and_is_told_what_it_is(folder):
    config = config_of(folder / "pairs.csv")
    with config.unlocked():
        config.data.val = str(folder / "pairs.csv")
    task = task_of(config)
    scenes = list(task.examples(data.validation_examples(config, task)))
    assert [scene["label"] for scene in scenes] == [LABELS[row.split(",")[2]] for row in ROWS]
    assert [int(scene["modality"]) for scene in scenes] == [0, 0, 1, 0, 1]
    given = cv2.imread(str(folder / "dark.png"))[..., ::-1]
    np.testing.assert_array_equal(scenes[0]["visible_hazy"], given)
    assert (scenes[1]["visible_hazy"].mean()) > scenes[1]["visible_clear"].mean()  # over-exposed
    np.testing.assert_array_equal(scenes[3]["visible_hazy"], scenes[3]["visible_clear"])


def test_what_cannot_be_trained_on_pairs_says_so(folder):
    fusion = config_of(folder / "pairs.csv", name="lure_tiny_fusion")
    with pytest.raises(ManifestError, match="lure_restoration"):
        data.training_batches(fusion, task_of(fusion))
    config = config_of(folder / "pairs.csv")
    with config.unlocked():
        config.task.tasks = ("LC", "OE")
    with pytest.raises(ManifestError, match=r"has LL .*tasks are LC, OE"):
        data.training_batches(config, task_of(config))
    for words in ((), ("config.data.resize=(24,24)",)):
        config = config_of(folder / "pairs.csv", "config.data.resident=True", *words)
        with pytest.raises(ConfigError, match="resident"):
            data.resident_scenes(config, task_of(config))
    config = config_of(f"{folder / 'pairs.csv'}:night")
    with pytest.raises(ManifestError, match="no lines of the split 'night'"):
        data.training_batches(config, task_of(config))

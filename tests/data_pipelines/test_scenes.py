"""Generated scenes: the geometry is the camera's, the images agree, the haze is the law it claims to be."""

import json

import cv2
import numpy as np
import pytest

from data_pipelines.decode import read_infrared, read_visible
from data_pipelines.scenes import (
    SKY_DISTANCE,
    HazeParameters,
    Label,
    Scene,
    add_haze,
    draw_haze,
    render_scene,
    scene_seed,
    transmission,
    write_scenes,
)
from data_pipelines.scenes.atlas import Atlas
from data_pipelines.scenes.camera import Camera
from data_pipelines.scenes.canvas import Canvas, Panel, draw_panel
from data_pipelines.scenes.mood import draw_mood
from data_pipelines.triplets import list_triplets, read_triplet
from iassf_jax.cli.main import main

SIZE = {"height": 96, "width": 128}
SEEDS = range(4)


@pytest.fixture(scope="module", params=[False, True], ids=["day", "night"])
def scenes(request) -> list[Scene]:
    return [render_scene(seed, night=request.param, **SIZE) for seed in SEEDS]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    output = tmp_path_factory.mktemp("scenes") / "set"
    lines = write_scenes(output, count=4, seed=5, height=64, width=80, splits={"train": 3, "val": 1})
    return output, lines


def same(first: Scene, second: Scene) -> bool:
    fields = ("visible", "infrared", "depth", "label")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in fields)


# Rendering


def test_images_have_the_stated_types_and_sizes(scenes):
    for scene in scenes:
        assert scene.visible.dtype == scene.infrared.dtype == scene.label.dtype == np.uint8
        assert scene.depth.dtype == np.float32
        assert scene.visible.shape == (96, 128, 3)
        assert scene.infrared.shape == scene.depth.shape == scene.label.shape == (96, 128)


def test_a_seed_gives_one_picture_and_another_seed_another(scenes):
    night = scenes[0].night
    assert same(scenes[1], render_scene(1, night=night, **SIZE))
    for first, second in zip(scenes[:-1], scenes[1:], strict=True):
        assert np.abs(first.visible.astype(int) - second.visible).mean() > 10
        assert not np.array_equal(first.infrared, second.infrared)


def test_global_random_state_has_no_influence():
    np.random.seed(1)  # noqa: NPY002
    first = render_scene(3, height=64, width=80)
    np.random.seed(2)  # noqa: NPY002
    assert same(first, render_scene(3, height=64, width=80))


@pytest.mark.parametrize("height,width", [(64, 80), (16, 16), (17, 40), (90, 50)])
def test_small_and_odd_sizes(height, width):
    scene = render_scene(2, height=height, width=width)
    assert scene.visible.shape == (height, width, 3)
    assert np.isfinite(scene.depth).all() and (scene.depth > 0).all()


def test_another_size_shows_the_same_street():
    small, large = (render_scene(4, height=h, width=w, night=False) for h, w in ((96, 128), (192, 256)))
    reduced = cv2.resize(large.visible, (128, 96), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(reduced.ravel(), small.visible.ravel())[0, 1] > 0.9


def test_both_times_of_day_are_drawn():
    nights = [draw_mood(np.random.default_rng(seed)).night for seed in range(400)]
    assert 80 < sum(nights) < 160


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 0, "height": 15}, {"seed": 0, "width": 8}])
def test_impossible_requests_are_errors(arguments):
    with pytest.raises(ValueError, match="seed|pixels"):
        render_scene(**arguments)


# Geometry


def test_road_distance_follows_the_camera_equation(scenes):
    """A road pixel lies where its viewing ray meets y = 0: distance = elevation * |ray| / drop of the ray."""
    for scene in scenes:
        right, up = scene.camera.slopes()
        expected = scene.camera.elevation * np.sqrt(1 + right**2 + up**2) / np.maximum(-up, 1e-6)
        road = scene.label == Label.ROAD
        assert road.mean() > 0.08
        limited = np.minimum(expected, SKY_DISTANCE)
        np.testing.assert_allclose(scene.depth[road], limited[road], rtol=1e-4)


def test_distance_decreases_down_the_road(scenes):
    for scene in scenes:
        for column in range(0, 128, 8):
            road = np.flatnonzero(scene.label[:, column] == Label.ROAD)
            assert (np.diff(scene.depth[road, column]) <= 0).all()


def test_sky_has_its_stated_distance_and_nothing_is_farther(scenes):
    for scene in scenes:
        sky = scene.label == Label.SKY
        assert (scene.depth[sky] == np.float32(SKY_DISTANCE)).all()
        assert scene.depth.max() <= SKY_DISTANCE and scene.depth.min() > 0.5


def test_a_panel_is_drawn_where_the_camera_projects_it_and_hides_what_is_behind():
    camera = Camera(height=60, width=80, focal=80.0, centre_u=40.0, centre_v=30.0, elevation=1.5)
    canvas = Canvas.empty(camera)
    for z, half, red in ((20.0, 4.0, 0.2), (10.0, 1.0, 0.8)):
        panel = Panel(
            np.array([-half, 1.5 + half, z]), np.array([2 * half, 0, 0]), np.array([0, -2 * half, 0])
        )
        draw_panel(canvas, panel, Atlas.blank((32, 32), color=(red, 0, 0), temperature=20.0), Label.BUILDING)
    # the near square spans 40 +- 80 * 1 / 10 columns, the far one 40 +- 80 * 4 / 20
    assert (canvas.forward[30, 33:48] == 10).all() and (canvas.forward[30, 25:31] == 20).all()
    assert np.isinf(canvas.forward[30, :23]).all()
    np.testing.assert_allclose(canvas.color[30, 34:47, 0], 0.8, rtol=1e-5)
    np.testing.assert_allclose(canvas.color[30, 25:31, 0], 0.2, rtol=1e-5)
    np.testing.assert_allclose(canvas.normal[30, 40], (0, 0, -1), atol=1e-6)


def test_a_receding_wall_has_the_distance_of_its_plane():
    camera = Camera(height=60, width=80, focal=80.0, centre_u=40.0, centre_v=30.0, elevation=1.5)
    canvas = Canvas.empty(camera)
    wall = Panel(np.array([-3.0, 6.0, 4.0]), np.array([0, 0, 40.0]), np.array([0, -6.0, 0]))
    draw_panel(canvas, wall, Atlas.blank((16, 64), color=(0.5, 0.5, 0.5), temperature=20.0), Label.BUILDING)
    right = np.broadcast_to(camera.slopes()[0], canvas.forward.shape)
    drawn = canvas.label == Label.BUILDING
    assert drawn.sum() > 500
    np.testing.assert_allclose(canvas.forward[drawn], -3.0 / right[drawn], rtol=1e-4)


# Agreement of the two cameras


def test_people_are_warmer_than_their_surroundings(scenes):
    seen = 0
    for scene in scenes:
        person = (scene.label == Label.PERSON).astype(np.uint8)
        body = cv2.erode(person, np.ones((3, 3), np.uint8)) > 0
        around = (cv2.dilate(person, np.ones((9, 9), np.uint8)) > 0) & (person == 0)
        if body.sum() < 12:
            continue
        seen += 1
        assert scene.infrared[body].mean() > scene.infrared[around].mean() + 25
    assert seen >= 2


def test_sky_is_the_coldest_in_infrared(scenes):
    for scene in scenes:
        sky = scene.label == Label.SKY
        if sky.mean() > 0.02:
            assert scene.infrared[sky].mean() < 15 < scene.infrared[~sky].mean()


def test_brightness_is_that_of_street_pictures(scenes):
    visible = np.mean([scene.visible.mean() for scene in scenes])
    infrared = np.mean([scene.infrared.mean() for scene in scenes])
    assert (12 < visible < 50) if scenes[0].night else (75 < visible < 140)
    assert 15 < infrared < 70
    assert all(scene.visible.std() > 12 and scene.infrared.std() > 8 for scene in scenes)


# Haze


def test_haze_obeys_the_scattering_equation_to_rounding(scenes):
    for scene in scenes:
        haze = draw_haze(11, night=scene.night)
        hazy = add_haze(scene.visible, scene.depth, parameters=haze)
        kept = np.exp(-haze.beta * scene.depth.astype(np.float64))[..., None]
        expected = scene.visible * kept + 255 * np.array(haze.airlight) * (1 - kept)
        assert hazy.dtype == np.uint8
        assert np.abs(hazy - expected).max() <= 0.5 + 1e-3


def test_haze_can_be_inverted_where_light_remains(scenes):
    haze = HazeParameters(beta=0.03, airlight=(0.8, 0.82, 0.84))
    for scene in scenes:
        hazy = add_haze(scene.visible, scene.depth, parameters=haze) / 255
        kept = transmission(scene.depth, beta=haze.beta).astype(np.float64)
        clear_enough = kept > 0.2
        airlight = np.array(haze.airlight)
        restored = (hazy - airlight) / kept[..., None] + airlight
        error = np.abs(restored - scene.visible / 255)[clear_enough]
        assert clear_enough.mean() > 0.1
        assert error.max() <= 0.5 / 255 / 0.2 + 1e-5


def test_no_scattering_changes_nothing_and_dense_haze_leaves_airlight(scenes):
    scene = scenes[0]
    clear = add_haze(scene.visible, scene.depth, parameters=HazeParameters(0.0, (0.7, 0.7, 0.7)))
    assert np.array_equal(clear, scene.visible)
    dense = add_haze(scene.visible, scene.depth, parameters=HazeParameters(50.0, (0.2, 0.4, 0.6)))
    assert (dense == (51, 102, 153)).all()


@pytest.mark.parametrize("night", [False, True])
def test_drawn_haze_keeps_to_its_ranges(night):
    drawn = [draw_haze(seed, night=night) for seed in range(200)]
    visibility = [haze.visibility for haze in drawn]
    assert 35 <= min(visibility) < 60 and 200 < max(visibility) <= 350
    airlight = np.array([haze.airlight for haze in drawn])
    low, high = (0.4, 0.7) if night else (0.72, 0.95)
    assert airlight.min() >= low - 0.03 and airlight.max() <= high + 0.03
    assert np.ptp(airlight, axis=1).max() <= 0.06
    assert draw_haze(3, night=night) == drawn[3]


def test_haze_refuses_what_does_not_fit():
    picture, depth = np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), np.float32)
    with pytest.raises(ValueError, match="equal"):
        add_haze(picture, depth[:3], parameters=HazeParameters(0.1, (0.5, 0.5, 0.5)))
    with pytest.raises(ValueError, match="airlight"):
        add_haze(picture, depth, parameters=HazeParameters(0.1, (0.5, 0.5, 1.5)))


# Files


def test_the_written_set_is_complete_and_readable(written):
    output, lines = written
    stored = [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]
    assert stored == lines and [line["split"] for line in lines] == ["train"] * 3 + ["val"]
    expected = {
        f"{line['split']}/{f}/{line['name']}.png" for line in lines for f in ("GT", "hazy", "IR", "depth")
    }
    found = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert found == expected | {"manifest.jsonl"}
    for split, number in (("train", 3), ("val", 1)):
        triplets = list_triplets(output / split)
        assert len(triplets) == number
        assert read_triplet(triplets[0])["visible_hazy"].shape == (64, 80, 3)


def test_the_manifest_is_enough_to_make_a_scene_again(written):
    output, lines = written
    for line in lines:
        scene = render_scene(line["seed"], height=line["height"], width=line["width"])
        folder, name = output / line["split"], f"{line['name']}.png"
        assert scene.night == line["night"]
        assert np.array_equal(read_visible(folder / "GT" / name), scene.visible)
        assert np.array_equal(read_infrared(folder / "IR" / name), scene.infrared)
        depth = read_infrared(folder / "depth" / name)
        assert depth.dtype == np.uint16
        np.testing.assert_allclose(depth / 100, scene.depth, atol=0.00501)
        haze = HazeParameters(line["haze_beta_per_metre"], tuple(line["haze_airlight"]))
        expected = add_haze(scene.visible, scene.depth, parameters=haze)
        assert np.array_equal(read_visible(folder / "hazy" / name), expected)


def test_a_longer_set_begins_with_the_shorter_one(written, tmp_path):
    _, lines = written
    longer = write_scenes(tmp_path, count=5, seed=5, height=16, width=16, splits={"train": 5}, workers=1)
    assert [line["seed"] for line in longer[:4]] == [line["seed"] for line in lines]
    assert len({scene_seed(5, index) for index in range(1000)}) == 1000


def test_a_second_run_leaves_nothing_of_the_first(tmp_path):
    write_scenes(tmp_path, count=3, seed=1, height=16, width=16)
    (tmp_path / "train" / "GT" / "mine.png").write_bytes(b"kept")
    lines = write_scenes(tmp_path, count=1, seed=2, height=16, width=16)
    found = sorted(path.name for path in tmp_path.rglob("*.png"))
    assert found == sorted([f"{lines[0]['name']}.png"] * 4 + ["mine.png"])


def test_no_manifest_without_its_images(tmp_path, monkeypatch):
    write_scenes(tmp_path, count=1, seed=1, height=16, width=16)

    def interrupted(done, count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path, count=2, seed=1, height=16, width=16, workers=1, progress=interrupted)
    assert not (tmp_path / "manifest.jsonl").exists()
    assert not list(tmp_path.rglob("*.part"))


def test_splits_must_add_up(tmp_path):
    with pytest.raises(ValueError, match="add up"):
        write_scenes(tmp_path, count=3, seed=0, splits={"train": 1, "val": 1})
    with pytest.raises(ValueError, match="count"):
        write_scenes(tmp_path, count=0, seed=0)


# Command line


def test_the_command_writes_and_shows_a_set(tmp_path, capsys):
    output, sheet = tmp_path / "set", tmp_path / "sheet.png"
    command = ["data", "scenes", "--output", str(output), "--count", "3", "--seed", "4", "--size", "64x80"]
    assert main([*command, "--val-count", "1"]) == 0
    assert "2 train, 1 val" in capsys.readouterr().out
    assert (
        main(["data", "inspect", "--input", str(output / "train"), "--output", str(sheet), "--width", "80"])
        == 0
    )
    picture = read_visible(sheet)
    assert picture.shape == (2 * (18 + 64 + 4), 3 * 84, 3)
    name = list_triplets(output / "train")[0].name
    hazy, clear = (read_visible(output / "train" / folder / f"{name}.png") for folder in ("hazy", "GT"))
    assert np.array_equal(picture[18:82, :80], hazy) and np.array_equal(picture[18:82, 84:164], clear)


def test_the_command_refuses_a_folder_in_use(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    command = ["data", "scenes", "--output", str(tmp_path), "--count", "1", "--size", "16x16"]
    assert main(command) == 2
    assert "not empty" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "options,message",
    [
        (["--count", "0"], "--count 0"),
        (["--count", "2", "--val-count", "3"], "--val-count 3"),
        (["--count", "1", "--size", "480"], "--size 480"),
        (["--count", "1", "--size", "8x8"], "at least 16"),
        (["--count", "1", "--seed", "-3"], "--seed -3"),
    ],
)
def test_the_command_names_bad_values(tmp_path, capsys, options, message):
    assert main(["data", "scenes", "--output", str(tmp_path / "set"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_inspect_explains_what_it_cannot_show(written, tmp_path, capsys):
    output, _ = written
    inspect = ["data", "inspect", "--output", str(tmp_path / "sheet.png"), "--input"]
    assert main([*inspect, str(output)]) == 2
    assert str(output / "train") in capsys.readouterr().err
    assert main([*inspect, str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "sheet.png").write_bytes(b"kept")
    assert main([*inspect, str(output / "val")]) == 2
    assert "exists" in capsys.readouterr().err


def test_rendering_needs_no_accelerator_library():
    import subprocess
    import sys

    code = "import sys, data_pipelines.scenes; print([m for m in ('jax', 'iassf_jax') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"

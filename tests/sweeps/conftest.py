"""Runs in these tests are those of tests/training: a network of a few numbers, a folder of small images."""

import textwrap

import pytest

from tests.training.conftest import (  # noqa: F401
    config_file,
    make_config,
    programs,
    shared_programs,
    silent,
    tiny_network,
    triplets,
)


@pytest.fixture
def sweep_file(tmp_path):
    """A function from the overrides of points to a sweep file that starts from a packaged configuration."""

    def write(*points, name="sweep", base="smoke"):
        file = tmp_path / f"{name}.py"
        text = f"""
            from configs import {base}
            def get_config():
                return {base}.get_config()
            def get_points():
                yield from {list(points)!r}
        """
        file.write_text(textwrap.dedent(text))
        return file

    return write

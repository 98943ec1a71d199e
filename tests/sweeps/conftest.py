"""Every run here is one of the network of a few numbers, see tests/tiny_runs.py."""

import textwrap

import pytest


@pytest.fixture(scope="module", autouse=True)
def compiled_once(shared_programs):
    """See tests/tiny_runs.py."""


@pytest.fixture(autouse=True)
def known_network(tiny_network):
    """See tests/tiny_runs.py."""


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

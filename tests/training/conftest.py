"""Every run here is one of the network of a few numbers."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def compiled_once(shared_programs):
    """See tests/tiny_runs.py."""


@pytest.fixture(autouse=True)
def known_network(tiny_network):
    """See tests/tiny_runs.py."""

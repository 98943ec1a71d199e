"""Speed, memory and utilisation: what is not known is left out, not invented."""

import jax
import jax.numpy as jnp
import pytest

from iassf_jax.training.measurements import clock_text, memory, peak_flops, program_flops, utilisation


@pytest.mark.parametrize(
    "kind, teraflops",
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("TPU v4", 275),
        ("TPU v5 lite", 197),
        ("TPU v5p", 459),
        ("TPU v5", 459),
        ("TPU v6 lite", 918),
    ],
)
def test_peaks_are_found_by_device_kind(kind, teraflops):
    assert peak_flops(kind) == teraflops * 1e12


def test_an_unknown_device_has_no_peak():
    assert peak_flops("cpu") is None
    assert utilisation(1e12, 1.0, device_kind="cpu", num_devices=1) is None
    assert utilisation(None, 1.0, device_kind="TPU v4", num_devices=1) is None


def test_utilisation_is_the_share_of_all_devices_peak():
    assert utilisation(275e12, 0.5, device_kind="TPU v4", num_devices=8) == pytest.approx(0.25)


def test_operations_of_a_product_are_counted():
    a, b = jnp.zeros((16, 32)), jnp.zeros((32, 8))
    assert program_flops(jax.jit(jnp.matmul).lower(a, b)) == 2 * 16 * 32 * 8


def test_a_program_without_arithmetic_has_none():
    assert program_flops(jax.jit(lambda x: x.T).lower(jnp.zeros((4, 2)))) is None


def test_memory_of_this_process():
    ((name, value),) = memory().items()
    assert name == "host_bytes" and 2**26 < value < 2**40


def test_memory_of_devices_is_that_of_the_fullest(monkeypatch):
    class Device:
        def __init__(self, peak):
            self.peak = peak

        def memory_stats(self):
            return {"peak_bytes_in_use": self.peak, "bytes_in_use": 1}

    monkeypatch.setattr(jax, "local_devices", lambda: [Device(5), Device(7)])
    assert memory() == {"device_bytes": 7}


@pytest.mark.parametrize(
    "seconds, text", [(0.0, "0:00:00"), (59.6, "0:01:00"), (3661.0, "1:01:01"), (1e6, "277:46:40")]
)
def test_durations(seconds, text):
    assert clock_text(seconds) == text

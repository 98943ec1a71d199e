"""Sweeps: `get_config()` is what all points start from, `get_points()` what each of them changes."""

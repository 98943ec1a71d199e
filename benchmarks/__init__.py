"""Timings against PyTorch, and the distance to the machine's limit. `iassf bench` is the way in."""

"""Blocks shared by the networks."""

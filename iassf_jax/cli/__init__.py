"""The `iassf` command."""

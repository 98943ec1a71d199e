"""Errors meant for the person at the keyboard.

The message names what was given, what was expected and what to do. The command line prints it without a
traceback and exits with code 2; as a library each class is also the built-in a caller would catch.
"""


class IassfError(Exception):
    """Base of every error that the user can cause and mend."""


class InputError(IassfError, ValueError):
    """An image, folder or argument that cannot be used."""


class ConfigError(IassfError, ValueError):
    """A configuration key or value that does not exist or has the wrong type."""


class CheckpointError(IassfError, RuntimeError):
    """A checkpoint or weights file that is missing, damaged or made for another model."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose files cannot be read; an older one may still be whole."""


class TrainingError(IassfError, RuntimeError):
    """Training cannot go on, for instance because the loss is not finite."""


class MissingDependencyError(IassfError, ImportError):
    """An optional package is needed; the message gives the extra that installs it."""

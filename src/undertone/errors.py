"""Every error that a user can fix: one line that says what was given, where, and what would work."""


class UndertoneError(Exception):
    """Base of all errors that a user can fix; the command line prints its message and exits with 2."""


class SettingsError(UndertoneError):
    """A recipe, an override or an option is unknown, of the wrong type or without effect."""


class DataError(UndertoneError):
    """A review file, archive, column, row or label is not what was promised."""


class BundleError(UndertoneError):
    """A model folder is foreign, damaged or of a newer format."""


class OutputError(UndertoneError):
    """A result cannot be written where it was asked for."""


class MissingExtraError(UndertoneError):
    """A verb needs an optional dependency that is not installed."""


class TrainingError(UndertoneError):
    """Training cannot go on, because its loss is no longer a number or because it was interrupted."""


INTERRUPTED_STATUS = 130
"""Exit status of a command that was told to stop, as shells have it for Ctrl-C."""


class TrainingInterruptedError(TrainingError):
    """Ctrl-C stopped training, whose state has been saved."""

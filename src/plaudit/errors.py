"""Every error that a user can fix: one line that says what was given, where, and what would work."""


class PlauditError(Exception):
    """Base of all errors that a user can fix; the command line prints its message and exits with 2."""


class SettingsError(PlauditError):
    """A recipe, an override or an option is unknown, of the wrong type or without effect."""


class DataError(PlauditError):
    """A review file, archive, column, row or label is not what was promised."""


class BundleError(PlauditError):
    """A model folder is foreign, damaged or of a newer format."""


class OutputError(PlauditError):
    """A result cannot be written where it was asked for."""


class MissingExtraError(PlauditError):
    """A verb needs an optional dependency that is not installed."""


class TrainingError(PlauditError):
    """Training cannot go on, because its loss is no longer a number or because it was interrupted."""


INTERRUPTED_STATUS = 130
"""Exit status of a command that was told to stop, as shells have it for Ctrl-C."""


class TrainingInterruptedError(TrainingError):
    """Ctrl-C stopped training, whose state has been saved."""

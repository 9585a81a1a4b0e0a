"""The errors that a user can fix, each with a one-line message: what was given, where, and what would work."""


class PlauditError(Exception):
    """Base of all errors that a user can fix; the command line prints its message and exits with 2."""


class SettingsError(PlauditError):
    """A recipe, an override or an option is unknown, of the wrong type or without effect."""


class DataError(PlauditError):
    """A review file, archive, column, row or label is missing or malformed."""


class BundleError(PlauditError):
    """A model folder was not written by Plaudit, is damaged or has a newer format."""


class OutputError(PlauditError):
    """A result cannot be written to the requested place."""


class MissingExtraError(PlauditError):
    """A verb needs an optional dependency that is not installed."""


class TrainingError(PlauditError):
    """Training cannot continue, because its loss is no longer finite or because it was interrupted."""


INTERRUPTED_STATUS = 130
"""Exit status of an interrupted command, the same as shells use after Ctrl-C."""


class TrainingInterruptedError(TrainingError):
    """Ctrl-C stopped training after its state was saved."""

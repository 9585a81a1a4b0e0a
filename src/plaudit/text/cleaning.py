"""Cleaning settings: which characters of a review become tokens. Each bundle contains its own."""

from typing import Literal

from plaudit.errors import MissingExtraError, SettingsError
from plaudit.settings import Settings


class CleaningSettings(Settings):
    """How a text becomes tokens; the same settings drive the compiled kernel and its plain reference.

    A token is a run of letters and digits. Everything else separates tokens, and each punctuation character is a
    token of its own if `punctuation` says so.
    """

    strip_html: bool = True
    """Treat tags (`<br />`) and character references (`&amp;`) as separators."""

    lowercase: bool = True
    """Fold case by Unicode's one-to-one lower-case mapping."""

    digits: Literal["keep", "drop"] = "keep"
    """Whether a digit belongs to a token or separates tokens; "drop" with dropped punctuation is letters only."""

    punctuation: Literal["drop", "keep"] = "drop"
    """Whether a character other than a letter, digit or white space is a token."""

    stop_words: tuple[str, ...] | str = ()
    """Words to leave out: a list, or a language code such as "en", which `resolved` replaces by a list."""

    def resolved(self) -> "CleaningSettings":
        """Return settings that list their stop words, so that a bundle does not depend on a library's list."""
        if isinstance(self.stop_words, tuple):
            return self
        try:
            from stop_words import StopWordError, get_stop_words
        except ImportError:
            raise MissingExtraError("stop-word lists need: pip install 'plaudit[train]'") from None
        try:
            words = get_stop_words(self.stop_words)
        except StopWordError:
            raise SettingsError(
                f"cleaning.stop_words = {self.stop_words!r}: no list for that language; give a code such as "
                '"en", or the words themselves'
            ) from None
        return self.model_copy(update={"stop_words": tuple(sorted(words))})

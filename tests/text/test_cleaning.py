"""Stop words are resolved once, so that a bundle carries them."""

import pytest

from plaudit.errors import SettingsError
from plaudit.text.cleaning import CleaningSettings


def test_a_language_code_becomes_its_list() -> None:
    words = CleaningSettings(stop_words="en").resolved().stop_words
    assert isinstance(words, tuple)
    assert {"the", "and", "not"} <= set(words)


def test_given_words_stay_as_they_are() -> None:
    cleaning = CleaningSettings(stop_words=("film",))
    assert cleaning.resolved() is cleaning


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"cleaning\.stop_words = 'xx': no list for that language"):
        CleaningSettings(stop_words="xx").resolved()

"""The labels of your own file: one spelling for each number, their order, and which values stand for which label."""

import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal

from plaudit.errors import DataError, SettingsError

MAX_CLASSES = 127
NEGATIVE = ("negative", "neg", "bad", "0", "-1")
POSITIVE = ("positive", "pos", "good", "1")

ClassValues = dict[str, tuple[str, ...]]
"""By the name of a label, the values of a file that stand for it; `1-3` is each number from 1 to 3."""

_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?")  # 007 is a code
_RANGE = re.compile(rf"({_NUMBER.pattern})-({_NUMBER.pattern})")
_SHOWN = 5


def plain_label(value: str) -> str:
    """Return the one spelling of a label: without white space around it, with composed accents, 1 for 1.0 and +1."""
    value = unicodedata.normalize("NFC", value.strip())
    if not is_number(value):
        return value
    whole, _, fraction = value.removeprefix("+").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else "0" if whole == "-0" else whole


def is_number(value: str) -> bool:
    """Say whether a value has the order of numbers."""
    return _NUMBER.fullmatch(value) is not None


def label_names(values: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the values of a file as labels: numbers in their order, words sorted, negative before positive.

    DataError if there are too many or fewer than two; it begins with `where`.
    """
    if len(values) > MAX_CLASSES:
        raise DataError(
            f"{where} has {len(values):,} values, more than {MAX_CLASSES} classes; it is probably not the label: set "
            "label_column, or join values to classes by --labels 'negative=1-4 positive=7-10'"
        )
    if len(values) < 2:
        only = f"only the label {values[0]!r}" if values else "no labels"
        raise DataError(f"{where} has {only}; a classifier needs rows of at least two labels")
    if all(map(is_number, values)):
        return tuple(sorted(values, key=Decimal))
    if len(values) == 2 and values[0].casefold() in POSITIVE and values[1].casefold() in NEGATIVE:
        return (values[1], values[0])
    return tuple(sorted(values, key=lambda value: (value.casefold() not in NEGATIVE, value.casefold(), value)))


def label_id(value: str, labels: Sequence[str]) -> int | None:
    """Return the number of the label that a value stands for: by name, in other case, or as another negative word."""
    if value in labels:
        return labels.index(value)
    plain, names = plain_label(value).casefold(), [plain_label(label).casefold() for label in labels]
    if plain in names:
        return names.index(plain)
    if len(labels) == 2 and names[0] in NEGATIVE and names[1] in POSITIVE:
        return next((i for i, words in enumerate((NEGATIVE, POSITIVE)) if plain in words), None)
    return None


def ids_by_class(values: Sequence[str], classes: Mapping[str, Sequence[str]], where: str) -> dict[str, int]:
    """Return the number of the label of each value that some label lists; the others are left out.

    A number need not occur. DataError if two labels list a value, if one lists a word that does not occur, or if none
    of its values occur; SettingsError if there is but one label.
    """
    if len(classes) < 2:
        raise SettingsError(f"{where}: a classifier needs at least two labels, as in 'negative=1,2 positive=4,5'")
    found: dict[str, int] = {}
    for number, (name, listed) in enumerate(classes.items()):
        for each in listed:
            matching = _matching(each, values)
            if not matching and not is_number(each) and not _RANGE.fullmatch(each):
                raise DataError(f"{where} has no value {each!r}, which is listed for {name}; it has {shown(values)}")
            for value in matching:
                if found.setdefault(value, number) != number:
                    raise DataError(f"{where}: {value!r} is listed for {list(classes)[found[value]]} and for {name}")
        if listed and number not in found.values():
            raise DataError(f"{where} has no value of {', '.join(listed)}, listed for {name}; it has {shown(values)}")
    return found


def _matching(listed: str, values: Sequence[str]) -> list[str]:
    plain = plain_label(listed)
    exact = [value for value in values if value == plain] or [
        value for value in values if value.casefold() == plain.casefold()
    ]
    ends = _RANGE.fullmatch(listed)
    if exact or ends is None:
        return exact
    low, high = map(Decimal, ends.groups())
    return [value for value in values if is_number(value) and low <= Decimal(value) <= high]


def shown(values: Sequence[str]) -> str:
    """Return the first values, numbers before words."""
    numbers_first = sorted(values, key=lambda v: (0, Decimal(v), v) if is_number(v) else (1, Decimal(0), v))
    return ", ".join(value[:40] for value in numbers_first[:_SHOWN]) + (" …" if len(values) > _SHOWN else "")


def parse_classes(text: str, *, source: str) -> ClassValues:
    """Read `negative=1,2 positive=4,5`; SettingsError, which begins with `source`, if it is written otherwise."""
    how = f"{source} {text!r}: write it as 'negative=1,2 positive=4,5'"
    try:
        words = shlex.split(text)
    except ValueError:
        raise SettingsError(f"{how}; a quote is left open") from None
    classes: ClassValues = {}
    for word in words:
        name, equals, listed = word.partition("=")
        if not equals or not name:
            raise SettingsError(f"{how}, with quotes around what holds a space")
        if name in classes:
            raise SettingsError(f"{source}: {name} is given twice; list all of its values at once")
        classes[name] = tuple(value.strip() for value in listed.split(","))
    try:
        return checked_classes(classes)
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from None


def checked_classes(classes: Mapping[str, Sequence[str]]) -> ClassValues:
    """Return the values by label; SettingsError if there are none, or if a value is empty or repeated."""
    if not classes:
        raise SettingsError("give each label its values, as in 'negative=1,2 positive=4,5'")
    label_of: dict[str, str] = {}
    for name, listed in classes.items():
        if not listed or not all(listed):
            raise SettingsError(f"{name} has an empty value; list what stands for it, as in {name}=1,2")
        ends = [found for value in listed if (found := _RANGE.fullmatch(value))]
        backwards = next((found for found in ends if Decimal(found[1]) > Decimal(found[2])), None)
        if backwards is not None:
            raise SettingsError(f"{name}={backwards[0]}: write the lower number first")
        for value in map(plain_label, listed):
            if value in label_of:
                raise SettingsError(f"{value} is listed for {label_of[value]} and for {name}; list it once")
            label_of[value] = name
    return {plain_label(name): tuple(listed) for name, listed in classes.items()}


def for_model(classes: Mapping[str, Sequence[str]], labels: Sequence[str], *, source: str) -> ClassValues:
    """Return the values by a model's labels, in their order, none for labels that are not mentioned.

    SettingsError if a name is not one of the model's labels.
    """
    result: ClassValues = dict.fromkeys(labels, ())
    for name, listed in classes.items():
        number = label_id(name, labels)
        if number is None:
            raise SettingsError(f"{source}: {name} is not a label of the model; it has {', '.join(labels)}")
        result[labels[number]] += tuple(listed)
    return result

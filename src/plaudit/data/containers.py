"""Whatever holds texts in, a list of str out: lists, numpy, pandas, polars, Arrow, Hugging Face datasets.

None of these libraries is imported: a container is known by what it can do.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any, TypeAlias

from plaudit.errors import DataError

Values: TypeAlias = Any
"""A list, an array, a series, a column or a frame of one column."""

_KNOWN = "give a list, an array, a series or one column"


def as_texts(given: Values, *, name: str = "texts") -> Sequence[str]:
    """Return texts as a list, or as the tuple that they are in.

    DataError names the place of a missing value or of one that is no str, counted from 0, or says what else is wrong.
    """
    values = as_values(given, name=name)
    for i, value in enumerate(values):
        if not isinstance(value, str):
            missing = ": a missing value" if is_missing(value) else ""
            raise DataError(f"{name}[{i}] is {type(value).__name__}, not str{missing}; drop it or convert it")
    return values


def as_values(given: Values, *, name: str) -> Sequence[Any]:
    """Return the values of a list, an array, a series, a column or a frame of one column, as Python has them.

    DataError if it is something else, such as a single str, a set, a lazy frame or a frame of many columns.
    """
    if isinstance(given, list | tuple):
        return given
    if isinstance(given, str):
        raise DataError(f"{name} is a single str; give a list of them: predict([text])")
    column = _only_column(given, name)
    for convert in ("to_pylist", "to_list", "tolist"):  # Arrow; polars and pandas; numpy
        if hasattr(column, convert):
            values = getattr(column, convert)()
            break
    else:
        if hasattr(column, "__array__"):
            return as_values(column.__array__(), name=name)
        if not isinstance(column, Iterable) or isinstance(column, Mapping | Set | bytes | bytearray):
            raise DataError(f"{name} is {type(given).__name__}; {_KNOWN}")
        values = column[:] if isinstance(column, Sequence) else column
        values = list(values)
    if not isinstance(values, list):  # numpy gives the value of an array without dimensions
        raise DataError(f"{name} is a single value; {_KNOWN}")
    return values


def is_missing(value: object) -> bool:
    """Say whether a value stands for none: None, NaN, or the NA and NaT of pandas."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _only_column(given: Values, name: str) -> Values:
    """Return the one column of a frame or of a matrix, and anything else as it is."""
    if hasattr(given, "collect"):
        raise DataError(f"{name} is a {type(given).__name__}, which holds no values yet; collect() it first")
    if isinstance(given, Mapping):
        raise DataError(f"{name} is {type(given).__name__}; give one of its values: {_names(given.keys())}")
    columns = getattr(given, "column_names", None)  # Arrow and datasets
    if columns is None:
        columns = getattr(given, "columns", None)  # pandas and polars
    if columns is not None:
        if len(columns) != 1:
            raise DataError(f"{name} has {len(columns)} columns; give one of them: {_names(columns)}")
        return given[columns[0]]
    shape: tuple[int, ...] = getattr(given, "shape", ())
    if len(shape) == 2 and shape[1] == 1:
        return given[:, 0]
    if len(shape) > 1:
        raise DataError(f"{name} has shape {tuple(shape)}; {_KNOWN}")
    return given


def _names(columns: Collection[Any]) -> str:
    return ", ".join(repr(column) for column in list(columns)[:10]) or "there are none"

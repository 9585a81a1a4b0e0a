"""Convert containers of texts to a list of str: lists, numpy, pandas, polars, Arrow, Hugging Face datasets.

None of these libraries is imported: a container is recognized by its methods.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any, TypeAlias

from plaudit.errors import DataError

Values: TypeAlias = Any
"""A list, an array, a series, a column or a frame of one column."""

_KNOWN = "give a list, an array, a series or one column"


def as_texts(container: Values, *, name: str = "texts") -> Sequence[str]:
    """Return texts as a list or tuple; DataError names the first element, counted from 0, that is not a str."""
    values = as_values(container, name=name)
    for i, value in enumerate(values):
        if not isinstance(value, str):
            missing = ": a missing value" if is_missing(value) else ""
            raise DataError(f"{name}[{i}] is {type(value).__name__}, not str{missing}; drop it or convert it")
    return values


def as_values(container: Values, *, name: str) -> Sequence[Any]:
    """Return the values of a list, an array, a series, a column or a frame of one column, as Python objects.

    DataError if it is something else, such as a single str, a set, a lazy frame or a frame of many columns.
    """
    if isinstance(container, list | tuple):
        return container
    if isinstance(container, str):
        raise DataError(f"{name} is a single str; give a list of them: predict([text])")
    column = _only_column(container, name)
    for convert in ("to_pylist", "to_list", "tolist"):  # Arrow; polars and pandas; numpy
        if hasattr(column, convert):
            values = getattr(column, convert)()
            if not isinstance(values, list):  # numpy gives the value of an array without dimensions
                raise DataError(f"{name} is a single value; {_KNOWN}")
            return values
    if hasattr(column, "__array__"):
        return as_values(column.__array__(), name=name)
    if not isinstance(column, Iterable) or isinstance(column, Mapping | Set | bytes | bytearray):
        raise DataError(f"{name} is {type(container).__name__}; {_KNOWN}")
    return list(column[:] if isinstance(column, Sequence) else column)


def is_missing(value: object) -> bool:
    """Whether a value is missing: None, NaN, or the NA and NaT of pandas."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _only_column(container: Values, name: str) -> Values:
    """Return the only column of a frame or matrix, and anything else unchanged."""
    if hasattr(container, "collect"):
        raise DataError(f"{name} is a {type(container).__name__}, which holds no values yet; collect() it first")
    if isinstance(container, Mapping):
        raise DataError(f"{name} is {type(container).__name__}; give one of its values: {_names(container.keys())}")
    columns = getattr(container, "column_names", None)  # Arrow and datasets
    if columns is None:
        columns = getattr(container, "columns", None)  # pandas and polars
    if columns is not None:
        if len(columns) != 1:
            raise DataError(f"{name} has {len(columns)} columns; give one of them: {_names(columns)}")
        return container[columns[0]]
    shape: tuple[int, ...] = getattr(container, "shape", ())
    if len(shape) == 2 and shape[1] == 1:
        return container[:, 0]
    if len(shape) > 1:
        raise DataError(f"{name} has shape {tuple(shape)}; {_KNOWN}")
    return container


def _names(columns: Collection[Any]) -> str:
    return ", ".join(repr(column) for column in list(columns)[:10]) or "there are none"

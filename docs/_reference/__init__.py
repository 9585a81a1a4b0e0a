"""The parts of the reference that follow from the code: Markdown out, made whenever the site is built.

A page of `PAGES` says between two comments that something is missing; in its place the Markdown of a function goes.
"""

import re
from collections.abc import Callable

from docs._reference.commands import commands
from docs._reference.formats import formats
from docs._reference.http import http
from docs._reference.settings import recipes

_MISSING = re.compile(r"<!-- generated -->.*<!-- /generated -->", re.DOTALL)

PAGES: dict[str, Callable[[], str]] = {
    "reference/commands": commands,
    "reference/recipes": recipes,
    "reference/formats": formats,
    "reference/http": http,
}


def filled_in(name: str, source: str) -> str:
    """Return the source of a page with what follows from the code in its place."""
    return _MISSING.sub(lambda _: PAGES[name](), source) if name in PAGES else source

"""The verb that lists and copies the recipes that ship: recipes."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from plaudit.cli import base
from plaudit.errors import SettingsError


@base.app.command(epilog="Examples:\n\nplaudit recipes\n\nplaudit recipes quick --out mine.toml")
def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe; by default, list all.")] = None,
    out: Annotated[Path | None, base.out_option("Write it to this new file instead.")] = None,
    as_json: base.JsonOption = False,
) -> None:
    """List the recipes that ship, or show or copy one, for you to change.

    Each works by its name wherever a recipe is asked for, as in `plaudit run quick`.
    """
    from dataclasses import asdict

    from plaudit.console import table
    from plaudit.pipeline.shipped import copy_recipe, describe, read_text, shipped_recipes

    if name is None and out is not None:
        raise SettingsError(f"--out {out}: which recipe? For example: plaudit recipes quick --out {out}")
    if name is not None and as_json:
        raise SettingsError("--json is for the list of all recipes; leave it or the name out")
    if name is not None and out is not None:
        copy_recipe(name, out)
        base.remark(base.progress_console(), f"{out}: change what you like, then: plaudit run {out}")
    elif name is not None:
        typer.echo(read_text(name), nl=False)
    elif as_json:
        typer.echo(json.dumps([asdict(describe(each)) for each in shipped_recipes()], indent=1))
    else:
        shown = table("name", "what it does", "time", "extras")
        for each in map(describe, shipped_recipes()):
            shown.add_row(each.name, each.what, each.time, each.extras)
        Console().print(shown)

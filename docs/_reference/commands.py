"""The command line: every verb and option of the Typer app, as Markdown."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from docs._reference.tables import cell, table

_METAVARS = {"str": "TEXT", "int": "N", "float": "X"}


def verbs() -> Iterator[tuple[str, Any]]:
    """Yield the words of each verb, such as "data list", and its click command, in the order of --help."""
    from plaudit.cli.main import app

    yield from _below("", typer.main.get_command(app))


def _below(path: str, group: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401  # Typer brings a click of its own
    for name in group.list_commands(None):
        command = group.commands[name]
        words = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from _below(words, command)
        else:
            yield words, command


def commands() -> str:
    """Return a section for each verb: what it does, how it is called, its arguments and options, and examples."""
    return "\n\n".join(_section(words, command) for words, command in verbs())


def _section(words: str, command: Any) -> str:  # noqa: ANN401
    context = command.make_context(f"plaudit {words}", [], resilient_parsing=True)
    usage = command.get_usage(context).removeprefix("Usage: ")
    arguments, options = [], []
    for parameter in command.params:
        about = cell(parameter.help or "")
        if parameter.param_type_name == "argument":
            arguments.append((f"`{parameter.metavar or parameter.name.upper()}`", about))
        else:
            options.append((_names(parameter, context), _default(parameter), about))
    parts = [f"## {words}", command.help or "", f"```text\n{' '.join(usage.split())}\n```"]
    if arguments:
        parts.append(table(("argument", "meaning"), arguments))
    if options:
        parts.append(table(("option", "default", "meaning"), options))
    examples = examples_of(command)
    if examples:
        parts.append("```sh\n" + "\n".join(examples) + "\n```")
    return "\n\n".join(parts)


def examples_of(command: Any) -> list[str]:  # noqa: ANN401
    """Return the command lines of a verb's epilog."""
    return re.findall(r"^(?:Examples?:\s+)?((?:\S+=\S+ |\S+ \| )?plaudit .+)$", command.epilog or "", re.MULTILINE)


def _names(option: Any, context: Any) -> str:  # noqa: ANN401
    names = sorted(option.opts, key=len, reverse=True) + option.secondary_opts
    kind = re.sub(r"<(?:list\[)?(\w+).*>", r"\1", option.display_type(context))
    value = "" if option.is_flag else f" {option.metavar or _METAVARS.get(kind, kind.upper())}"
    shown = [f"`{names[0]}{value}`", *(f"`{name}`" for name in names[1:])]
    return ", ".join(shown) + (" (may be repeated)" if option.multiple else "")


def _default(option: Any) -> str:  # noqa: ANN401
    if option.required:
        return "required"
    if option.is_flag:
        return "on" if option.default else ""
    if option.default is None or option.default == []:
        return ""
    return f"`{option.default}`"

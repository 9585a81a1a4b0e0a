"""The fenced blocks of README and docs, and how each is tried.

A block that cannot be run here says why in a comment right before it, `<!-- not run: needs a Slurm cluster -->`; one
that is a file of the reader's has `<!-- file: mine.toml -->` before it.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from plaudit.cli.main import app
from plaudit.pipeline.shipped import SHIPPED

ROOT = Path(__file__).parent.parent
SITE_PAGES = sorted((ROOT / "docs").rglob("*.md"))
_FENCE = re.compile(r"^(?:<!-- (not run|file): (.+?) -->\n)?^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SEPARATORS = {"|", "||", "&&", ";", "&"}
_REDIRECTIONS = {"<", ">", ">>"}


@dataclass(frozen=True)
class Fence:
    """A block of a page, and what the comment before it says."""

    language: str
    code: str
    not_run: str | None = None
    file: str | None = None

    @property
    def commands(self) -> list[str]:
        """Its command lines, each whole."""
        lines = self.code.replace("\\\n", " ").splitlines() if self.language == "sh" else []
        return [line for line in lines if line.strip() and not line.startswith("#")]


def fences(text: str) -> list[Fence]:
    found = []
    for mark, said, language, code in _FENCE.findall(text):
        marks = {mark.replace(" ", "_"): said} if mark else {}
        found.append(Fence(language, code, **marks))
    return found


def page_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def calls(line: str) -> Iterator[list[str]]:
    """Yield the words after each `plaudit` of a command line, without pipes and redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter([*lexer, ";"])
    for token in tokens:
        if token in _REDIRECTIONS:
            next(tokens)
        elif token in _SEPARATORS:
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            if words[:1] == ["plaudit"]:
                yield words[1:]
            words = []
        else:
            words.append(token)


def parse(words: list[str]) -> None:
    """Parse a call of the command line without running it; raise what the command line would complain of."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        verb, *words = words
        assert verb in command.commands, f"no verb {verb}"
        command = command.commands[verb]
    command.make_context("plaudit", words)


def completed(tables: dict[str, Any]) -> dict[str, Any]:
    """Return a whole recipe of which the tables may be but a part; what they leave out is as plain as can be."""
    others = tomllib.loads((SHIPPED / "tune.toml").read_text(encoding="utf-8"))["models"]
    models = {}
    for name, given in tables.get("models", others).items():
        model = given if {"kind", "from"} & given.keys() else {"kind": "lstm", **given}
        is_language_model = "pretrain" in model and "train" not in model
        if model.get("kind") == "lstm" and not is_language_model:
            model = {**model, "train": {"epochs": 1, "max_learning_rate": 0.01, **model.get("train", {})}}
        models[name] = model
    return {"data": {"name": "imdb-train"}, **tables, "models": models}


def check_other(line: str) -> None:
    """Hold a command that is not ours to what there is here: extras, make targets, scripts."""
    program, *words = shlex.split(line)
    if program == "pip":
        named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert words[0] == "install"
        extras = re.findall(r"\[(.*?)\]", line)
        assert {name for each in extras for name in each.split(",")} <= set(named)
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert set(words) <= set(targets)
    elif program == "python" and words[0].startswith("bench/"):
        assert (ROOT / words[0]).is_file()
    else:
        raise AssertionError(f"{line}: nothing here checks this; mark the block: <!-- not run: why -->")


def prepare_folder(folder: Path) -> Path:
    """Put reviews of one's own into an empty folder."""
    verdicts = {"positive": "A fine thing, works well", "negative": "Arrived broken and late"}
    rows = [f'"{text}, number {i}",{label}' for i in range(150) for label, text in verdicts.items()]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return folder


def run_command(command: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def execute(code: str, names: dict[str, object]) -> None:
    """Run Python; where a comment after an expression is a value, the expression must have it."""
    lines = code.splitlines()
    for statement in ast.parse(code).body:
        if not isinstance(statement, ast.Expr):
            exec(compile(ast.Module([statement], []), "<page>", "exec"), names)
            continue
        value = eval(compile(ast.Expression(statement.value), "<page>", "eval"), names)
        assert statement.end_lineno is not None
        _, _, comment = lines[statement.end_lineno - 1].partition("  # ")
        try:
            said = ast.literal_eval(comment)
        except (SyntaxError, ValueError):
            continue
        assert value == said, f"{ast.unparse(statement)} is {value!r}"

"""Every command that the README shows works as it stands there, and so does its Python."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import undertone
from undertone.evaluate.results import read_results

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder but for the recipes and reviews of one's own."""
    path = tmp_path_factory.mktemp("readme")
    (path / "recipes").symlink_to(ROOT / "recipes")
    verdicts = {"positive": "A fine thing, works well", "negative": "Arrived broken and late"}
    rows = [f'"{text}, number {i}",{label}' for i in range(150) for label, text in verdicts.items()]
    (path / "reviews.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, shell=True, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_commands_run_in_the_order_of_the_readme(folder: Path) -> None:
    commands = [line for line in COMMANDS if "undertone" in line]
    assert len(commands) > 10
    for command in commands:
        done = run(command, folder)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_install_commands_name_what_there_is() -> None:
    others = [line for line in COMMANDS if "undertone" not in line]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for line in others:
        words = shlex.split(line)
        if words[0] == "make":
            assert words[1] in targets
        else:
            assert words[:4] == ["pip", "install", "-c", "constraints.txt"]
            assert set(re.findall(r"\w+", words[4])) <= set(extras)
    assert others


def test_python_says_what_its_comments_say() -> None:
    (code,) = blocks("python")
    names: dict[str, object] = {"undertone": undertone}
    for line in code.splitlines():
        expression, _, comment = line.partition("  # ")
        if comment.startswith("["):
            assert eval(expression, names) == eval(comment)
        else:
            exec(expression, names)


def test_links_lead_to_files() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_results_table_quotes_the_committed_results() -> None:
    table = README.partition("<!-- results -->")[2].partition("<!-- /results -->")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    shown = [("students", "bow"), ("students", "lstm"), ("teachers", "teacher"), ("imdb", "bow"), ("plan", "plan-lstm")]
    for line, (run, model) in zip(lines, shown, strict=True):
        results = read_results(ROOT / "docs" / "results" / run / "results.json").results
        (r,) = (result for result in results if result.model == model)
        low, high = r.accuracy_ci95
        # The other files' speeds compare with nothing: on one core, or through torch where there is a runtime now.
        speed = f"{r.reviews_per_second:,.0f} | {r.latency_ms.p50:.2f}" if run == "students" else "– | –"
        figures = f"| {100 * r.accuracy:.2f} ({100 * low:.2f}–{100 * high:.2f}) | {speed} | {r.size_bytes / 1e6:.2f} |"
        assert figures in line
        assert f"{r.parameters:,}" in line


def test_the_shipped_models_are_those_of_the_table() -> None:
    results = read_results(ROOT / "docs" / "results" / "students" / "results.json").results
    for r in results:
        if r.model in ("bow", "lstm"):
            assert undertone.load(r.model).provenance["recipe"] == r.recipe
            assert undertone.load(r.model).size_bytes == r.size_bytes

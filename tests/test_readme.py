"""Every command that the README shows works as it stands there, and so does its Python."""

import re
from pathlib import Path

import pytest

import plaudit
from plaudit.bundle.locate import shipped_models
from plaudit.evaluate.results import read_results
from tests.pages import ROOT, check_other, execute, fences, prepare_folder, run_command

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for fence in fences(README) if not fence.not_run for line in fence.commands]


@pytest.mark.slow
def test_commands_run_in_the_order_of_the_readme(tmp_path: Path) -> None:
    commands = [line for line in COMMANDS if "plaudit" in line]
    assert len(commands) > 10
    prepare_folder(tmp_path)
    for command in commands:
        run_command(command, tmp_path)


def test_install_commands_name_what_there_is() -> None:
    others = [line for line in COMMANDS if "plaudit" not in line]
    for line in others:
        check_other(line)
    assert others


def test_python_says_what_its_comments_say() -> None:
    (block,) = (fence for fence in fences(README) if fence.language == "python")
    execute(block.code, {})


def test_links_lead_to_files() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_results_table_quotes_the_committed_results() -> None:
    table = README.partition("<!-- results -->")[2].partition("<!-- /results -->")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    shown = [
        ("students", "bow"),
        ("students", "lstm"),
        ("ensemble", "ensemble"),
        ("teachers-2", "teacher"),
        ("plan", "plan-lstm"),
    ]
    for line, (run, model) in zip(lines, shown, strict=True):
        results = read_results(ROOT / "docs" / "results" / run / "results.json").results
        (r,) = (result for result in results if result.model == model)
        low, high = r.accuracy_ci95
        # The other files' speeds compare with nothing: on one core, or through torch where there is a runtime now.
        speed = f"{r.reviews_per_second:,.0f} | {r.latency_ms.p50:.2f}" if run in ("students", "ensemble") else "– | –"
        figures = f"| {100 * r.accuracy:.2f} ({100 * low:.2f}–{100 * high:.2f}) | {speed} | {r.size_bytes / 1e6:.2f} |"
        assert figures in line
        assert f"{r.parameters:,}" in line


def test_the_shipped_models_are_those_of_the_table() -> None:
    files = [ROOT / "docs" / "results" / run / "results.json" for run in ("students", "ensemble")]
    scored = {r.model: r for file in files for r in read_results(file).results}
    for name in shipped_models():
        model, recipe = plaudit.load(name), {**scored[name].recipe}
        del recipe["report"]  # which says nothing of the model
        assert model.provenance.recipe.model_dump() == recipe
        # Weights are those that were scored; bundle.json was written anew in a newer format.
        assert model.size_bytes == pytest.approx(scored[name].size_bytes, abs=1_000)


def test_the_shipped_models_have_five_megabytes_together() -> None:
    assert sum(plaudit.load(name).size_bytes for name in shipped_models()) <= 5_000_000

"""The paper is made from the committed results, so these tests read docs/results."""

import json
import shutil

import pytest
from paper.__main__ import RESULTS
from paper.compose import compose
from paper.studies import compression

from plaudit.report.document import Paragraph, Table
from plaudit.report.html import render
from plaudit.report.leaderboard import leaderboards
from plaudit.report.run_folder import read_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two small committed runs, one of which compresses."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("prune", "plan"):
        shutil.copytree(RESULTS / name, folder / name)
    return read_runs(folder)


@pytest.fixture(scope="module")
def document(runs):
    return compose(runs, RESULTS)


def test_every_chapter_has_its_studies(document):
    chapters = {section.name: section.blocks for section in document.sections}
    assert list(chapters)[:3] == ["related", "method", "cleaning"]  # these runs keep no description of their data
    captions = [block.caption for blocks in chapters.values() for block in blocks if isinstance(block, Table)]
    for expected in ("Compressed models on imdb", "The best of each family", "One LSTM trained by two processes"):
        assert any(caption.startswith(expected) for caption in captions), expected


def test_each_run_has_its_command(document):
    assert ("plan", "`plaudit run plan.toml`") in [row[:2] for row in document.sections[-1].blocks[-1].rows]


def test_the_page_shows_studies_and_quotes_no_review(document):
    page = render(document)
    assert "Cleaning for <code>bow</code>" in page
    assert "VADER" in page
    assert "the most confident first" not in page


def test_the_note_of_a_study_is_shown(runs):
    def study(name):
        text = (RESULTS / name).read_text()
        content = [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)
        return {**content, "verdicts": ["ours is faster"]} if name == "peers.json" else content

    blocks = compression(study, leaderboards(runs)[0]).blocks
    assert Paragraph("ours is faster.", is_quiet=True) in blocks


def test_the_committed_page_is_made_by_this_code():
    page = (RESULTS / "imdb" / "report.html").read_text(encoding="utf-8")
    assert "Plaudit report" in page
    assert ("under" + "tone") not in page.lower()

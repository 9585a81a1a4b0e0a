import json
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from undertone.data.quality import inspect
from undertone.data.table import SCHEMA, Dataset
from undertone.errors import DataError, OutputError
from undertone.evaluate import Evaluation, write_predictions
from undertone.evaluate.results import add_results
from undertone.report import write_report
from undertone.report.page import duration, excerpt, rate, size

HOSTILE = '<script>alert("x")</script><br /><br />It is "fine" & <img src=x onerror=alert(1)>'


def make_table(texts, labels):
    rows = [
        {"id": f"r/{n}", "text": text, "label": label, "split": "test", "group": None, "rating": None}
        for n, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@pytest.fixture
def run_dir(tmp_path, make_result):
    """A whole run folder: one model with predictions and a log, and one that has a result only."""
    table = make_table([f"review {n}" for n in range(8)] + [HOSTILE, "mild mistake"], [0] * 5 + [1] * 5)
    probabilities = np.array([[0.9, 0.1]] * 5 + [[0.2, 0.8]] * 3 + [[0.99, 0.01], [0.6, 0.4]], dtype=np.float32)
    lstm = make_result(model="lstm", kind="lstm", accuracy=0.8, accuracy_ci95=(0.49, 0.94), confusion=((5, 0), (2, 3)))
    add_results(tmp_path / "results.json", [lstm, make_result()])
    labels = table["label"].to_numpy()
    write_predictions(tmp_path / "predictions" / "lstm.parquet", table, Evaluation(lstm, labels, probabilities))
    log = tmp_path / "training" / "lstm" / "metrics.jsonl"
    log.parent.mkdir(parents=True)
    events = [
        {"event": "step", "step": 1, "epoch": 0, "train_loss": 0.7, "train_accuracy": 0.5},
        {
            "event": "epoch",
            "step": 1,
            "epoch": 1,
            "validation_loss": 0.6,
            "validation_accuracy": 0.7,
            "tokens_per_second": 1234.0,
            "seconds": 61.0,
        },
    ]
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    dataset = Dataset("tiny", ("neg", "pos"), table, "0123456789abcdef", {"empty text": 3})
    (tmp_path / "data.json").write_text(inspect(dataset).to_json())
    (tmp_path / "recipe.json").write_text('{"data": {"name": "tiny"}, "seed": 7}')
    return tmp_path


def read(path):
    return path.read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Checks that tags are balanced, and collects what the tests ask for."""

    VOID = ("meta", "img", "br")

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.ids = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_leads_with_the_most_accurate_model_and_holds_every_part(run_dir):
    page = read(write_report(run_dir, run_dir / "report.html"))
    assert "<h1>bow judges 90.0\u00a0% of 10 reviews rightly</h1>" in page
    assert "Missing:" not in page
    assert page.count("<figure>") == 5  # speed, lengths, two curves, reliability
    for expected in (
        "tiny: 10 reviews",
        "After the last epoch: 70.00\u00a0%",
        "A processor",
        "3 (empty text)",
    ):
        assert expected in page
    assert "&#34;seed&#34;: 7" in page


def test_page_is_one_sound_file_that_fetches_and_runs_nothing(run_dir):
    page = read(write_report(run_dir, run_dir / "report.html"))
    outline = Outline(page)
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(outline.tags)
    assert not [tag for tag, attributes in outline.attributes if {"src", "onload", "onerror"} & attributes.keys()]
    links = [attributes["href"] for tag, attributes in outline.attributes if tag == "a"]
    assert {link.removeprefix("#") for link in links} <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))
    assert "url(" not in page and "@import" not in page
    assert "default-src 'none'" in page


def test_figures_and_tables_say_what_they_are(run_dir):
    outline = Outline(read(write_report(run_dir, run_dir / "report.html")))
    images = [attributes for _, attributes in outline.attributes if attributes.get("role") == "img"]
    assert len(images) == outline.tags.count("svg")
    assert all(attributes["aria-label"] for attributes in images)
    assert outline.tags.count("caption") == outline.tags.count("table")


def test_hostile_reviews_are_shown_as_text(run_dir):
    page = read(write_report(run_dir, run_dir / "report.html"))
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;&lt;br /&gt;" in page
    assert "<script" not in page and "<img" not in page


def test_hostile_names_are_shown_as_text(tmp_path, make_result):
    bad = "<script>x</script>"
    changes = {
        "kind": bad,
        "data": bad,
        "split": bad,
        "labels": (bad, '"'),
        "commit": bad,
        "recipe": {bad: bad},
    }
    add_results(tmp_path / "r.json", [make_result(model=bad, **changes), make_result(model="b", **changes)])
    page = read(write_report(tmp_path / "r.json", tmp_path / "r.html"))
    assert "<script" not in page
    Outline(page)


def test_surest_mistakes_come_first(run_dir):
    page = read(write_report(run_dir, run_dir / "report.html"))
    assert "lstm: 2 of 2 mistakes" in page
    assert page.index("r/8") < page.index("r/9")


def test_review_texts_can_be_left_out(run_dir):
    page = read(write_report(run_dir, run_dir / "report.html", excerpt_characters=0))
    assert "mild mistake" not in page and "alert" not in page
    assert "The texts are left out" in page
    assert "r/9" in page


def test_same_files_give_the_same_bytes(run_dir):
    first = write_report(run_dir, run_dir / "first.html").read_bytes()
    assert write_report(run_dir, run_dir / "second.html").read_bytes() == first
    assert str(run_dir).encode() not in first


def test_results_alone_make_a_page_that_names_what_is_missing(run_dir):
    page = read(write_report(run_dir / "results.json", run_dir / "alone.html"))
    assert [name for name in ("data.json", "recipe.json", "metrics.jsonl", "MODEL.parquet") if name not in page] == []
    assert page.count("Missing:") == 5
    assert "max_order" in page  # the recipes of the results stand in for the run's


def test_undefined_auc_and_unknown_origin_are_shown_as_dashes(tmp_path, make_result):
    unknown = make_result(auc=None, seed=None, train_seconds=None, recipe=None)
    add_results(tmp_path / "results.json", [unknown])
    page = read(write_report(tmp_path, tmp_path / "report.html"))
    assert "None" not in page
    assert page.count("<figure>") == 0  # one model has nothing to stand against


def test_the_test_split_leads(tmp_path, make_result):
    add_results(
        tmp_path / "r.json",
        [make_result(split="contrast"), make_result(accuracy=0.7), make_result(data="a", split="x")],
    )
    assert "<h1>bow judges 70.0" in read(write_report(tmp_path / "r.json", tmp_path / "r.html"))


@pytest.mark.parametrize(
    "name", ["data.json", "recipe.json", "training/lstm/metrics.jsonl", "predictions/lstm.parquet"]
)
@pytest.mark.parametrize("content", [b"[1]", b"\xff\xfe", b'{"a": '])
def test_damaged_files_are_refused_in_one_line(run_dir, name, content):
    (run_dir / name).write_bytes(content)
    with pytest.raises(DataError, match=name.split("/")[-1]) as refusal:
        write_report(run_dir, run_dir / "report.html")
    assert "\n" not in str(refusal.value)
    assert not (run_dir / "report.html").exists()


def test_predictions_that_no_result_is_of_are_refused(run_dir):
    path = run_dir / "predictions" / "lstm.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DataError, match="evaluate lstm again"):
        write_report(run_dir, run_dir / "report.html")


def test_a_folder_or_file_without_results_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such results file"):
        write_report(tmp_path, tmp_path / "report.html")
    (tmp_path / "results.json").write_text('{"format": 1, "results": []}')
    with pytest.raises(DataError, match="holds no results"):
        write_report(tmp_path, tmp_path / "report.html")


def test_missing_extra_names_what_to_install(run_dir):
    # In a process of its own, since modules that are loaded already would not miss altair.
    script = """
import pathlib, sys
sys.modules["altair"] = None
from undertone.errors import MissingExtraError
from undertone.report import write_report
try:
    write_report(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]) / "report.html")
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, run_dir], capture_output=True, text=True, check=True)
    assert done.stdout == "a report needs altair: pip install 'undertone[report]'\n"


def test_unwritable_place_is_an_output_error(run_dir):
    with pytest.raises(OutputError):
        write_report(run_dir, run_dir / "results.json" / "report.html")


def test_excerpt_keeps_beginning_and_end_at_whole_words():
    text = "The beginning of it all " + "and so on " * 50 + "but the end was good"
    short = excerpt(text, 40)
    assert short.startswith("The beginning of") and short.endswith("end was good")
    assert len(short) <= 43
    assert excerpt("short", 40) == "short"
    assert excerpt(text, 0) == ""
    assert len(excerpt("x" * 1_000, 40)) == 43


def test_quantities_read_well():
    assert [rate(value) for value in (154_870, 412, 9.9, 0.0213)] == ["155,000", "412", "9.9", "0.0213"]
    assert [duration(value) for value in (3.44, 59.97, 125, 3_900)] == [
        "3.4 s",
        "60.0 s",
        "2 min 05 s",
        "1 h 05 min",
    ]
    assert [size(value) for value in (2_950_000, 12_800_000, 1_500)] == ["2.95 MB", "12.8 MB", "1.5 kB"]

import json
import subprocess
import sys
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.parquet as pq
import pypdf
import pytest
from rich.console import Console

from plaudit.data.table import SCHEMA
from plaudit.errors import DataError, OutputError
from plaudit.evaluate.errors.mistakes import find_errors, write_errors
from plaudit.evaluate.results import add_results
from plaudit.models.kinds import model_class
from plaudit.predictor import load
from plaudit.report.sections.models import SHOWN_SETTINGS
from plaudit.report.write import write_report
from tests.conftest import toy_reviews


def read(path):
    return path.read_text(encoding="utf-8")


def page_of(folder, **options):
    return read(write_report(folder, folder / "report.html", excerpt_characters=300, **options))


def pdf_text(path):
    return " ".join(" ".join(page.extract_text().split()) for page in pypdf.PdfReader(path).pages)


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


@pytest.fixture
def two_seeds(tmp_path, make_result):
    """A folder of two runs that differ in their seed."""
    recipe = {"name": "quick", "models": {"bow": {"max_order": 3}}, "data": {"name": "imdb"}}
    for seed, accuracy in enumerate((0.8, 0.9)):
        result = make_result(seed=seed, accuracy=accuracy, recipe=recipe)
        add_results(tmp_path / "all" / f"run-{seed}" / "results.json", [result])
    return tmp_path / "all"


def test_page_leads_with_the_most_accurate_model_and_holds_every_part_of_a_run(run_dir):
    page = page_of(run_dir)
    headline = "bow: 90.0\u00a0% accuracy on 10 texts (60.0–98.0); always guessing “neg” gets 50.0\u00a0%"
    assert f"<h1>{headline}</h1>" in page
    for expected in (
        "tiny holds 10 texts: 5 “neg”, 5 “pos”.",
        "lstm after the last epoch: 70.00\u00a0%",
        "A processor",
        "3 (empty text)",
        "seed = 7",
        "&lt;b&gt;dull&lt;/b&gt;",
    ):
        assert expected in page


def test_page_is_one_sound_file_that_fetches_nothing_and_runs_its_own_script_alone(run_dir):
    page = page_of(run_dir)
    outline = Outline(page)
    assert {"link", "img", "iframe", "object"}.isdisjoint(outline.tags)
    assert outline.tags.count("script") == 1
    assert not [tag for tag, attributes in outline.attributes if {"src", "onload", "onerror"} & attributes.keys()]
    links = [attributes["href"] for tag, attributes in outline.attributes if tag == "a"]
    assert {link.removeprefix("#") for link in links} <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))
    assert "url(" not in page and "@import" not in page
    policy = next(a["content"] for _, a in outline.attributes if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';") and "script-src 'sha256-" in policy


def test_figures_and_tables_say_what_they_are(run_dir):
    outline = Outline(page_of(run_dir))
    images = [attributes for _, attributes in outline.attributes if attributes.get("role") == "img"]
    assert len(images) == outline.tags.count("svg")
    assert all(attributes["aria-label"] for attributes in images)
    assert outline.tags.count("caption") == outline.tags.count("table")


def test_hostile_reviews_are_shown_as_text(run_dir):
    page = page_of(run_dir)
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;&lt;br /&gt;" in page
    assert page.count("<script") == 1 and "<img" not in page
    assert "<code>&lt;img" not in page  # a review's own marks are no marks of ours


def test_hostile_names_are_shown_as_text(tmp_path, make_result):
    bad = "<script>x</script> `#set page(width: 1pt)` #panic()"
    changes = {"kind": bad, "data": bad, "split": bad, "labels": (bad, '"'), "commit": bad, "recipe": {bad: bad}}
    add_results(tmp_path / "results.json", [make_result(model=bad, **changes), make_result(model="b", **changes)])
    page = page_of(tmp_path)
    assert page.count("<script") == 1
    Outline(page)
    assert "#panic()" in pdf_text(tmp_path / "report.pdf")


def test_the_most_confident_mistakes_come_first(run_dir):
    page = page_of(run_dir)
    assert "lstm: 1 of 1 mistakes" not in page  # of the best model alone
    mistakes = page[page.index("bow: 2 of 2 mistakes") :]
    assert mistakes.index("r/8") < mistakes.index("r/9")


def test_review_texts_can_be_left_out(run_dir):
    path = write_report(run_dir, run_dir / "report.html", excerpt_characters=0)
    page = read(path)
    assert "mild mistake" not in page and "alert" not in page
    assert "This report omits the texts" in page
    assert "r/9" in page
    assert "mild mistake" not in pdf_text(path.with_suffix(".pdf"))


def test_same_files_give_the_same_bytes(run_dir, tmp_path):
    first, second = (write_report(run_dir, tmp_path / f"{name}.html") for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".pdf").read_bytes() == second.with_suffix(".pdf").read_bytes()
    assert str(tmp_path).encode() not in first.read_bytes()


def test_pdf_has_pages_that_hold_the_title_the_models_and_the_reviews(run_dir):
    path = write_report(run_dir, run_dir / "report.html").with_suffix(".pdf")
    assert path.read_bytes().startswith(b"%PDF")
    assert len(pypdf.PdfReader(path).pages) > 1
    text = pdf_text(path)
    for expected in ("bow: 90.0", "lstm", '<script>alert("x")</script>', "r/9"):
        assert expected in text


def test_method_says_what_a_student_was_taught_together_with(tmp_path, make_result):
    table = {"kind": "lstm", "distill": {"soft_labels": "labels.parquet", "beside": "bow"}}
    results = [make_result(model=name, recipe={"name": "r", "models": {name: table}}) for name in ("lstm", "other")]
    add_results(tmp_path / "results.json", results)
    assert "taught by labels.parquet together with bow" in page_of(tmp_path)


def chapters(page):
    return {attributes["id"] for tag, attributes in Outline(page).attributes if tag == "section"}


def test_results_alone_make_a_page_without_the_chapters_that_have_nothing_to_say(run_dir):
    everything = {"evaluation", "errors", "words", "next", "robustness", "tried", "data", "training", "recipe"}
    assert chapters(page_of(run_dir)) == everything
    page = read(write_report(run_dir / "results.json", run_dir / "alone.html"))
    assert chapters(page) == {"evaluation", "next", "training", "recipe"}
    assert "max_order" in page  # the recipes of the results stand in for the run's


@pytest.mark.parametrize("kind", SHOWN_SETTINGS)
def test_the_shown_settings_of_a_kind_exist(kind):
    assert set(SHOWN_SETTINGS[kind]) <= set(model_class(kind).Settings.model_fields)


def test_undefined_auc_and_unknown_origin_are_shown_as_dashes(tmp_path, make_result):
    unknown = make_result(auc=None, seed=None, train_seconds=None, recipe=None)
    add_results(tmp_path / "results.json", [unknown])
    page = page_of(tmp_path)
    assert "None" not in page
    assert '<td class="number">–</td>' in page
    assert "<figure>" not in page  # one model has nothing to stand against


def test_the_test_split_leads(tmp_path, make_result):
    results = [make_result(split="contrast"), make_result(accuracy=0.7), make_result(data="a", split="x")]
    add_results(tmp_path / "r.json", results)
    assert "<h1>70.0" in read(write_report(tmp_path / "r.json", tmp_path / "r.html"))


def test_analysis_is_shown_as_comparisons_calibration_and_slices(run_dir):
    page = page_of(run_dir)
    assert "tiny-run: pairs of models on the same texts of imdb, test" in page
    assert "1 : 0" in page  # lstm alone is right once, bow never
    assert 'aria-label="Accuracy of bow, lstm by rating"' in page
    for single in ("by length", "of its group"):  # all texts are in one slice: there is nothing to compare
        assert single not in page


def test_robustness_is_shown_and_tells_who_may_have_learned_the_originals(run_dir):
    page = page_of(run_dir)
    for expected in (
        "edits: both of a pair",
        "lstm*</th>",
        "* may have learned from the originals",
        "toasters",
        "blame negated (minimum functionality, n = 4)",
        "It is not &lt;b&gt;bad&lt;/b&gt;.",
        "typos in 5 % of words",
        "bow (tiny-run) classifies both the original and the edit correctly in 60.0\u00a0%",
    ):
        assert expected in page


def test_errors_are_shown_without_texts(run_dir, toy_bow_folder):
    number = {"negative": 0, "positive": 1}
    reviews = [("a superb, lovely film, number 999", 0), *((text, number[label]) for text, label in toy_reviews(20))]
    rows = [
        {"id": f"t/{i}", "text": text, "label": label, "split": "test", "group": None, "rating": None}
        for i, (text, label) in enumerate(reviews)
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    found = find_errors(
        load(toy_bow_folder),
        table,
        table.slice(1),
        label_names=tuple(number),
        model_name="toy",
        data_name="own.csv",
        split="test",
        top=5,
        console=Console(quiet=True),
    )
    write_errors(run_dir / "errors.json", found)
    page = page_of(run_dir)
    assert "toy: words that mislead it most often on own.csv, test (1 of 21 texts misclassified)" in page
    assert '<th scope="row">superb</th>' in page
    assert '<th scope="row"><code>t/0</code></th>' in page
    assert "number 999" not in page


def test_runs_that_differ_in_their_seed_make_one_row(two_seeds):
    page = page_of(two_seeds)
    assert "<h1>85.0\u00a0% accuracy" in page  # the mean of two seeds
    assert "run-0 …" in page
    assert "2 seeds" in pdf_text(two_seeds / "report.pdf")


@pytest.mark.parametrize(
    "name",
    [
        "results.json",
        "data.json",
        "recipe.json",
        "analysis.json",
        "robustness.json",
        "errors.json",
        "words.json",
        "choice.json",
        "training/lstm/metrics.jsonl",
        "predictions/lstm.parquet",
    ],
)
@pytest.mark.parametrize("content", [b"[1]", b"\xff\xfe", b'{"a": '], ids=["array", "bytes", "cut"])
def test_damaged_files_are_refused_in_one_line(run_dir, name, content):
    (run_dir / name).write_bytes(content)
    with pytest.raises(DataError, match=name.split("/")[-1]) as refusal:
        write_report(run_dir, run_dir / "report.html")
    assert "\n" not in str(refusal.value)
    assert not (run_dir / "report.html").exists()


def test_results_that_contradict_each_other_are_refused(run_dir):
    content = json.loads(read(run_dir / "results.json"))
    content["results"][0]["data_digest"] = "e" * 64
    (run_dir / "results.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="different reviews"):
        write_report(run_dir, run_dir / "report.html")


def test_predictions_that_no_result_is_of_are_refused(run_dir):
    path = run_dir / "predictions" / "lstm.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DataError, match="no result matches these predictions; evaluate lstm again"):
        write_report(run_dir, run_dir / "report.html")


def test_a_folder_or_file_without_results_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such results file"):
        write_report(tmp_path, tmp_path / "report.html")
    (tmp_path / "results.json").write_text('{"format": 2, "results": []}')
    for path in (tmp_path, tmp_path / "results.json"):
        with pytest.raises(DataError, match="contains no results"):
            write_report(path, tmp_path / "report.html")


@pytest.mark.parametrize("module", ["altair", "tomli_w", "typst"])
def test_missing_extra_names_what_to_install(run_dir, module):
    # In a process of its own, since modules that are loaded already would not be missed.
    script = """
import pathlib, sys
sys.modules[sys.argv[2]] = None
from plaudit.errors import MissingExtraError
from plaudit.report.write import write_report
try:
    write_report(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]) / "report.html")
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, run_dir, module], capture_output=True, text=True, check=True)
    assert done.stdout == f"a report needs {module}: pip install 'plaudit[report]'\n"


def test_unwritable_place_is_an_output_error(run_dir):
    with pytest.raises(OutputError):
        write_report(run_dir, run_dir / "results.json" / "report.html")

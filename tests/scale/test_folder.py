import json
import threading

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from plaudit.data.formats.find import find_files
from plaudit.errors import DataError, OutputError
from plaudit.predictor import load
from plaudit.scale import job, local
from plaudit.scale.folder import score_folder
from tests.conftest import toy_csv, toy_reviews

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def predictor(toy_bow_folder):
    return load(toy_bow_folder)


@pytest.fixture
def inputs(tmp_path):
    """Three files of 60, 40 and 20 toy reviews, each in a format of its own."""
    folder = tmp_path / "in"
    folder.mkdir()
    toy_csv(folder / "a.csv")
    rows = [{"review": text, "sentiment": label} for text, label in toy_reviews(40)]
    (folder / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows[:20]), folder / "c.parquet")
    return folder


def score(predictor, addresses, out, **changes):
    options = {"suffix": ".parquet", "column": None, "drop": (), "rejects": True, "resume": False}
    options |= {"engine": local.score_parts, "console": QUIET} | changes
    addresses = [addresses] if not isinstance(addresses, list) else addresses
    files = find_files([str(address) for address in addresses])
    return score_folder(predictor, files, out, **options)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("part-*")}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_each_file_becomes_a_part_and_the_parts_one_table_in_order(predictor, inputs, tmp_path):
    summary = score(predictor, inputs, tmp_path / "out")
    assert (summary.rows, summary.parts, summary.rejected) == (120, 3, 0)
    parts = [f"part-{number:05d}.parquet" for number in range(3)]
    assert names(tmp_path / "out") == ["_SUCCESS.json", "_done", "_job.json", *parts]
    table = pyarrow.dataset.dataset(tmp_path / "out").to_table()
    assert table["review"].to_pylist() == [text for num in (60, 40, 20) for text, _ in toy_reviews(num)]
    assert table["predicted"].to_pylist() == table["sentiment"].to_pylist()
    assert json.loads((tmp_path / "out" / "_SUCCESS.json").read_text()) == summary.model_dump()
    assert summary.model_digest == predictor.digest


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".tsv"])
def test_parts_come_in_each_format(predictor, inputs, tmp_path, suffix):
    score(predictor, inputs, tmp_path / "out", suffix=suffix, drop=["sentiment"])
    (first,) = find_files([str(tmp_path / "out" / f"part-00000{suffix}")])
    from plaudit.data.formats.open import column_names

    assert column_names(first.location) == ["review", "predicted", "probability_negative", "probability_positive"]


def write_groups(path, *, rows=60, group=10):
    texts, labels = zip(*toy_reviews(rows), strict=True)
    pq.write_table(pa.table({"id": range(rows), "text": texts, "label": labels}), path, row_group_size=group)
    return path


def test_a_large_parquet_file_is_cut_between_row_groups_and_keeps_its_types(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "PART_BYTES", 3000)  # two row groups of ten reviews
    path = write_groups(tmp_path / "large.parquet")
    assert score(predictor, path, tmp_path / "out", drop=["text"]).parts == 3
    table = pq.read_table(tmp_path / "out")
    assert table.column_names == ["id", "label", "predicted", "probability_negative", "probability_positive"]
    assert table["id"].to_pylist() == list(range(60))
    whole = local.score_file(
        predictor,
        *find_files([str(path)]),
        tmp_path / "whole.parquet",
        column=None,
        drop=["text"],
        rejects=True,
        console=QUIET,
    )
    assert whole.rows == 60
    assert pq.read_table(tmp_path / "whole.parquet")["probability_positive"] == table["probability_positive"]


def test_the_number_of_threads_changes_no_byte(predictor, inputs, tmp_path, monkeypatch):
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("PLAUDIT_THREADS", threads)
        score(predictor, inputs, tmp_path / threads)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "5")


def test_unreadable_rows_are_written_to_a_side_file_with_reasons(predictor, inputs, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAUDIT_THREADS", "1")
    with (inputs / "a.csv").open("a") as file:
        file.write("one,two,three\n")
    (inputs / "b.jsonl").write_text('{\n{"review": "lovely", "sentiment": null}\n')
    summary = score(predictor, inputs, tmp_path / "out")
    assert (summary.rows, summary.rejected) == (81, 2)
    rejected = sorted((tmp_path / "out" / "_rejected").iterdir())
    assert [path.name for path in rejected] == ["part-00000.jsonl", "part-00001.jsonl"]
    first, second = (json.loads(path.read_text()) for path in rejected)
    assert first == {
        "file": str(inputs / "a.csv"),
        "row": 61,
        "reason": "has 3 cells where the header has 2; put quotes around cells that hold ','",
        "content": "one,two,three",
    }
    assert (second["row"], second["content"]) == (1, "{\n")
    with pytest.raises(DataError, match=r"a\.csv: row 61 has 3 cells"):
        score(predictor, inputs, tmp_path / "strict", rejects=False)


def test_a_job_in_which_no_row_can_be_read_fails(predictor, tmp_path):
    (tmp_path / "a.csv").write_text("text,id\nlovely\n")
    with pytest.raises(DataError, match=r"a\.csv: no row of the input can be scored; .*_rejected says why"):
        score(predictor, tmp_path / "a.csv", tmp_path / "out")
    assert not (tmp_path / "out" / "_SUCCESS.json").exists()


class CutOffError(Exception):
    pass


def after(number):
    """An engine that is cut off after some parts."""

    def engine(predictor, folder, parts, progress):
        local.score_parts(predictor, folder, parts[:number], progress)
        raise CutOffError

    return engine


def test_a_resumed_job_ends_as_one_that_was_not_cut_off_and_scores_nothing_twice(predictor, inputs, tmp_path):
    score(predictor, inputs, tmp_path / "whole")
    with pytest.raises(CutOffError):
        score(predictor, inputs, tmp_path / "out", engine=after(1))
    (tmp_path / "out" / ".part-00001.parquet.x.tmp").write_text("what a killed process was at")
    before = (tmp_path / "out" / "part-00000.parquet").stat().st_mtime_ns
    summary = score(predictor, inputs, tmp_path / "out", resume=True)
    assert (summary.rows, summary.rows_of_this_run) == (120, 60)
    assert (tmp_path / "out" / "part-00000.parquet").stat().st_mtime_ns == before
    assert names(tmp_path / "out") == names(tmp_path / "whole")
    assert contents(tmp_path / "out").keys() == contents(tmp_path / "whole").keys()
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert score(predictor, inputs, tmp_path / "out", resume=True).rows_of_this_run == 0


def test_a_part_that_was_lost_or_cut_short_is_scored_again(predictor, inputs, tmp_path):
    score(predictor, inputs, tmp_path / "out")
    expected = contents(tmp_path / "out")
    (tmp_path / "out" / "part-00000.parquet").unlink()
    (tmp_path / "out" / "part-00001.parquet").write_bytes(b"PAR1")
    assert score(predictor, inputs, tmp_path / "out", resume=True).rows_of_this_run == 100
    assert contents(tmp_path / "out") == expected


def test_a_file_that_was_mended_before_its_turn_does_not_hinder_going_on(predictor, inputs, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAUDIT_THREADS", "1")
    whole = (inputs / "c.parquet").read_bytes()
    (inputs / "c.parquet").write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"c\.parquet: not readable as \.parquet"):
        score(predictor, inputs, tmp_path / "out")
    (inputs / "c.parquet").write_bytes(whole)
    summary = score(predictor, inputs, tmp_path / "out", resume=True)
    assert (summary.rows, summary.rows_of_this_run) == (120, 20)


def test_a_folder_that_is_not_empty_is_not_touched_without_resume(predictor, inputs, tmp_path):
    score(predictor, inputs, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(OutputError, match="out: is not empty; name a new folder, or give --resume to continue"):
        score(predictor, inputs, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="mine: is not empty and holds no job to resume"):
        score(predictor, inputs, tmp_path / "mine", resume=True)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"suffix": ".csv"}, "--format"),
        ({"drop": ["sentiment"]}, "the columns"),
        ({"rejects": False}, "--on-error"),
    ],
)
def test_a_job_is_not_resumed_with_other_options(predictor, inputs, tmp_path, changes, what):
    with pytest.raises(CutOffError):
        score(predictor, inputs, tmp_path / "out", engine=after(1))
    with pytest.raises(OutputError, match=f"out: was begun with other settings, {what} differs; name a new folder"):
        score(predictor, inputs, tmp_path / "out", resume=True, **changes)


def test_a_job_is_not_resumed_with_another_model_or_other_inputs(predictor, toy_bow_folder, inputs, tmp_path):
    with pytest.raises(CutOffError):
        score(predictor, inputs, tmp_path / "out", engine=after(1))
    with pytest.raises(OutputError, match="the model differs"):
        score(load("bow"), inputs, tmp_path / "out", resume=True)
    with pytest.raises(OutputError, match="--abstain-below differs"):
        score(load(toy_bow_folder, abstain_below=0.9), inputs, tmp_path / "out", resume=True)
    with pytest.raises(OutputError, match="the list of input files differs"):
        score(predictor, inputs / "a.csv", tmp_path / "out", resume=True)
    toy_csv(inputs / "a.csv", 30)
    with pytest.raises(OutputError, match=r"a\.csv has changed since it was scored"):
        score(predictor, inputs, tmp_path / "out", resume=True)


def test_a_later_file_of_other_columns_is_named(predictor, tmp_path):
    (tmp_path / "a.csv").write_text("text,id\nlovely,1\n")
    (tmp_path / "b.csv").write_text("text\ndull\n")
    with pytest.raises(DataError, match=r"b\.csv: no column 'id'; columns: 'text'"):
        score(predictor, [tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "out")
    with pytest.raises(DataError, match=r"a\.csv: has a column 'id', the first file only 'text'"):
        score(predictor, [tmp_path / "b.csv", tmp_path / "a.csv"], tmp_path / "out2")
    with pytest.raises(DataError, match=r"a\.csv: no column 'ID'; .* did you mean 'id'\?"):
        score(predictor, tmp_path / "a.csv", tmp_path / "out3", drop=["ID"])


def test_a_later_parquet_file_without_a_column_is_named(predictor, tmp_path):
    pq.write_table(pa.table({"text": ["lovely"], "stars": [5]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["dull"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: no column 'stars'"):
        score(predictor, [tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "out")


def test_parts_that_an_engine_left_where_nobody_sees_them_are_missed(predictor, inputs, tmp_path):
    with pytest.raises(OutputError, match=r"part-00000\.parquet is not there; do all nodes see this folder"):
        score(predictor, inputs, tmp_path / "out", engine=lambda *_: None)
    assert not (tmp_path / "out" / "_SUCCESS.json").exists()


def test_an_error_stops_every_thread_and_leaves_only_whole_parts(predictor, inputs, tmp_path):
    for number in range(20):
        toy_csv(inputs / f"d{number:02d}.csv", 50)
    (inputs / "b.jsonl").write_bytes(b"\0")
    with pytest.raises(DataError, match=r"b\.jsonl: this is a binary"):
        score(predictor, inputs, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix == ".tmp"]
    # Those that score are of an executor that is shut down, not the pool that all models share.
    assert not [each.name for each in threading.enumerate() if each.name.startswith("plaudit-")]


def test_files_of_another_file_system_are_scored(predictor, tmp_path):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/scored/a.csv", b"text\nlovely\n")
    memory.pipe("/scored/b.csv", b"text\ndull\n")
    score(predictor, "memory:///scored", tmp_path / "out")
    assert pq.read_table(tmp_path / "out")["predicted"].to_pylist() == ["positive", "negative"]


def test_texts_are_scored_as_by_the_predictor(predictor, tmp_path):
    texts = ["a lovely film", None, "", " \t", "\u00a0", "dull, dull", "ärgerlich ☃"]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    summary = score(predictor, tmp_path / "a.parquet", tmp_path / "out")
    assert (summary.rows, summary.rows_without_text) == (7, 4)
    scored = pq.read_table(tmp_path / "out").to_pylist()
    probabilities = predictor.predict_proba([texts[i] for i in (0, 5, 6)])
    assert [scored[i]["probability_positive"] for i in (0, 5, 6)] == pytest.approx(probabilities[:, 1].tolist())
    assert [scored[i]["predicted"] for i in (0, 5)] == ["positive", "negative"]
    assert all(scored[i]["predicted"] is scored[i]["probability_negative"] is None for i in (1, 2, 3, 4))


def test_a_model_that_abstains_gives_no_verdict_but_probabilities(predictor, toy_bow_folder, inputs, tmp_path):
    surest = predictor.predict_proba([text for text, _ in toy_reviews(60)]).max(axis=1)
    limit = float(sorted(surest)[30])
    summary = score(load(toy_bow_folder, abstain_below=limit), inputs, tmp_path / "out")
    table = pq.read_table(tmp_path / "out").to_pylist()
    unsure = [max(row["probability_negative"], row["probability_positive"]) < limit for row in table]
    assert [row["predicted"] is None for row in table] == unsure
    assert 0 < summary.abstained == sum(unsure) < 120


def test_the_lstm_that_ships_is_scored_the_same_in_any_part(inputs, tmp_path):
    lstm = load("lstm")
    score(lstm, inputs, tmp_path / "all")
    score(lstm, inputs / "c.parquet", tmp_path / "one")
    assert pq.read_table(tmp_path / "all" / "part-00002.parquet") == pq.read_table(tmp_path / "one")


def test_output_that_is_a_file_is_refused(predictor, inputs, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="out: cannot be written to"):
        score(predictor, inputs, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"

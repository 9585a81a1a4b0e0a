import gzip
import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from undertone.data import files
from undertone.data.files import column_names, open_batches
from undertone.errors import DataError

ROWS = [("1", 'Fine, "really".'), ("0", "Two\nlines ☃"), ("1", "Third")]
CSV = 'label,text,more\n1,"Fine, ""really"".",a\n0,"Two\nlines ☃",b\n1,Third,c\n'


def write(tmp_path, name):
    """The same three rows in the format that the name says."""
    path = tmp_path / name
    if name.endswith(".parquet"):
        table = pa.table(
            {
                "label": [int(label) for label, _ in ROWS],
                "text": [text for _, text in ROWS],
                "more": [[1]] * 3,
            }
        )
        pa.parquet.write_table(table, path)
        return path
    content = CSV.encode()
    if ".tsv" in name:
        content = content.replace(b"Fine, ", b"Fine; ").replace(b",", b"\t").replace(b";", b",")
    if "json" in name:
        content = b"\n\n".join(json.dumps({"label": int(label), "text": text}).encode() for label, text in ROWS)
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    return path


def read(path, columns=("label", "text"), **options):
    return pa.Table.from_batches(open_batches(path, columns, **options)).to_pylist()


def error_of(path, *columns):
    with pytest.raises(DataError) as caught:
        read(path, columns or ("label", "text"))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def csv_file(tmp_path, content, name="reviews.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "name",
    [
        "r.csv",
        "r.csv.gz",
        "R.CSV",
        "r.tsv",
        "r.tsv.gz",
        "r.jsonl",
        "r.jsonl.gz",
        "r.ndjson",
        "r.json",
        "r.parquet",
    ],
)
def test_every_format_yields_the_same_rows(tmp_path, name):
    path = write(tmp_path, name)
    assert column_names(path)[:2] == ["label", "text"]
    assert [(row["label"], row["text"]) for row in read(path)] == ROWS
    assert [list(row) for row in read(path, ["text", "label"])] == [["text", "label"]] * 3


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.parquet"])
def test_batches_are_bounded(tmp_path, name):
    batches = list(open_batches(write(tmp_path, name), ["text"], batch_rows=2))
    assert [len(batch) for batch in batches] == [2, 1]
    assert batches[0].schema == pa.schema([("text", pa.string())])


def test_a_file_of_many_blocks_is_streamed_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 4096)
    path = csv_file(tmp_path, "text,label\n" + "".join(f'"row, {i}\n",{i % 2}\n' for i in range(3000)))
    assert [row["text"] for row in read(path)] == [f"row, {i}\n" for i in range(3000)]
    path.write_bytes(path.read_bytes() + b"a,b,c\n")
    assert "row 3001 has 3 cells where the header has 2" in error_of(path)


@pytest.mark.parametrize("long_row", [0, 1, 700, 1499])
def test_a_row_longer_than_a_block_costs_no_other_row(tmp_path, monkeypatch, long_row):
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 32 * 1024)
    rows = [f"row {i}," + "x" * (20_000 * (i == long_row)) for i in range(1500)]
    path = csv_file(tmp_path, "text,label\n" + "".join(f'"{row}",1\n' for row in rows))
    assert [row["text"] for row in read(path, batch_rows=64)] == rows


@pytest.mark.parametrize("name", ["r.csv", "r.jsonl", "r.parquet"])
def test_review_of_ten_million_characters_is_read(tmp_path, name):
    text = "very " * 2_000_000
    path = tmp_path / name
    if name == "r.parquet":
        pa.parquet.write_table(pa.table({"text": [text]}), path)
    else:
        path.write_text(f"text\n{text}\n" if name == "r.csv" else json.dumps({"text": text}))
    assert read(path, ["text"])[0]["text"] == text


def test_byte_order_mark_and_windows_line_ends_are_no_content(tmp_path):
    path = csv_file(tmp_path, b"\xef\xbb\xbftext,label\r\nfine,1\r\n")
    assert read(path) == [{"label": "1", "text": "fine"}]


def test_empty_cells_are_empty_and_nulls_are_null(tmp_path):
    assert read(csv_file(tmp_path, 'text,label\n,1\n"",NA\n')) == [
        {"label": "1", "text": ""},
        {"label": "NA", "text": ""},
    ]
    path = csv_file(tmp_path, '{"text": null, "label": 1.0}\n{"text": "a"}\n{"label": true}', "r.jsonl")
    assert read(path) == [
        {"label": "1", "text": None},
        {"label": None, "text": "a"},
        {"label": "true", "text": None},
    ]


def test_header_alone_has_no_rows(tmp_path):
    assert list(open_batches(csv_file(tmp_path, "text,label"), ["text"])) == []
    assert list(open_batches(csv_file(tmp_path, "text,label\n"), ["text"])) == []


def test_unknown_column_lists_the_columns_and_suggests_one(tmp_path):
    message = error_of(write(tmp_path, "r.csv"), "Txt")
    assert "no column 'Txt'; columns: 'label', 'text', 'more'; did you mean 'text'?" in message
    assert "did you mean" not in error_of(write(tmp_path, "r.csv"), "quux")


def test_repeated_column_is_refused(tmp_path):
    assert "column 'text' occurs 2 times" in error_of(csv_file(tmp_path, "text,text,label\na,b,1\n"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"text,label\nfine,1\nbad,0,more\n", "row 2 has 3 cells where the header has 2"),
        (b'text,label\nfine,1\n"bad,0\nfine,1\n', "row 2 has 1 cells where the header has 2"),
        (b"text,label\nfine,1\ncaf\xe9,0\n", "row 2, column 'text' is not UTF-8; save it as UTF-8"),
        (b"t\xe9xt,label\nfine,1\n", "the header is not UTF-8"),
        (bytes(range(256)), "binary or UTF-16"),
        ("text,label\nfine,1\n".encode("utf-16"), "binary or UTF-16"),
        (b"PK\x03\x04\x14", "zip archive"),
        (gzip.compress(b"text,label\nfine,1\n", mtime=0), "let its name end in .gz"),
        (b'"' + b"x" * 200_000 + b"\n1\n", "the header is not readable"),
    ],
)
def test_unusable_csv_says_why(tmp_path, content, why):
    assert why in error_of(csv_file(tmp_path, content))


def test_row_number_of_bad_bytes_counts_across_batches(tmp_path):
    path = csv_file(tmp_path, b"text\n" + b"fine\n" * 10 + b"caf\xe9\n")
    with pytest.raises(DataError, match="row 11, column 'text' is not UTF-8"):
        list(open_batches(path, ["text"], batch_rows=3))


def test_row_longer_than_the_bound_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 1 << 20)
    assert "MiB long; is a quote left open?" in error_of(
        csv_file(tmp_path, 'text,label\nfine,1\n"' + "bad,0\n" * 400_000)
    )
    long_line = json.dumps({"text": "x" * (2 << 20)})
    assert "row 1 is longer than 1 MiB" in error_of(csv_file(tmp_path, long_line, "r.jsonl"), "text")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b"\x00\x01", "binary"),
        (b'{"text": "a", "label": 1}\n{"text": \n', "row 2 is not a JSON object"),
        (b'[{"text": "a"}]', "row 1 is not a JSON object; write one a line"),
        (b"[" * 100_000, "row 1 is not a JSON object"),
        (b'{"text": "a", "label": 1}\n{"text": "caf\xe9"}', "row 2 is not UTF-8"),
        (b'{"text": ["a"], "label": 1}', "row 1, field 'text' is a JSON list"),
        (b'{"text": "\\ud83d", "label": 1}', "half a surrogate pair"),
        (b'{"review": "a", "label": 1}', "no column 'text'; columns: 'review', 'label'"),
    ],
)
def test_unusable_json_lines_say_why(tmp_path, content, why):
    assert why in error_of(csv_file(tmp_path, content, "r.jsonl"))


def test_unusable_parquet_says_why(tmp_path):
    assert "not readable as .parquet" in error_of(csv_file(tmp_path, "text,label\n", "r.parquet"))
    assert "column 'more' holds list" in error_of(write(tmp_path, "t.parquet"), "more")
    pa.parquet.write_table(pa.table({"text": pa.array([b"fine", b"caf\xe9"], pa.binary())}), tmp_path / "b.parquet")
    assert "row 2, column 'text' is not UTF-8" in error_of(tmp_path / "b.parquet", "text")


def test_categories_and_large_strings_of_parquet_are_strings(tmp_path):
    path = tmp_path / "r.parquet"
    table = pa.table(
        {
            "label": pa.array(["a", "b", None]).dictionary_encode(),
            "text": pa.array(["x", "y", "z"], pa.large_string()),
        }
    )
    pa.parquet.write_table(table, path)
    assert [row["label"] for row in read(path)] == ["a", "b", None]


@pytest.mark.parametrize("name", ["r.csv.gz", "r.jsonl.gz"])
def test_truncated_gzip_is_named(tmp_path, name):
    path = write(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-20])
    assert "not a whole gzip file" in error_of(path)
    path.write_bytes(b"text,label\nfine,1\n")
    assert "not a whole gzip file" in error_of(path)


@pytest.mark.parametrize("name", ["reviews.xlsx", "reviews", "reviews.parquet.gz", "reviews.txt"])
def test_unknown_kind_of_file_lists_the_known(tmp_path, name):
    assert "give .csv, .tsv or .jsonl" in error_of(csv_file(tmp_path, "text\n", name))


def test_missing_file_is_named(tmp_path):
    for name in ("absent.csv", "absent.jsonl", "absent.parquet"):
        assert error_of(tmp_path / name).endswith("no such file")

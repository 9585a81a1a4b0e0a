import bz2
import gzip
import json
import lzma

import pyarrow as pa
import pyarrow.parquet
import pytest

from plaudit.data.formats import rows as limits
from plaudit.data.formats.open import column_names, open_batches
from plaudit.errors import DataError

ROWS = [("1", 'Fine, "really".'), ("0", "Two\nlines ☃"), ("1", "Third")]
CSV = 'label,text,more\n1,"Fine, ""really"".",a\n0,"Two\nlines ☃",b\n1,Third,c\n'
COMPRESSORS = {
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    ".lz4": lambda content: pa.compress(content, codec="lz4", asbytes=True),
}


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
    path.write_bytes(COMPRESSORS.get(path.suffix, bytes)(content))
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
        "r.csv.bz2",
        "r.csv.xz",
        "r.csv.zst",
        "r.jsonl.lz4",
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
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 4096)
    path = csv_file(tmp_path, "text,label\n" + "".join(f'"row, {i}\n",{i % 2}\n' for i in range(3000)))
    assert [row["text"] for row in read(path)] == [f"row, {i}\n" for i in range(3000)]
    path.write_bytes(path.read_bytes() + b"a,b,c\n")
    assert "row 3001 has 3 cells where the header has 2" in error_of(path)


@pytest.mark.parametrize("long_row", [0, 1, 700, 1499])
def test_a_row_longer_than_a_block_costs_no_other_row(tmp_path, monkeypatch, long_row):
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 32 * 1024)
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
        (b'text,label\nfine,1\n"bad,0\nfine\n', "row 2 has 1 cells where the header has 2"),
        (b"text,label\nfine,1\ncaf\xff,0\n", "row 2, column 'text' is not UTF-8; save it as UTF-8"),
        (b"t\xffxt,label\nfine,1\n", "the header is not UTF-8"),
        (bytes(range(256)), "binary file, or in UTF-16"),
        (b"PK\x03\x04\x14", "zip archive"),
        (gzip.compress(b"text,label\nfine,1\n", mtime=0), "let its name end in .gz"),
        (b'"' + b"x" * 200_000 + b"\n1\n", "the header is not readable"),
    ],
)
def test_unusable_csv_says_why(tmp_path, content, why):
    assert why in error_of(csv_file(tmp_path, content))


def test_row_number_of_bad_bytes_counts_across_batches(tmp_path):
    path = csv_file(tmp_path, b"text\n" + b"fine\n" * 10 + b"caf\xff\n")
    with pytest.raises(DataError, match="row 11, column 'text' is not UTF-8"):
        list(open_batches(path, ["text"], batch_rows=3))


def test_row_longer_than_the_bound_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 1 << 20)
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
        (b'{"text": "a", "label": 1}\n{"text": "caf\xff"}', "row 2 is not UTF-8"),
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


KINDS = {"r.csv.gz": "gzip", "r.jsonl.gz": "gzip", "r.csv.bz2": "bz2", "r.tsv.xz": "xz", "r.jsonl.zst": "Zstandard"}


@pytest.mark.parametrize("name", KINDS)
def test_a_truncated_or_foreign_compressed_file_is_named(tmp_path, name):
    path = write(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-20])
    assert f"not a complete {KINDS[name]} file" in error_of(path)
    path.write_bytes(b"text,label\nfine,1\n")
    assert f"not a complete {KINDS[name]} file" in error_of(path)


def test_compressed_files_that_are_joined_are_read_to_the_end(tmp_path):
    for suffix, compress in COMPRESSORS.items():
        path = tmp_path / f"r.csv{suffix}"
        path.write_bytes(compress(b"text\nfirst\n") + compress(b"second\n"))
        assert [row["text"] for row in read(path, ["text"])] == ["first", "second"], suffix


def rejected(path, columns, **options):
    """What is read, and the rows that are rejected."""
    found = []
    rows = read(path, columns, log=limits.ReadLog(found.append), **options)
    return [list(row.values()) for row in rows], found


def test_rows_of_csv_that_cannot_be_read_are_rejected_in_order(tmp_path):
    path = csv_file(
        tmp_path,
        b'text,label\nfine,1\nbad,0,more\n\ncaf\xff,0\n"two\nlines",1\nshort\nfine,2\n"open,1\nnever\nended,2\n',
    )
    for batch_rows in (1, 2, 100):
        rows, wrong = rejected(path, ["text", "label"], batch_rows=batch_rows)
        assert rows == [["fine", "1"], ["two\nlines", "1"], ["fine", "2"]]
        assert [row.row for row in wrong] == [2, 3, 5, 7]
        assert [row.reason.partition(";")[0] for row in wrong] == [
            "has 3 cells where the header has 2",
            "column 'text' is not UTF-8",
            "has 1 cells where the header has 2",
            "has 1 cells where the header has 2",
        ]
        assert wrong[0].content == "bad,0,more"
        assert json.loads(wrong[1].content) == {"text": r"caf\xff", "label": "0"}
        assert wrong[3].reason.endswith("it is 3 lines long: is a quote left open?")


def test_rejected_rows_are_logged_once_and_with_their_numbers_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 32 * 1024)
    lines = [f"row {i},1,2" if i % 7 == 3 else f"row {i},1" for i in range(1500)]
    lines[1200] = "x" * 20_000 + ",1"  # longer than a block: the file is read twice
    lines[1201] = "r\xff,1"
    path = csv_file(tmp_path, ("text,label\n" + "\n".join(lines) + "\n").encode("latin-1"))
    rows, wrong = rejected(path, ["text"], batch_rows=64)
    expected = sorted({i + 1 for i in range(1500) if i % 7 == 3} - {1201, 1202} | {1202})
    assert [row.row for row in wrong] == expected
    assert len(rows) == 1500 - len(expected)


def test_lines_that_are_no_json_objects_are_rejected_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 1000)
    long = json.dumps({"text": "x" * 5000}).encode()
    lines = [
        b"{",
        b'{"text": "fine"}',
        b"caf\xff",
        long,
        b'{"text": ["a"]}',
        b'{"text": "\\ud83d"}',
        b'{"text": "end"}',
    ]
    rows, wrong = rejected(csv_file(tmp_path, b"\n".join(lines), "r.jsonl"), ["text"])
    assert rows == [["fine"], ["end"]]
    assert [row.row for row in wrong] == [1, 3, 4, 5, 6]
    assert [row.reason.split(";")[0] for row in wrong] == [
        "is not a JSON object",
        "is not UTF-8",
        "is longer than 0 MiB",
        "field 'text' is a JSON list",
        "field 'text' contains half a surrogate pair",
    ]


def test_rows_of_parquet_that_are_not_utf8_are_rejected(tmp_path):
    path = tmp_path / "r.parquet"
    mislabelled = pa.array([b"fine", b"caf\xe9", b"end"]).view(pa.string())
    pa.parquet.write_table(pa.table({"id": [1, 2, 3], "text": mislabelled}), path)
    rows, wrong = rejected(path, ["id", "text"], keep_types_of=["id"])
    assert rows == [[1, "fine"], [3, "end"]]
    assert [(row.row, row.reason) for row in wrong] == [(2, "column 'text' is not UTF-8; save it as UTF-8")]


def test_row_groups_are_read_alone_and_count_from_the_start_of_the_file(tmp_path):
    path = tmp_path / "r.parquet"
    pa.parquet.write_table(pa.table({"text": [b"a", b"b", b"c", b"\xe9"]}), path, row_group_size=1)
    rows, wrong = rejected(path, ["text"], row_groups=(2, 4))
    assert rows == [["c"]]
    assert [row.row for row in wrong] == [4]


def test_the_log_counts_the_bytes_read_of_the_file(tmp_path):
    for name in ("r.csv.gz", "r.jsonl", "r.tsv.zst"):
        path = write(tmp_path, name)
        log = limits.ReadLog()
        list(open_batches(path, ["text"], log=log))
        assert log.bytes_read == path.stat().st_size


@pytest.mark.parametrize("name", ["reviews.docx", "reviews", "reviews.parquet.gz"])
def test_unknown_kind_of_file_lists_the_known(tmp_path, name):
    assert "give .csv, .tsv, .txt or .jsonl" in error_of(csv_file(tmp_path, "text\n", name))


def test_missing_file_is_named(tmp_path):
    for name in ("absent.csv", "absent.jsonl", "absent.parquet"):
        assert error_of(tmp_path / name).endswith("no such file")

"""Files as people have them: each is read whole and right, or refused with the option that settles it."""

import csv
import io
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.data.formats import dialect
from plaudit.data.formats.compressed import START_BYTES
from plaudit.data.formats.open import column_names, find_format, open_batches
from plaudit.data.formats.read_options import ReadOptions
from plaudit.data.formats.rows import ReadLog
from plaudit.errors import DataError, SettingsError
from tests.data.formats.test_open import COMPRESSORS

ROWS = [["text", "label"], ["Ein schöner Film; und mehr", "pos"], ["Trop long, « déjà vu »", "neg"], ['"Well"', "neg"]]
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
ENCODINGS = ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"]


def write(tmp_path, content, name="r.csv"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, *, log=None, **options):
    """The cells of all rows."""
    options = ReadOptions(**options)
    columns = column_names(path, options)
    return [list(row.values()) for batch in open_batches(path, columns, options, log=log) for row in batch.to_pylist()]


def delimited(rows, separator, **options):
    file = io.StringIO()
    csv.writer(file, delimiter=separator, **options).writerows(rows)
    return file.getvalue()


def error_of(path, **options):
    with pytest.raises(DataError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


@pytest.mark.parametrize("compression", ["", *COMPRESSORS])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("separator", SEPARATORS)
def test_separators_encodings_and_compressions_make_no_difference(tmp_path, separator, encoding, compression):
    content = delimited(ROWS, SEPARATORS[separator]).encode(encoding)
    for ending in (".csv", ".tsv", ".txt"):
        path = write(tmp_path, COMPRESSORS.get(compression, bytes)(content), f"r{ending}{compression}")
        assert read(path) == ROWS[1:]
        assert column_names(path) == ROWS[0]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", SEPARATORS.values())
def test_line_ends_make_no_difference(tmp_path, separator, line_end):
    path = write(tmp_path, delimited(ROWS, separator, lineterminator=line_end))
    assert read(path) == ROWS[1:]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(st.text("ab ,;\t|'\"\n\\é☃", max_size=12), min_size=2, max_size=2), min_size=1, max_size=12),
    separator=st.sampled_from(list(SEPARATORS.values())),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_well_formed_files_with_the_usual_separator_are_read_exactly(tmp_path, rows, separator, line_end):
    content = delimited([["text", "label"], *rows], separator, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    # Where the separator is not the usual one of the ending, it is given, since cells may hold anything.
    path = write(tmp_path, content.encode())
    given = {} if separator == "," else {"separator": separator}
    assert read(path, quoting="double" if separator == "\t" else None, **given) == rows


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.text("ab ,;'\"", min_size=1, max_size=12).map(lambda text: [text, "x"]), min_size=3, max_size=9)
)
def test_bare_quotes_between_tabs_never_merge_rows(tmp_path, rows):
    path = write(tmp_path, "\n".join("\t".join(row) for row in [["text", "label"], *rows]) + "\n", "r.tsv")
    try:
        found = read(path)
    except DataError as error:
        assert "quot" in str(error)
    else:
        assert len(found) == len(rows)


def test_bare_quotes_at_the_start_of_cells_are_text(tmp_path):
    content = 'text\tlabel\n"Great start, then nothing\tneg\n"Loved it all\tpos\nFine\tpos\nDull\tneg\n'
    path = write(tmp_path, content, "r.tsv")
    assert read(path) == [line.split("\t") for line in content.splitlines()[1:]]
    assert find_format(path).dialect.quoting == "none"
    path = write(tmp_path, content.replace(", ", " ").replace("\t", ","))
    assert [row[0] for row in read(path)] == ['"Great start then nothing', '"Loved it all', "Fine", "Dull"]


def test_a_bare_quote_far_down_is_never_silent(tmp_path):
    lines = [f"row {i}\t{i % 2}" for i in range(50_000)]
    lines[40_000], lines[40_007] = '"Great start\t1', '"Loved it\t0'
    content = "text\tlabel\n" + "\n".join(lines) + "\n"
    assert content.index('"') > START_BYTES
    path = write(tmp_path, content, "r.tsv")
    assert "row 40001 has a cell that holds a tab and a line break" in error_of(path)
    rejected = []
    kept = read(path, log=ReadLog(rejected.append))
    assert [row.row for row in rejected] == [40_001]
    assert len(kept) == len(lines) - 8
    assert read(path, quoting="none") == [line.split("\t") for line in lines]
    assert len(read(path, quoting="double")) == len(lines) - 7


def test_a_quote_that_merges_rows_of_a_file_with_quotes_is_refused(tmp_path):
    path = write(tmp_path, 'text,label\n"a, b",1\n"Great start,1\n"Loved it,0\n"fine, too",1\n')
    message = error_of(path)
    assert "row 2: a quoted cell spans lines and goes on after its closing quote" in message
    assert "--quoting" in message
    assert read(path, quoting="double")[0] == ["a, b", "1"]


def test_backslashes_before_quotes_that_may_mean_nothing_are_refused(tmp_path):
    lines = ['"\t0', '\\"\t0', '"\t0']
    content = "\n".join(["text\tlabel", *lines]) + "\n"
    for name in ("r.tsv", "r.csv"):
        path = write(tmp_path, content, name)
        assert "quotes may be escaped by backslashes or mean nothing; say how they are meant" in error_of(path)
        assert read(path, quoting="none") == [line.split("\t") for line in lines]


def test_bare_quotes_in_one_column_are_text(tmp_path):
    texts = ['"Great film', '"Loved it', "Fine"]
    assert read(write(tmp_path, "\n".join(["text", *texts]) + "\n")) == [[text] for text in texts]


def test_quotes_after_text_are_harmless(tmp_path):
    assert read(write(tmp_path, 'text,label\n5" tall,1\n"Foo" bar,1\n"a, ""b""",0\n')) == [
        ['5" tall', "1"],
        ["Foo bar", "1"],
        ['a, "b"', "0"],
    ]


@pytest.mark.parametrize("separator", SEPARATORS.values())
def test_quotes_escaped_by_backslashes_are_read(tmp_path, separator):
    rows = [["text", "label"], ['A film, "The Well", I liked.', "1"], ['It says: "the end"', "1"], ["Dull.", "0"]]
    content = delimited(rows, separator, quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\", lineterminator="\n")
    assert '\\"' in content
    path = write(tmp_path, content)
    assert read(path) == rows[1:]
    assert find_format(path).dialect.quoting == "backslash"
    assert read(path, quoting="backslash") == rows[1:]


def test_a_backslash_at_the_end_of_a_quoted_cell_is_a_backslash(tmp_path):
    assert read(write(tmp_path, 'text,label\n"C:\\",1\n"a",0\n')) == [["C:\\", "1"], ["a", "0"]]


def test_decimal_commas_and_commas_in_texts_do_not_separate(tmp_path):
    path = write(tmp_path, "text;score\nGood, really;4,5\nBad, so bad, awful;1,5\n")
    assert read(path) == [["Good, really", "4,5"], ["Bad, so bad, awful", "1,5"]]


def test_a_file_with_two_likely_separators_asks_which(tmp_path):
    path = write(tmp_path, "text;a|label\nfine;b|1\ndull;c|0\n")
    assert "may be separated by semicolons or vertical bars; say which (--separator" in error_of(path)
    assert read(path, separator="|") == [["fine;b", "1"], ["dull;c", "0"]]


def test_a_separator_of_ones_own(tmp_path):
    path = write(tmp_path, "text~label\nfine~1\n")
    assert read(path, separator="~") == [["fine", "1"]]
    assert find_format(path, ReadOptions(separator="tab")).dialect.separator == "\t"


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_line_by_which_excel_names_the_separator_is_no_row(tmp_path, encoding, line):
    path = write(tmp_path, f"{line}\r\ntext;label\r\nfine, so fine;1\r\n\r\nbad;0\r\nx\r\n".encode(encoding))
    assert column_names(path) == ["text", "label"]
    rejected = []
    assert read(path, log=ReadLog(rejected.append)) == [["fine, so fine", "1"], ["bad", "0"]]
    assert [row.row for row in rejected] == [3]
    assert column_names(path, ReadOptions(header=False)) == ["1", "2"]


def test_one_column_of_prose_stays_one_column(tmp_path):
    assert read(write(tmp_path, "text\nfine; very\ndull; not so\n")) == [["fine; very"], ["dull; not so"]]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.txt"])
def test_empty_lines_of_one_column_are_rows(tmp_path, name, line_end):
    path = write(tmp_path, line_end.join(["text", "A fine film", "", "Dull", "", ""]), name)
    assert read(path) == [["A fine film"], [""], ["Dull"], [""]]


def test_lines_of_text_are_texts_without_a_header(tmp_path):
    texts = ['A "fine" film, really', "", "Dull; so dull | awful", '"Odd', "Fine\u2028here"]
    path = write(tmp_path, "\n".join(texts) + "\n", "r.txt")
    assert read(path) == [[text] for text in texts]
    assert column_names(path) == ["text"]
    assert find_format(path).describe() == "one text a line, UTF-8"


@pytest.mark.parametrize("name", ["r.tsv", "r.csv", "r.txt"])
def test_a_missing_header_is_noticed_and_columns_are_numbered(tmp_path, name):
    path = write(tmp_path, "Loved this place.\t1\nDull food.\t0\nFine.\t1\n", name)
    assert "has no header, it seems: '1' of its first row stands below it too" in error_of(path)
    assert column_names(path, ReadOptions(header=False)) == ["1", "2"]
    assert read(path, header=False) == [["Loved this place.", "1"], ["Dull food.", "0"], ["Fine.", "1"]]
    assert read(path, header=True) == [["Dull food.", "0"], ["Fine.", "1"]]


def test_rows_of_a_file_without_header_count_from_the_first(tmp_path):
    path = write(tmp_path, "a,1\nb\nc,0\n")
    assert "row 2 has 1 cells" in error_of(path, header=False)


@pytest.mark.parametrize(
    "header", ["text,spam", "id,Review,5", "v1,v2", "comment,label", "a,b", ",text", "movie_id,This is a long header"]
)
def test_what_may_be_a_header_is_one(tmp_path, header):
    names = header.split(",")
    path = write(tmp_path, f"{header}\n" + "".join(f"{row}," * (len(names) - 1) + "spam\n" for row in range(3)))
    assert len(read(path)) == 3


def test_columns_without_a_name_are_numbered(tmp_path):
    path = write(tmp_path, "v1,v2,,,\nham,fine,,,\nspam,win now,,x,\n")
    assert column_names(path) == ["v1", "v2", "column_3", "column_4", "column_5"]
    assert read(path)[1] == ["spam", "win now", "", "x", ""]


def test_windows_text_that_is_not_western_stays_an_error_of_its_rows(tmp_path):
    for encoding, text in {
        "cp1251": "Хороший фильм",
        "cp1250": "Příliš žluťoučký",
        "cp1254": "Çok güzel bir şey ve ağır",
        "cp850": "schön und früh",
        "cp1253": "Πολύ καλή ταινία",
        "gbk": "这部电影很好看",
        "shift_jis": "とても良い映画です",
        "mac_roman": "très réussi",
    }.items():
        path = write(tmp_path, f"text,label\n{text},1\nfine,0\n".encode(encoding))
        message = error_of(path)
        assert "row 1, column 'text' is not UTF-8; save it as UTF-8, or name its encoding (--encoding" in message
        assert read(path, encoding=encoding) == [[text, "1"], ["fine", "0"]], encoding


def test_utf8_with_a_broken_row_is_not_taken_for_windows_text(tmp_path):
    path = write(tmp_path, "text,label\ncafé,1\n".encode() + b"caf\xe9,1\n")
    assert "row 2, column 'text' is not UTF-8" in error_of(path)


def test_windows_text_that_turns_out_to_be_utf8_is_refused(tmp_path):
    content = b"text,label\ncaf\xe9,1\n" + b"row,1\n" * START_BYTES + "café,0\n".encode()
    path = write(tmp_path, content)
    assert "begins as Windows-1252, but holds letters of UTF-8 further down" in error_of(path)
    assert read(path, encoding="cp1252")[-1] == ["cafÃ©", "0"]


def test_what_an_encoding_lacks_is_an_error_of_its_row(tmp_path):
    path = write(tmp_path, b"text,label\ncaf\xe9,1\nodd\x81,0\nfine,1\n")
    assert "row 2, column 'text' is not Windows-1252" in error_of(path, encoding="cp1252")
    rejected = []
    assert read(path, encoding="cp1252", log=ReadLog(rejected.append)) == [["café", "1"], ["fine", "1"]]
    assert [row.row for row in rejected] == [2]
    half = "text,label\nfine,1\n".encode("utf-16") + b"\x3d\xd8,\0" + b"0\0\n\0"
    assert "row 2, column 'text' is not UTF-16" in error_of(write(tmp_path, half))
    assert "is not UTF-16 (truncated data)" in error_of(write(tmp_path, half[:-1]))


def test_utf16_of_many_blocks_is_read_whole(tmp_path):
    rows = [[f"Größe {i} ☃", str(i % 2)] for i in range(30_000)]
    path = write(tmp_path, delimited([["text", "label"], *rows], ";").encode("utf-16"))
    assert read(path) == rows


def test_json_lines_in_other_encodings(tmp_path):
    for encoding in ("utf-16", "cp1252"):
        path = write(tmp_path, '{"text": "schön", "label": 1}\n'.encode(encoding), "r.jsonl")
        assert read(path) == [["schön", "1"]]


def test_fasttext_lines_are_labels_and_texts(tmp_path):
    content = "__label__2 A fine film\n__label__very_bad Dull, so dull\n\nno label\nat the end __label__2\n"
    path = write(tmp_path, content, "train.ft.txt")
    expected = [["2", "A fine film"], ["very_bad", "Dull, so dull"], ["", "no label"], ["2", "at the end"]]
    assert read(path) == expected
    path.write_text(content + "__label__1 __label__2 both\n")
    assert "row 6 has 2 labels; give each text one" in error_of(path)
    rejected = []
    assert read(path, log=ReadLog(rejected.append)) == expected
    assert [row.content for row in rejected] == ["__label__1 __label__2 both\n"]


def archive(tmp_path, members, name="archive.zip"):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member, content in members.items():
            file.writestr(member, content)
    return path


@pytest.mark.parametrize("member", ["r.csv", "folder/r.tsv", "r.txt"])
def test_the_only_table_in_a_zip_is_read(tmp_path, member):
    content = delimited(ROWS, ";").encode("cp1252")
    members = {member: content, "__MACOSX/._r.csv": b"x", "picture.png": b"x", "empty/": b""}
    path = archive(tmp_path, members, "r.csv.zip")
    assert read(path) == ROWS[1:]
    assert find_format(path).describe() == f"{member}: cells separated by semicolons, Windows-1252"


def test_a_zip_of_several_tables_asks_which(tmp_path):
    path = archive(tmp_path, {"train.csv": "text,label\nfine,1\n", "test.jsonl": '{"text": "dull"}'})
    assert "holds 'train.csv', 'test.jsonl'; choose one (--table" in error_of(path)
    assert read(path, table="train.csv") == [["fine", "1"]]
    assert read(path, table="test.jsonl") == [["dull"]]
    assert "holds no 'x.csv'" in error_of(path, table="x.csv")
    assert "holds no file that ends in" in error_of(archive(tmp_path, {"a.png": b"x"}))


def test_a_zip_that_is_none_or_cut_off_says_so(tmp_path):
    path = archive(tmp_path, {"r.csv": "text,label\nfine,1\n" * 1000})
    assert "not a complete zip archive" in error_of(write(tmp_path, path.read_bytes()[:100], "cut.zip"))
    damaged = bytearray(path.read_bytes())
    damaged[60] ^= 0xFF
    assert str(tmp_path) in error_of(write(tmp_path, bytes(damaged), "damaged.zip"))
    assert "let its name end in .zip" in error_of(write(tmp_path, path.read_bytes(), "r.csv"))


def test_an_option_without_effect_is_refused(tmp_path):
    path = write(tmp_path, '{"text": "fine"}', "r.jsonl")
    with pytest.raises(SettingsError, match=r"separator has no effect on .*JSON lines"):
        find_format(path, ReadOptions(separator=";"))
    with pytest.raises(SettingsError, match="table has no effect"):
        find_format(write(tmp_path, "text,label\nfine,1\n"), ReadOptions(table="a"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"separator": ";;"}, "one ASCII character"),
        ({"separator": '"'}, "one ASCII character"),
        ({"encoding": "klingon"}, "no encoding that Python knows"),
        ({"encoding": "rot13"}, "no encoding that Python knows"),
        ({"quoting": "single"}, "'double', 'backslash' or 'none'"),
    ],
)
def test_an_option_of_no_meaning_is_refused(options, why):
    with pytest.raises(ValueError, match=why):
        ReadOptions(**options)


def test_the_beginning_of_a_file_may_end_anywhere(tmp_path, monkeypatch):
    """What is found does not depend on where the part that is looked at ends."""
    content = delimited([["text", "label"], *([f'é "{i}", x', "1"] for i in range(20))], ";").encode()
    expected = read(write(tmp_path, content))
    for size in range(14, len(content)):
        monkeypatch.setattr("plaudit.data.formats.compressed.START_BYTES", size)
        assert read(tmp_path / "r.csv") == expected, size


def test_a_row_longer_than_what_is_looked_at_is_no_obstacle(tmp_path):
    long = "very " * (START_BYTES // 4)
    path = write(tmp_path, f'text;label\n"{long}; ""so""";1\nfine;0\n')
    assert read(path) == [[f'{long}; "so"', "1"], ["fine", "0"]]


def test_a_dialect_describes_itself():
    assert dialect.Dialect().describe() == "cells separated by commas, UTF-8"
    odd = dialect.Dialect("~", quoting="none", encoding="cp1252", ends_in_cr=True, has_header=False)
    assert odd.describe() == (
        "cells separated by '~', no cell is quoted, Windows-1252, lines end in CR, no header, columns named by number"
    )

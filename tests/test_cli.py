import csv
import inspect
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import typer
from docs._reference.commands import verbs

import plaudit
from plaudit.bundle.folder import TRAINED_ON, read_trained_on
from plaudit.cli.main import app, main
from plaudit.data.splits import text_digests
from tests.train.conftest import one_thread  # noqa: F401  # the fixture serves here too

RECIPE = """
[data]
name = "reviews.csv"

[models.bow]
kind = "bow"
min_count = 2
slot_bits = 16
"""
LSTM = """
[models.lstm]
kind = "lstm"
embedding_size = 8
hidden_size = 8

[models.lstm.train]
epochs = 10_000
max_learning_rate = 0.01
log_every_steps = 1
"""
WORDS = """
[models.words]
kind = "lstm"
min_count = 1
embedding_size = 8
hidden_size = 6
pretrain = { epochs = 1, max_learning_rate = 0.01, batch_tokens = 64, window_tokens = 8 }

[models.lstm]
kind = "lstm"
min_count = 1
embedding_size = 8
hidden_size = 6
pretrained = "words"
train = { epochs = 1, max_learning_rate = 0.01 }
"""
COMPRESS = ("compress", "toy", "-o", "out", "--method")
SOFT = ("--soft-labels",)
VERBS = dict(verbs())


@pytest.fixture(autouse=True)
def folder(toy_file, toy_bow_folder, tmp_path, monkeypatch):
    """The folder to work in: toy reviews, the model `toy`, a recipe, and files of the wrong kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "toy").symlink_to(toy_bow_folder)
    (tmp_path / "toy.toml").write_text(RECIPE)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("review,sentiment\n")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    (tmp_path / "cyrillic.csv").write_bytes("review\nХорошо\n".encode("cp1251"))
    (tmp_path / "ragged.csv").write_text("review,sentiment\na,b,c\n")
    (tmp_path / "one.csv").write_text("review,sentiment\nlovely,positive\nsuperb,positive\n")
    (tmp_path / "odd.csv").write_text("review,sentiment\nlovely,positive\nso-so,neutral\ndull,negative\n")
    (tmp_path / "broken.toml").write_text("[data\n")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.fixture
def plaudit_command(monkeypatch, capsys):
    """Return a function that runs the command in this process: (status, stdout, stderr)."""

    def call(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["plaudit", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


def process(*arguments, **options):
    command = [sys.executable, "-m", "plaudit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# What goes well.


def test_texts_are_judged_in_order(plaudit_command):
    status, out, err = plaudit_command("predict", "-m", "toy", "a lovely film", "a dull film")
    assert (status, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    assert [(label, text) for label, _, text in rows] == [("positive", "a lovely film"), ("negative", "a dull film")]
    assert all(0.5 <= float(probability) <= 1 for _, probability, _ in rows)


def test_lines_of_stdin_are_judged(plaudit_command):
    status, out, _ = plaudit_command("predict", "-m", "toy", stdin=b"a lovely film\r\n\na dull film")
    assert status == 0
    assert [line.split("\t")[2] for line in out.splitlines()] == ["a lovely film", "", "a dull film"]
    _, out, _ = plaudit_command("predict", "-m", "toy", "--json", stdin=b"a lovely film\r\n")
    assert json.loads(out)["text"] == "a lovely film"


def test_json_is_one_object_a_line(plaudit_command):
    status, out, err = plaudit_command("predict", "-m", "toy", "--json", "ein lovely Ärger", 'a "dull"\nfilm')
    assert (status, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert first["text"] == "ein lovely Ärger"
    assert second["label"] == "negative"
    assert list(first["probabilities"]) == ["negative", "positive"]
    assert sum(first["probabilities"].values()) == pytest.approx(1)


def test_bytes_that_are_no_text_are_judged_all_the_same(plaudit_command):
    status, out, err = plaudit_command("predict", "-m", "toy", stdin=bytes(range(256)) + b"\nlovely\n")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].startswith("positive")


def test_an_argument_that_is_no_utf8_is_judged_all_the_same():
    command = [sys.executable.encode(), b"-m", b"plaudit", b"predict", b"-m", b"toy", b"lovely \xff film"]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"positive")


def test_a_review_of_ten_million_characters_is_judged(plaudit_command, folder):
    text = "a lovely film " * 720_000
    status, out, _ = plaudit_command("predict", "-m", "toy", stdin=text.encode())
    assert status == 0
    assert out.startswith("positive\t")
    assert len(out) < 120
    (folder / "long.csv").write_text(f'review\n"{text}"\n')
    status, _, err = plaudit_command("predict", "-m", "toy", "-i", "long.csv", "-o", "scored.parquet")
    assert (status, err) == (0, "1 rows scored, scored.parquet\n")


def test_a_file_is_shown_without_output(plaudit_command):
    status, out, err = plaudit_command("predict", "-m", "toy", "--input", "reviews.csv")
    assert (status, err) == (0, "")
    rows = [line.split("\t") for line in out.splitlines()]
    assert len(rows) == 60
    assert {label for label, _, _ in rows} == {"negative", "positive"}


def test_a_file_is_shown_as_json(plaudit_command):
    status, out, _ = plaudit_command("predict", "-m", "toy", "--input", "reviews.csv", "--json")
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert list(rows[0]) == ["review", "sentiment", "predicted", "probability_negative", "probability_positive"]
    assert all(row["predicted"] == row["sentiment"] for row in rows)


def test_scores_go_to_the_output_and_what_was_done_to_stderr(plaudit_command, folder):
    (folder / "gaps.csv").write_text('id,body\n1,lovely\n2,""\n')
    status, out, err = plaudit_command("predict", "-m", "toy", "-i", "gaps.csv", "--text", "body", "-o", "new/s.csv")
    assert (status, out) == (0, "")
    assert err == "2 rows, 1 of them without a text scored, new/s.csv\n"
    with (folder / "new" / "s.csv").open(newline="") as file:
        assert [row["predicted"] for row in csv.DictReader(file)] == ["positive", ""]


def test_a_blank_text_has_no_verdict_wherever_it_comes_from(plaudit_command, folder):
    assert plaudit_command("predict", "-m", "toy", "", "lovely")[1].startswith("-\t-\t\npositive\t")
    assert plaudit_command("predict", "-m", "toy", stdin=b" \n")[1] == "-\t-\t\n"
    (folder / "blank.csv").write_text('text\n" "\n')
    assert plaudit_command("predict", "-m", "toy", "--input", "blank.csv")[1] == "-\t-\t\n"
    shown = json.loads(plaudit_command("predict", "-m", "toy", "--json", "")[1])
    assert (shown["label"], shown["reason"]) == (None, "blank")


@pytest.mark.usefixtures("short_timing")
def test_evaluate_adds_to_a_results_file(plaudit_command, folder):
    status, out, _ = plaudit_command("evaluate", "toy", "--data", "reviews.csv", "--out", "new/results.json")
    assert status == 0
    assert "reviews.csv, all: 60 reviews" in out
    assert max(map(len, out.splitlines())) <= 80
    status, out, err = plaudit_command("evaluate", "toy", "-d", "reviews.csv", "--split", "test", "--json")
    assert "too few to tell" in err
    assert json.loads(out)["results"][0]["split"] == "test"
    status, _, err = plaudit_command("report", "new/results.json", "--out", "page")
    assert (status, err) == (0, "report: page/report.html\n")
    assert (folder / "page" / "report.html").stat().st_size > 1_000


@pytest.mark.usefixtures("short_timing")
def test_two_models_of_one_name_are_told_apart_in_results(plaudit_command, folder):
    for run in "ab":
        shutil.copytree(folder / "toy", folder / run / "toy")
    arguments = ("evaluate", "a/toy", "b/toy", "--data", "reviews.csv", "--out", "both.json")
    status, out, err = plaudit_command(*arguments)
    assert status == 0, err
    results = json.loads((folder / "both.json").read_text())["results"]
    assert [result["model"] for result in results] == ["a/toy", "b/toy"]
    assert out.count("only 60 texts were tested") == 1


@pytest.mark.usefixtures("short_timing")
def test_evaluate_leaves_out_for_all_models_what_one_was_trained_on(plaudit_command, folder):
    assert plaudit_command("train", "toy.toml", "--out", "mine")[0] == 0
    mine = "mine/models/bow"
    known = len(read_trained_on(Path(mine)))
    assert 50 < known < 60
    evaluate = ("evaluate", "toy", mine, "-d", "reviews.csv", "--json")

    status, out, err = plaudit_command(*evaluate)
    assert status == 0
    option = "(--include-trained-on scores them too)"
    assert f"reviews.csv: left out {known} of 60 rows that {mine} was trained on {option}\n" in err
    assert err.count("left out") == 1
    found = [(each["split"], each["n"], each["trained_on_rows"]) for each in json.loads(out)["results"]]
    assert sorted(found, key=str) == [("unseen", 60 - known, 0), ("unseen", 60 - known, None)]

    status, out, err = plaudit_command(*evaluate, "--include-trained-on")
    assert f"reviews.csv: scores include {known} of 60 rows that {mine} was trained on\n" in err
    found = [(each["split"], each["n"], each["trained_on_rows"]) for each in json.loads(out)["results"]]
    assert sorted(found, key=str) == [("all", 60, known), ("all", 60, None)]

    status, out, err = plaudit_command("evaluate", mine, "-d", "reviews.csv", "--split", "test", "--json")
    assert "left out" not in err
    assert json.loads(out)["results"][0]["trained_on_rows"] == 0
    status, out, err = plaudit_command("evaluate", mine, "-d", "reviews.csv", "--split", "train", "--json")
    assert "scores include" in err

    # Case and white space do not make another text, and the file with the digests may be deleted.
    texts = list(csv.DictReader((folder / "reviews.csv").read_text().splitlines()))
    model = plaudit.load(mine)
    seen = np.isin(text_digests(pa.chunked_array([[row["review"] for row in texts]])), model.trained_on)
    rows = [
        f"{row['review'].upper().replace(' ', '  ')!r},{row['sentiment']}"
        for row, is_seen in zip(texts, seen, strict=True)
        if is_seen
    ]
    (folder / "seen.csv").write_text("\n".join(["review,sentiment", *rows]).replace("'", '"'))
    status, out, err = plaudit_command("evaluate", mine, "-d", "seen.csv")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == (
        f"error: seen.csv: no rows are left without the {known} of {known} rows that {mine} was trained on; "
        "give others, or score them with --include-trained-on"
    )
    (folder / mine / TRAINED_ON).unlink()
    status, out, err = plaudit_command("evaluate", mine, "-d", "seen.csv")
    assert (status, err) == (0, "")


@pytest.mark.usefixtures("short_timing")
def test_run_ends_in_results_and_a_report(plaudit_command, folder):
    status, out, err = plaudit_command("run", "toy.toml", "--set", "seed=1", "--json")
    assert status == 0
    assert json.loads(out)["results"][0]["model"] == "bow"
    assert "runs/toy/models/bow" in err
    assert (folder / "runs" / "toy" / "report.html").exists()
    status, out, _ = plaudit_command("predict", "-m", "runs/toy/models/bow", "lovely")
    assert out.startswith("positive")


def test_train_leaves_a_model(plaudit_command, folder):
    status, out, _ = plaudit_command("train", "toy.toml", "--out", "trained")
    assert (status, out) == (0, "")
    assert (folder / "trained" / "models" / "bow" / "bundle.json").exists()


def test_pretrain_leaves_language_models_and_train_goes_on_with_the_rest(plaudit_command, folder):
    (folder / "words.toml").write_text(RECIPE + WORDS)
    status, out, err = plaudit_command("pretrain", "words.toml", "--out", "run")
    assert (status, out) == (0, "")
    assert "words: perplexity " in err
    assert files_below(folder / "run" / "models") == [
        "words",
        "words/bundle.json",
        "words/vocabulary.txt",
        "words/weights.safetensors",
    ]
    status, _, err = plaudit_command("train", "words.toml", "--out", "run")
    assert (status, err) == (2, "error: run: holds a run already; resume it with --resume, or give another --out\n")
    before = (folder / "run" / "models" / "words" / "bundle.json").stat().st_mtime_ns
    status, out, err = plaudit_command("train", "words.toml", "--out", "run", "--resume")
    assert (status, out) == (0, "")
    assert "words: trained already, run/models/words" in err
    assert (folder / "run" / "models" / "words" / "bundle.json").stat().st_mtime_ns == before
    assert {path.name for path in (folder / "run" / "models").iterdir()} == {"bow", "words", "lstm"}
    status, _, err = plaudit_command("pretrain", "words.toml", "--out", "run", "--resume")
    assert status == 0
    assert "words: trained already" in err
    assert "lstm" not in err


def test_a_language_model_judges_nothing_in_one_line(plaudit_command, folder):
    (folder / "words.toml").write_text(RECIPE.split("[models.bow]")[0] + WORDS)
    assert plaudit_command("pretrain", "words.toml", "-o", "run", "--set", "models.words.hidden_size=4")[0] == 0
    words = "run/models/words"
    before = files_below(folder)
    for arguments in (
        ("predict", "-m", words, "lovely"),
        ("evaluate", words, "-d", "reviews.csv"),
        ("label", words, "-d", "reviews.csv", "--set", 'sources=["train"]', "--out", "soft.parquet"),
        ("export", words, "--format", "onnx", "--out", "words.onnx"),
        ("compress", words, "--method", "quantize", "--out", "small"),
        ("compress", words, "--method", "distill", "--teacher", "toy", "--out", "student"),
    ):
        status, out, err = plaudit_command(*arguments)
        (line,) = (line for line in err.splitlines() if ": reading " not in line)
        assert (status, out) == (2, ""), arguments
        assert line.startswith("error: ")
        assert "language model" in line or "needs a train table" in line, arguments
    assert files_below(folder) == before


def test_compress_label_and_export_leave_what_they_promise(plaudit_command, folder):
    reviews = ("--data", "reviews.csv")
    status, out, _ = plaudit_command(
        "compress", "toy", "--method", "prune", "--ratio", "0.5", "--set", "stages=0", *reviews, "-o", "half", "--json"
    )
    assert status == 0
    assert json.loads(out)["ratio"] == 0.5
    status, out, err = plaudit_command("compress", "half", "--method", "quantize", "-o", "int8")
    assert (status, out) == (0, "")
    assert "MB" in err
    status, out, _ = plaudit_command("predict", "-m", "int8", "a lovely, superb film")
    assert out.startswith("positive")
    status, out, _ = plaudit_command("export", "int8", "--format", "flat", "--out", "toy.flat", "--json")
    assert json.loads(out)["size_bytes"] == (folder / "toy.flat").stat().st_size
    train = ("--set", 'sources=["train"]')
    status, out, _ = plaudit_command("label", "int8", *reviews, *train, "--out", "soft.parquet", "--json")
    assert (status, out) == (2, ""), "int8 was made from a model that was fitted on validation"
    (folder / "held-out.toml").write_text(RECIPE + "refit = false\n")
    assert plaudit_command("train", "held-out.toml", "-o", "run")[0] == 0
    status, out, _ = plaudit_command("label", "run/models/bow", *reviews, *train, "--out", "soft.parquet", "--json")
    assert (status, list(json.loads(out)["weights"])) == (0, ["bow"])
    assert (folder / "soft.parquet").is_file()


def test_a_dry_run_of_launch_shows_what_it_would_run_and_runs_nothing(plaudit_command, folder):
    before = files_below(folder)
    status, out, err = plaudit_command(*LAUNCH, "--gpus-per-node", "2", "--set", "seed=1", "--dry-run")
    paths = f"{folder}/toy.toml --out {folder}/run"
    assert (status, err) == (0, "")
    assert out == f"2 times on each of 1 nodes: plaudit train {paths} --resume --set=seed=1\n"
    status, out, err = plaudit_command(*LAUNCH, "--nodes", "2", "--slurm", "--sbatch=--time=4:00:00", "--dry-run")
    assert (status, err) == (0, "")
    assert out.startswith("#!/bin/bash\n#SBATCH --job-name=plaudit-toy\n#SBATCH --nodes=2\n")
    assert "\n#SBATCH --time=4:00:00\n" in out
    assert f" -m plaudit launch {paths} --resume " in out
    assert files_below(folder) == before


def test_data_list_says_where_each_data_set_is(plaudit_command):
    status, out, _ = plaudit_command("data", "list", "--json")
    assert status == 0
    assert {"imdb", "imdb-train"} <= json.loads(out).keys()
    status, out, _ = plaudit_command("data", "list")
    assert "imdb-train" in out


def test_data_inspect_reports_on_an_own_file(plaudit_command, folder):
    status, out, _ = plaudit_command("data", "inspect", "reviews.csv", "--json")
    assert status == 0
    assert isinstance(json.loads(out), dict)
    status, out, err = plaudit_command("data", "inspect", "reviews.csv", "--out", "look")
    assert status == 0
    assert err.endswith("files in look\n")
    assert (folder / "look" / "quality.json").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_helps_with_an_example(plaudit_command, verb):
    status, out, _ = plaudit_command(*verb.split(), "--help")
    assert status == 0
    assert "Example" in out
    assert f"plaudit {verb} " in out or verb == "data list"


@pytest.mark.parametrize("verb", VERBS)
def test_help_loses_no_brackets(plaudit_command, verb):
    command = VERBS[verb]
    written = " ".join([command.help, command.epilog, *(parameter.help or "" for parameter in command.params)])
    _, out, _ = plaudit_command(*verb.split(), "--help")
    printed = re.sub(r"[\s│]+", "", out)
    assert [words for words in re.findall(r"\[.*?\]", written) if words.replace(" ", "") not in printed] == []


def test_tune_names_the_table_of_a_recipe_that_it_reads(plaudit_command):
    assert "[tune.MODEL]" in plaudit_command("tune", "--help")[1]


def test_help_shows_the_common_verbs_first(plaudit_command):
    _, out, _ = plaudit_command("--help")
    found = [re.search(f"^│ {verb} ", out, re.MULTILINE).start() for verb in typer.main.get_command(app).commands]
    listed = re.findall(r"^│ ([a-z]+) ", out, re.MULTILINE)
    assert listed[:6] == ["predict", "train", "run", "evaluate", "compress", "serve"]
    assert len(set(listed)) == len(listed) == len(found)


def test_an_option_means_the_same_wherever_it_stands():
    meanings, names = {}, {}
    for command in VERBS.values():
        for option in command.params:
            if option.param_type_name == "option":
                meanings.setdefault(option.opts[0], set()).add((option.help, option.metavar))
                names.setdefault(option.opts[0], set()).add((*option.opts, *option.secondary_opts))
    same = ("--text", "--label", "--set", "--seed", "--json", "--resume", "--verbose", "--nodes", "--rendezvous")
    assert {name: meanings[name] for name in same if len(meanings[name]) > 1} == {}
    assert {name: found for name, found in names.items() if len(found) > 1} == {}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_shows_progress_can_be_quiet(verb):
    in_a_line = ("explain", "recipes", "report", "serve")  # these only say where the result is
    shows = "progress_console(" in inspect.getsource(VERBS[verb].callback) or verb == "predict"
    options = [name for parameter in VERBS[verb].params for name in (*parameter.opts, *parameter.secondary_opts)]
    assert ("--quiet" in options) == ("--verbose" in options) == (shows and verb not in in_a_line)


def test_quiet_leaves_results_and_errors(plaudit_command):
    status, out, err = plaudit_command("data", "inspect", "reviews.csv", "--json", "--quiet")
    assert (status, err) == (0, "")
    assert json.loads(out)
    assert plaudit_command("train", "missing.toml", "--out", "run", "-q")[2].startswith("error: missing.toml: ")


def test_verbose_shows_versions_and_times(plaudit_command):
    status, _, err = plaudit_command("data", "inspect", "reviews.csv", "--out", "look", "--verbose")
    first, *_, last = err.splitlines()
    assert status == 0
    assert re.fullmatch(rf" +\d+\.\d s  plaudit {plaudit.__version__}, Python [\d.]+, .+; \d+ threads", first)
    assert re.fullmatch(r" +\d+\.\d s  \d+ files in look", last)


@pytest.mark.parametrize("arguments", [(), ("data",)])
def test_the_command_without_a_verb_shows_its_help(plaudit_command, arguments):
    _, out, err = plaudit_command(*arguments)
    assert "Usage" in out + err
    assert "Example" in out + err


def test_the_version_is_told(plaudit_command):
    assert plaudit_command("--version") == (0, f"plaudit {plaudit.__version__}\n", "")


def test_a_shell_can_be_taught_to_complete():
    # Typer looks for the shell among its parent processes, which in CI may hold none: name it instead.
    named = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = process("--show-completion", "bash", env=named)
    assert (shown.returncode, "complete_bash" in shown.stdout) == (0, True)
    words = {"_PLAUDIT_COMPLETE": "complete_bash", "COMP_WORDS": "plaudit pr", "COMP_CWORD": "1"}
    program = "import sys; from plaudit.cli.main import main; sys.argv = ['plaudit']; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **words})
    assert sorted(done.stdout.split()) == ["predict", "pretrain"]


# What goes wrong: one line on stderr, status 2, and no file left or changed.

PREDICT = ("predict", "-m", "toy")
EVALUATE = ("evaluate", "toy", "-d")
SCORE = (*PREDICT, "-o", "new/out.csv", "-i")
LAUNCH = ("launch", "toy.toml", "--out", "run")
SERVE = ("serve", "--port", "0", "-m", "toy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (PREDICT, "no texts: give them as arguments, as lines on stdin, or in a file with --input"),
        ((*PREDICT, "--text", "review", "hello"), "--text has no effect without --input FILE"),
        ((*PREDICT, "--out", "out.csv", "hello"), "--out has no effect without --input FILE"),
        ((*PREDICT, "--input", "reviews.csv", "hello"), "give either texts or --input FILE, not both"),
        ((*PREDICT, "-i", "reviews.csv", "-o", "out.xlsx"), "out.xlsx: write to one of .csv"),
        ((*PREDICT, "-i", "reviews.csv", "-o", "reviews.csv/out.csv"), "reviews.csv/out.csv: cannot be written"),
        ((*PREDICT, "-i", "reviews.csv", "-o", "/proc/out.csv"), "/proc/out.csv: cannot be written"),
        ((*SCORE, "missing.csv"), "missing.csv: no such file"),
        ((*SCORE, "folder"), "folder: a folder without any review file; those end in .csv"),
        ((*SCORE, "empty.csv"), "empty.csv: the file is empty"),
        ((*SCORE, "header.csv"), "header.csv: has no rows to score"),
        ((*SCORE, "binary.csv"), "binary.csv: this is a binary file, or in UTF-16"),
        ((*SCORE, "cyrillic.csv"), "cyrillic.csv: row 1, column 'review' is not UTF-8; save it as UTF-8"),
        ((*SCORE, "ragged.csv"), "ragged.csv: row 1 has 3 cells where the header has 2"),
        (
            (*SCORE, "reviews.csv", "--text", "revew"),
            "reviews.csv: no column 'revew'; columns: 'review', 'sentiment'; did",
        ),
        ((*PREDICT, "-i", "reviews.csv", "--text", "revew"), "reviews.csv: "),
        (("predict", "-m", "bwo", "hello"), "model bwo is unknown"),
        (("predict", "-m", "folder", "hello"), "folder: not a model folder"),
        (("predict", "-m", "reviews.csv", "hello"), "model reviews.csv is unknown"),
        ((*EVALUATE, "imbd"), "imbd: no dataset of this name and no such file; did you mean imdb?"),
        ((*EVALUATE, "missing.csv"), "missing.csv: "),
        (
            (*EVALUATE, "odd.csv"),
            "odd.csv: row 2, column 'sentiment' is 'neutral', not one of the labels negative, pos",
        ),
        ((*EVALUATE, "empty.csv"), "empty.csv: "),
        ((*EVALUATE, "binary.csv"), "binary.csv: "),
        ((*EVALUATE, "reviews.csv", "--split", "tset"), "--split tset: give train, validation or test"),
        ((*EVALUATE, "reviews.csv", "--set", "label_colum=x"), "--set: label_colum is unknown; did you mean label_col"),
        ((*EVALUATE, "reviews.csv", "--set", "limit"), "--set limit: write it as name=value"),
        ((*EVALUATE, "imdb-train", "--set", "text_column=x"), "data.text_column has no effect on imdb-train"),
        ((*EVALUATE, "reviews.csv", "--out", "folder"), "folder: cannot be read: Is a directory"),
        ((*EVALUATE, "reviews.csv", "--out", "toy.toml"), "toy.toml: not a valid results file: it is not JSON"),
        (("data", "fetch", "imbd"), "data set imbd is unknown; did you mean imdb?"),
        (("data", "inspect", "missing.csv"), "missing.csv: "),
        (("data", "inspect", "one.csv"), "one.csv: column 'sentiment' has only the label 'positive'"),
        (("data", "inspect", "reviews.csv", "--out", "empty.csv"), "cannot be written"),
        ((*COMPRESS, "sqeeze"), "method sqeeze is unknown"),
        ((*COMPRESS, "prune"), "toy: does not record which reviews it was trained on; name some with --data"),
        ((*COMPRESS, "prune", "--ratio", "2"), "--method prune: ratio = 2.0: input should be less than"),
        ((*COMPRESS, "prune", "--teacher", "bow"), "--method prune: teachers is unknown"),
        ((*COMPRESS, "quantize", "--set", "storage=int4"), "--method quantize: storage = 'int4'"),
        ((*COMPRESS, "quantize", "--data", "missing.csv"), "missing.csv: "),
        (("compress", "missing", "--method", "prune", "-o", "out"), "model missing is unknown"),
        (("compress", "toy", "--method", "quantize", "-o", "folder", "-d", "reviews.csv"), "folder: exists already"),
        ((*COMPRESS, "distill", "--data", "reviews.csv"), "has no unlabelled reviews to distill from"),
        (
            (*COMPRESS, "distill", "-d", "reviews.csv", "--set", 'transfer.sources=["train"]'),
            "distillation takes either teachers or a file of soft labels",
        ),
        (
            (*COMPRESS, "distill", "-d", "reviews.csv", "--set", 'transfer.sources=["train"]', *SOFT, "none.parquet"),
            "none.parquet: no such file; write one with plaudit",
        ),
        (
            (*COMPRESS, "distill", "-d", "reviews.csv", "--set", 'transfer.sources=["train"]', *SOFT, "reviews.csv"),
            "reviews.csv: not a file of soft labels",
        ),
        (("label", "toy", "-d", "reviews.csv", "--out", "soft.parquet"), "has no unlabelled reviews to distill from"),
        (("export", "toy", "--format", "onnx", "--out", "x.onnx"), "not for a model of kind bow; its formats: flat"),
        (("export", "toy", "--format", "flatt", "--out", "x"), "--format flatt is unknown; did you mean flat?"),
        (("export", "toy", "--format", "flat", "--out", "/proc/x"), "/proc/x: cannot be written"),
        (("report", "missing", "--out", "page"), "missing: no such results file"),
        (("report", "folder", "--out", "page"), "folder/results.json: no such results file"),
        (("report", "reviews.csv", "--out", "page"), "reviews.csv: "),
        (("run", "missing.toml"), "missing.toml: no such recipe"),
        (("run", "folder"), "folder: a folder, not a recipe; those that ship are both, bow,"),
        (("run", "quik"), "quik: no such recipe; did you mean quick? Or give the path of a .toml file"),
        (("train", "recipes/quick.toml", "--out", "run"), "recipes/quick.toml: no such recipe; did you mean quick? "),
        (("tune", "tnue", "--model", "bow", "--trials", "1", "--out", "t"), "tnue: no such recipe; did you mean tune?"),
        (
            ("compress", "pln", "-o", "out", "--method", "distill"),
            "pln is unknown; did you mean plan?; or give a model",
        ),
        (("recipes", "quik"), "quik: not a recipe that ships; did you mean quick?"),
        (("recipes", "quick", "--out", "toy.toml"), "toy.toml: exists already"),
        (("recipes", "--out", "mine.toml"), "--out mine.toml: which recipe?"),
        (("recipes", "quick", "--json"), "--json is for the list of all recipes"),
        (("run", "broken.toml"), "broken.toml: not readable as TOML"),
        (("run", "toy.toml", "--set", "models.bow.min_cout=3"), "toy.toml: models.bow.min_cout is unknown; did you me"),
        (("run", "toy.toml", "--set", "models.bow.min_count=x"), "toy.toml: models.bow.min_count = 'x': input should"),
        (("run", "toy.toml", "--set", "models.bow.kind=bwo"), "toy.toml: models.bow.kind: model kind bwo is unknown; "),
        (("run", "toy.toml", "--set", "data.name=one.csv"), "one.csv: "),
        (("run", "toy.toml", "--set", "data.label_column=stars"), "reviews.csv: "),
        (("run", "toy.toml", "--out", "folder/../reviews.csv"), "reviews.csv/recipe.json: cannot be written"),
        (("run", "toy.toml", "--out", "."), ".: is not empty and holds no run"),
        (("train", "toy.toml", "--out", "/proc/run"), "/proc/run/recipe.json: cannot be written"),
        (("pretrain", "toy.toml", "--out", "run"), "toy: has no language model: a model with a pretrain table and no"),
        (("pretrain", "missing.toml", "--out", "run"), "missing.toml: "),
        (("launch", "missing.toml", "--out", "run"), "missing.toml: "),
        (("launch", "toy.toml", "--out", "."), ".: "),
        (
            ("launch", "toy.toml", "--out", "/proc/run"),
            "cannot be created: No such file or directory; choose another --out",
        ),
        ((*LAUNCH, "--nodes", "2"), "2 nodes have to meet: give --rendezvous HOST:PORT, a node and a free port"),
        ((*LAUNCH, "--rendezvous", "node1"), "--rendezvous node1: write it as HOST:PORT, for example node1:29400"),
        (
            (*LAUNCH, "--rendezvous", "no.such.host.invalid:29400"),
            "cannot reach no.such.host.invalid; give a name that",
        ),
        ((*LAUNCH, "--slurm", "--rendezvous", "node1"), "--rendezvous node1: "),
        ((*LAUNCH, "--slurm", "--sbatch", "partition=gpu"), "--sbatch partition=gpu: write the whole option"),
        ((*LAUNCH, "--sbatch=--partition=gpu"), "--sbatch has no effect without --slurm"),
        ((*LAUNCH, "--cpu"), "--cpu has no effect without --slurm"),
        ((*SERVE, "--host", "0.0.0.0"), "--host 0.0.0.0: other machines can reach this address: give --api-k"),
        (
            (*SERVE, "--host", "0.0.0.0", "--api-key-file", "empty.csv"),
            "empty.csv: contains no key; write one per line",
        ),
        (("serve", "--port", "70000"), "--port 70000: give 0 … 65535"),
        ((*SERVE, "--set", "max_text=3"), "--set: max_text is unknown; did you mean max_texts?"),
        ((*SERVE, "-m", "toy"), "--model: two models are called"),
        ((*SERVE, "-m", "bwo"), "model bwo is unknown; did you mean bow?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_leaves_nothing(plaudit_command, folder, arguments, message):
    before = files_below(folder)
    status, out, err = plaudit_command(*arguments)
    lines = [line for line in err.splitlines() if ": reading " not in line]
    assert status == 2
    assert out == ""
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert files_below(folder) == before


def test_launching_into_a_run_needs_resume(plaudit_command):
    assert plaudit_command("train", "toy.toml", "--out", "run")[0] == 0
    message = "error: run: holds a run already; resume it with --resume, or give another --out\n"
    assert plaudit_command(*LAUNCH) == (2, "", message)
    assert plaudit_command(*LAUNCH, "--slurm") == (2, "", message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "toy.toml"), "ranks only train: use plaudit launch, and then plaudit run --resume in one process"),
        (("train", "toy.toml", "--out", "run"), "ranks may be restarted: give --resume too, which also begins a new "),
        (("pretrain", "words.toml", "--out", "run"), "ranks may be restarted: give --resume too"),
        (
            ("train", "toy.toml", "--out", "run", "--resume"),
            "WORLD_SIZE is set but not RANK, MASTER_ADDR, MASTER_PORT;",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_one_of_many_ranks_is_told_what_it_lacks(plaudit_command, folder, monkeypatch, arguments, message):
    monkeypatch.setenv("WORLD_SIZE", "2")
    (folder / "words.toml").write_text(RECIPE + WORDS)
    status, out, err = plaudit_command(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert not (folder / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prdict",), "Did you mean 'predict'?"),
        (("predict", "--jsn"), "--json"),
        (("evaluate", "toy"), "--data"),
        (("pretrain", "toy.toml"), "--out"),
        (("run",), "recipe"),
    ],
)
def test_a_misspelt_command_line_is_told_what_it_may_mean(plaudit_command, arguments, message):
    status, out, err = plaudit_command(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_an_unreadable_file_is_one_line(plaudit_command, folder):
    (folder / "reviews.csv").chmod(0)
    (folder / "toy.toml").chmod(0)
    for arguments in (("predict", "-m", "toy", "-i", "reviews.csv"), ("data", "inspect", "reviews.csv")):
        assert plaudit_command(*arguments)[::2] == (2, "error: reviews.csv: cannot be read (Permission denied)\n")
    assert plaudit_command("run", "toy.toml")[0] == 2


def test_an_error_of_the_system_is_one_line(monkeypatch):
    program = (
        "import plaudit.predictor\n"
        "def load(model, **_): raise PermissionError(13, 'Permission denied', 'models/secret')\n"
        "plaudit.predictor.load = load\n"
        "from plaudit.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program, "predict", "hi"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: models/secret: Permission denied\n")


# What only a process of its own can show.


def test_a_short_text_needs_no_compiler_and_no_training_library():
    program = (
        "import sys; from plaudit.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'numba', 'sklearn', 'scipy', 'pyarrow', 'pandas', 'altair')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, *PREDICT, "lovely"], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == ["[]"]


def test_the_shipped_model_answers():
    done = process("predict", "A fine film that I will watch again.")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("positive\t")


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m plaudit predict -m toy -i reviews.csv | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to write to")
def test_a_full_disk_behind_stdout_is_one_line():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "plaudit", *PREDICT, "lovely"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_written_run(folder):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    program = f"{limit}; from plaudit.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "run", "toy.toml"], capture_output=True, text=True)
    assert done.returncode == 2
    hint = "give a folder with room that can be written to"
    assert done.stderr.splitlines()[1:] == [f"error: runs/toy/recipe.json: cannot be written (File too large); {hint}"]
    assert files_below(folder / "runs") == ["toy"]


def start(*arguments):
    command = [sys.executable, "-m", "plaudit", *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )


def test_interrupting_predict_is_one_line():
    with start(*PREDICT) as running:
        running.stdin.write("lovely\n")
        running.stdin.flush()
        assert running.stdout.readline().startswith("positive")
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=120) == 130
        assert running.stderr.read() == "error: interrupted\n"


@pytest.mark.slow
def test_interrupting_a_run_is_one_line_and_it_goes_on_later(folder):
    with start("run", "toy.toml", "--out", "run") as running:
        while not (line := running.stderr.readline()).startswith("bow: "):
            assert line
        running.send_signal(signal.SIGINT)  # now it takes some seconds to measure how fast the model is
        assert running.wait(timeout=120) == 130
        assert running.stderr.read().endswith("error: interrupted\n")
    assert not (folder / "run" / "results.json").exists()
    assert not list(folder.rglob("*.tmp"))
    done = process("run", "toy.toml", "--out", "run", "--resume")
    assert done.returncode == 0
    assert "bow: trained already" in done.stderr


@pytest.mark.slow
def test_interrupting_training_saves_it_in_one_line(folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the threads of a tiny network wait for each other on a busy machine
    (folder / "lstm.toml").write_text(RECIPE.split("[models.bow]")[0] + LSTM)
    with start("train", "lstm.toml", "--out", "run") as running:
        metrics = folder / "run" / "training" / "lstm" / "metrics.jsonl"
        while running.poll() is None and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=120) == 130
        assert "continue with --resume\n" in running.stderr.read()
    assert not (folder / "run" / "models").exists()

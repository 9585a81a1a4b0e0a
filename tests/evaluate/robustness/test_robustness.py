import io
import json
import sys

import numpy as np
import pytest
from rich.console import Console

from plaudit.bundle.folder import save_bundle
from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.cli.main import main
from plaudit.errors import BundleError, DataError
from plaudit.evaluate.robustness.datasets import Reviews
from plaudit.evaluate.robustness.perturb import CHANGES
from plaudit.evaluate.robustness.results import read_robustness
from plaudit.evaluate.robustness.run import leaves_out_sources, robustness
from plaudit.evaluate.robustness.view import print_robustness
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.settings import BowSettings
from plaudit.predictor import load
from tests.conftest import toy_provenance, toy_reviews
from tests.evaluate.robustness.conftest import BEGINNING, write_tsv

QUIET = Console(quiet=True)
NOTHING = {"sets": None, "files": (), "perturbed": None, "console": QUIET}


def toy_spoilt(num_reviews=20):
    texts, labels = zip(*toy_reviews(num_reviews), strict=True)
    return Reviews(texts, labels, "toy, validation")


@pytest.fixture
def stars(tmp_path):
    """A predictor whose labels are numbers."""
    texts, labels = zip(*toy_reviews(60), strict=True)
    ids = np.array([label == "positive" for label in labels], np.int64)
    model = fit_bow(BowSettings(min_count=2, slot_bits=16), texts, ids, ("1", "5"), console=QUIET)
    save_bundle(TrainedModel(model=model), tmp_path / "stars")
    return load(tmp_path / "stars")


@pytest.fixture
def plaudit_command(monkeypatch, capsys, tmp_path, toy_bow_folder):
    """Return a function that runs the command among toy files: (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PLAUDIT_ROBUSTNESS", raising=False)
    (tmp_path / "toy").symlink_to(toy_bow_folder)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["plaudit", "robustness", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return call


def test_behaviour_needs_no_data(toy):
    (found,) = robustness({"toy": toy}, **NOTHING).models
    assert len(found.behaviour.capabilities) >= 9
    assert (found.pairs, found.foreign, found.perturbed) == ((), (), None)
    assert found.model_digest == toy.digest


def test_pairs_are_judged_by_verdict_and_together(toy, sets):
    # One original says the opposite of its label; its edit stays right, and the pair does not.
    path = sets / "contrast_imdb_test_original.tsv"
    path.write_text(path.read_text().replace("awful\t0", "lovely\t0", 1))
    (found,) = robustness({"toy": toy}, **{**NOTHING, "sets": sets}).models
    cad, contrast = found.pairs
    assert [each.count for each in (cad.original, cad.edited, cad.both)] == [6, 6, 6]
    assert [each.count for each in (contrast.original, contrast.edited, contrast.both)] == [5, 6, 5]


def test_product_reviews_in_the_folder_are_other_reviews(toy, sets):
    write_tsv(sets / "kotzias_amazon_cells.tsv", [("lovely superb phone", 1), ("lovely superb phone", 0)])
    (found,) = robustness({"toy": toy}, **{**NOTHING, "sets": sets}).models
    assert [(each.data, each.accuracy.count, each.accuracy.n) for each in found.foreign] == [
        ("kotzias_amazon_cells", 1, 2)
    ]


def test_own_files_are_matched_by_name_of_label(toy, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("review,sentiment\nlovely superb,positive\ndull awful,positive\ndull awful,negative\n")
    (found,) = robustness({"toy": toy}, **{**NOTHING, "files": [path]}).models
    assert (found.foreign[0].data, found.foreign[0].accuracy.count) == ("own.csv", 2)
    path.write_text("review,sentiment\nlovely superb,1\ndull awful,0\n")
    with pytest.raises(DataError, match=r"own\.csv: its labels are 0, 1, but toy knows negative, positive"):
        robustness({"toy": toy}, **{**NOTHING, "files": [path]})


def test_two_own_files_of_one_name_are_refused(toy, toy_file):
    with pytest.raises(DataError, match="a second file of this name"):
        robustness({"toy": toy}, **{**NOTHING, "files": [toy_file, toy_file]})


def test_every_change_has_its_accuracy(toy):
    (found,) = robustness({"toy": toy}, **{**NOTHING, "perturbed": toy_spoilt()}).models
    levels = {level.change: level.accuracy for level in found.perturbed.levels}
    assert list(levels) == list(CHANGES)
    assert {level.n for level in levels.values()} == {20}
    assert levels["as they are"].share == 1
    assert levels["first 10 % of words"].share < 1


def test_reviews_to_spoil_need_the_models_labels(toy):
    spoilt = toy_spoilt()
    with pytest.raises(DataError, match=r"its labels are neg, but toy knows negative, positive"):
        robustness({"toy": toy}, **{**NOTHING, "perturbed": spoilt._replace(labels=["neg"] * 20)})
    with pytest.raises(DataError, match="no reviews to perturb"):
        robustness({"toy": toy}, **{**NOTHING, "perturbed": Reviews([], [], "none")})


def test_a_model_of_other_labels_is_skipped_in_one_line(stars, sets):
    said = io.StringIO()
    options = {**NOTHING, "sets": sets, "console": Console(file=said, width=40)}
    (found,) = robustness({"stars": stars}, **options).models
    assert (found.pairs, found.behaviour) == ((), None)
    line = "stars: skipping edited pairs and test sentences, which need the labels negative and positive; it has 1, 5\n"
    assert said.getvalue() == line


def test_a_model_without_finite_probabilities_is_refused(toy):
    toy.predict_proba = lambda texts: np.full((len(texts), 2), np.nan, np.float32)
    with pytest.raises(BundleError, match="toy: its probabilities are not finite"):
        robustness({"toy": toy}, **NOTHING)


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        (Provenance(), False),
        (toy_provenance(name="imdb", leave_out=None), False),
        (toy_provenance(name="imdb", leave_out="sources.tsv"), True),
    ],
)
def test_a_model_is_known_to_have_left_the_sources_out_by_its_recipe(toy, provenance, expected):
    toy.provenance = provenance
    assert leaves_out_sources(toy) is expected
    (found,) = robustness({"toy": toy}, **NOTHING).models
    assert found.sources_left_out is expected


def test_no_review_of_a_data_set_is_quoted(toy, sets):
    options = {**NOTHING, "sets": sets, "perturbed": toy_spoilt()}
    written = robustness({"toy": toy}, **options).model_dump_json()
    assert BEGINNING not in written
    assert "story about people" not in written


def shown(result, width=80):
    output = io.StringIO()
    print_robustness(result, Console(file=output, width=width))
    return output.getvalue()


def test_the_table_fits_80_columns_and_marks_models_that_may_know_the_sources(toy, toy_bow_folder, sets):
    careful = load(toy_bow_folder)
    careful.provenance = toy_provenance(leave_out="sources.tsv")
    options = {**NOTHING, "sets": sets, "perturbed": toy_spoilt()}
    text = shown(robustness({"careful": careful, "toy": toy}, **options))
    *table, marked, paired = text.splitlines()
    assert max(map(len, table)) <= 80
    assert "careful " in table[1]
    assert "toy*" in table[1]
    assert marked.startswith("* may have learned from the originals of the pairs")
    assert paired.startswith("cad, test: the rows of its two files do not match")
    assert "100.0 (61.0–100.0)" in text
    assert "(" not in shown(robustness(dict.fromkeys("abcdef", toy), **NOTHING)).split("n", 1)[1]


def test_a_model_that_lacks_a_part_has_dashes(toy, stars):
    lines = shown(robustness({"toy": toy, "stars": stars}, **NOTHING)).splitlines()
    assert next(line for line in lines if "plain statement" in line).split()[3] == "–"


def test_the_command_adds_to_a_file_and_prints_json(plaudit_command, sets, tmp_path):
    status, out, err = plaudit_command("toy", "--sets", str(sets), "--out", "new/robustness.json")
    assert (status, err) == (0, "")
    assert "cad, test: both" in out
    status, out, _ = plaudit_command("toy", "--json")
    assert status == 0
    assert json.loads(out)["models"][0]["pairs"] == []
    assert len(read_robustness(tmp_path / "new" / "robustness.json").models[0].pairs) == 2


def test_the_folder_of_sets_comes_from_the_environment_or_lies_here(plaudit_command, sets, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAUDIT_ROBUSTNESS", str(sets))
    assert "cad, test" in plaudit_command("toy")[1]
    monkeypatch.setenv("PLAUDIT_ROBUSTNESS", "gone")
    assert plaudit_command("toy")[2].startswith("error: gone: no such folder")
    monkeypatch.delenv("PLAUDIT_ROBUSTNESS")
    (tmp_path / "robustness").mkdir()
    assert "cad, test" not in plaudit_command("toy")[1]
    (tmp_path / "robustness").rmdir()
    sets.rename(tmp_path / "robustness")
    assert "cad, test" in plaudit_command("toy")[1]


def test_reviews_of_an_own_file_are_spoilt(plaudit_command, toy_file):
    status, out, _ = plaudit_command("toy", "--perturb", str(toy_file))
    assert status == 0
    assert "perturbed reviews.csv, validation: accuracy" in out


def trained_model(folder, bow, **data):
    trained = TrainedModel(model=bow, provenance=toy_provenance(**data))
    save_bundle(trained.with_provenance(learned_validation=bow.settings.refit), folder)


def test_models_that_were_fitted_to_the_reviews_are_said_to_be(plaudit_command, tmp_path, toy_file, toy_bow):
    assert toy_bow.settings.refit
    trained_model(tmp_path / "refitted", toy_bow, name=str(toy_file))
    status, _, err = plaudit_command("refitted", "toy", "--data", str(toy_file))
    assert (status, err) == (0, "")
    status, _, err = plaudit_command("refitted", "--perturb", str(toy_file))
    remark = "refitted: was trained on these reviews, so its accuracy on them is too high\n"
    assert (status, err) == (0, remark)
    assert plaudit_command("refitted", "--perturb", str(toy_file), "--split", "test")[2] == ""


def test_validation_reviews_are_those_that_training_held_out(plaudit_command, tmp_path, toy_file, toy_bow):
    trained_model(tmp_path / "one", toy_bow, name=str(toy_file), seed=1)
    trained_model(tmp_path / "two", toy_bow, name=str(toy_file), seed=2)
    found = [
        json.loads(plaudit_command(name, "--perturb", str(toy_file), "--json")[1])["models"][0]["perturbed"]
        for name in ("one", "two")
    ]
    assert found[0]["data_digest"] != found[1]["data_digest"]
    status, _, err = plaudit_command("one", "two", "--perturb", str(toy_file))
    assert status == 2
    assert err.startswith("error: one and two were trained on different splits of ")


def test_what_was_left_out_makes_no_other_split(plaudit_command, tmp_path, toy_file, toy_bow):
    trained_model(tmp_path / "one", toy_bow, name=str(toy_file), leave_out="gone.tsv")
    trained_model(tmp_path / "two", toy_bow, name=str(toy_file), limit=20)
    assert plaudit_command("one", "two", "--perturb", str(toy_file))[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("toy", "--split", "test"), "--split test has no effect without --perturb"),
        (("toy", "--perturb", "imdb", "--split", "dev"), "--split dev: give validation, test, train"),
        (("toy", "--perturb", "imdv"), "did you mean imdb?"),
        (("toy", "toy"), "toy: is given twice; leave one out"),
        (("gone",), "model gone is unknown"),
        (("toy", "--out", "other.json"), "other.json: not a valid robustness file"),
        (("toy", "--data", "gone.csv"), "gone.csv: no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_input_is_one_line(plaudit_command, tmp_path, arguments, message):
    (tmp_path / "other.json").write_text("{}")
    status, out, err = plaudit_command(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1

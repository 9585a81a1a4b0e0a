"""bench/own_texts.py itself: it resumes, never chooses by the test file, and its intervals are right."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

BENCH = Path(__file__).parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import own_texts  # noqa: E402
from own_texts import Labelled, Task  # noqa: E402
from peers import own, own_summary  # noqa: E402
from peers.base import FittedPeer  # noqa: E402

ROOT = Path(__file__).parents[1]

sys.path.remove(str(BENCH))

TRAIN = Labelled([f"good thing {i}" for i in range(6)] + [f"bad thing {i}" for i in range(6)], np.repeat(["p", "n"], 6))
TEST = Labelled(["good one", "bad one", "bad two"], np.array(["p", "n", "p"]))


@dataclass
class Recorder(FittedPeer):
    """Says p to everything, and writes down what it gets."""

    log: list = field(default_factory=list)
    stops: bool = False

    def __deepcopy__(self, memo):
        return Recorder(self.name, self.settings, log=self.log, stops=self.stops)

    def fit(self, texts, labels):
        if self.stops:
            raise KeyboardInterrupt
        self.log.append((self.name, "fit", tuple(texts)))

    def predict(self, texts):
        self.log.append((self.name, "predict", tuple(texts)))
        return np.full(len(texts), "p")


def run(peers, folder, *, digest="d", chosen=None):
    tasks = [Task("toys", digest, lambda: (TRAIN, TEST))]
    return own_texts.finished(tasks, peers, chosen or peers, folder / "rows.jsonl", Console(quiet=True))


def recorders(log, *, second_stops=False, settings=None):
    return [Recorder("first", settings or {"C": 1}, log=log), Recorder("second", {}, log=log, stops=second_stops)]


def test_a_stopped_comparison_resumes_and_scores_no_model_twice(tmp_path):
    log = []
    with pytest.raises(KeyboardInterrupt):
        run(recorders(log, second_stops=True), tmp_path)
    rows = run(recorders(log), tmp_path)
    assert [row.model for row in rows] == ["first", "second"]
    assert [entry[0] for entry in log if entry[1] == "fit"] == ["first", "second"]
    assert [entry[0] for entry in log if entry[2] == tuple(TEST.texts)] == ["first", "second"]
    assert run(recorders(log), tmp_path) == rows


def test_rows_of_models_that_were_not_chosen_are_kept(tmp_path):
    first, second = recorders([])
    run([first, second], tmp_path, chosen=[second])
    assert [row.model for row in run([first, second], tmp_path, chosen=[first])] == ["first", "second"]


def test_a_model_is_trained_without_any_row_of_test(tmp_path):
    log = []
    (row,) = run([Recorder("only", {}, log=log)], tmp_path)
    assert log[0] == ("only", "fit", tuple(TRAIN.texts))
    assert [entry[1:] for entry in log[1:]] == [("predict", tuple(TRAIN.texts)), ("predict", tuple(TEST.texts))]
    assert (row.n_train, row.n_test, row.accuracy) == (12, 3, pytest.approx(2 / 3, abs=1e-6))
    assert row.accuracy_ci95 == pytest.approx([0.2077, 0.9385], abs=1e-4)


@pytest.mark.parametrize("change", [{"digest": "other"}, {"settings": {"C": 2}}])
def test_rows_of_other_data_or_settings_are_refused(tmp_path, change):
    run(recorders([]), tmp_path)
    with pytest.raises(SystemExit, match="first on toys had other data or settings"):
        run(recorders([], settings=change.get("settings")), tmp_path, digest=change.get("digest", "d"))


def test_a_fold_is_weighed_as_if_its_held_out_texts_had_never_been_counted():
    from scipy import sparse
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    texts = ["a good thing", "good good work", "bad work and more", "never seen elsewhere"]
    kinds = [{"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (2, 5)}]
    counts = [CountVectorizer(**kind).fit_transform(texts) for kind in kinds]
    learned, held_out = np.array([0, 2]), np.array([1, 3])
    fresh = [TfidfVectorizer(sublinear_tf=True, **kind).fit([texts[i] for i in learned]) for kind in kinds]
    for rows, features in zip((learned, held_out), own.fold_features(counts, learned, held_out), strict=True):
        expected = sparse.hstack([one.transform([texts[i] for i in rows]) for one in fresh])
        np.testing.assert_allclose(features.toarray(), expected.toarray())


def test_cross_validation_prefers_what_generalizes():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 2))
    labels = np.where(features[:, 0] > 0, "p", "n")
    candidates = [{"kind": "softmax", "C": 1e-9}, {"kind": "svm", "C": 1.0}, {"kind": "svm", "C": 1e-9}]
    chosen = own.by_cross_validation(candidates, labels, lambda a, b: (features[a], features[b]))
    assert chosen == candidates[1]


def test_nbsvm_tells_three_classes_apart():
    texts = [f"{word} thing {i}" for word in ("red", "green", "blue") for i in range(5)]
    labels = np.repeat(["r", "g", "b"], 5)
    settings = {"C": 1.0, "beta": 0.25, "alpha": 1.0, "vectorizer": {"ngram_range": (1, 2)}}
    model = own.OneVsRestNBSVM("", settings)
    model.train(texts, labels)
    assert model.predict(["a blue car", "red", "the green one"]).tolist() == ["b", "r", "g"]


def test_a_part_held_out_has_a_share_of_each_class_and_never_all():
    ids = np.array([0] * 10 + [1] * 5 + [2])
    learned, held_out = own.held_out_part(ids, 0.2)
    assert sorted([*learned, *held_out]) == list(range(16))
    assert ids[held_out].tolist() == [0, 0, 1]


def test_draws_are_balanced_and_a_smaller_one_is_part_of_a_larger():
    labels = np.array(["n", "p", "p", "n"] * 50)
    small, large = (own_texts.stratified_draw(labels, size, 3) for size in (20, 60))
    assert len(set(large)) == 60 and np.unique(labels[large], return_counts=True)[1].tolist() == [30, 30]
    assert small.tolist() == large[:20].tolist()
    assert small.tolist() != own_texts.stratified_draw(labels, 20, 4).tolist()


def outcome(set_, model, accuracy, **more):
    return SimpleNamespace(
        set=set_, model=model, accuracy=accuracy, train_cpu_seconds=1.0, predict_cpu_seconds=2.0, **more
    )


def test_the_interval_of_the_curve_is_students_over_draws():
    rows = [outcome("imdb", "a", accuracy, num_labels=50) for accuracy in (0.5, 0.6, 0.7)]
    (point,) = own_summary.curve_points(rows)
    half = 4.302653 * 0.1 / 3**0.5
    assert point["accuracy_ci95"] == pytest.approx([0.6 - half, 0.6 + half], abs=1e-5)
    assert (point["draws"], point["lowest"], point["highest"]) == (3, 0.5, 0.7)


def test_a_mean_is_of_all_sets_or_missing():
    rows = [outcome("x", "a", 0.8), outcome("y", "a", 0.6), outcome("x", "b", 0.9)]
    found = own_summary.means(rows, {"x": "one", "y": "two"})
    assert found["all"]["a"]["accuracy"] == 0.7 and "b" not in found["all"]
    assert found["one"]["b"]["accuracy"] == 0.9


def test_verdicts_leave_minilm_apart_and_need_every_set():
    rows = [outcome("x", own.OURS, 0.896), outcome("x", own.TFIDF, 0.9), outcome("x", own.MINILM, 0.99)]
    rows += [outcome("y", own.OURS, 0.8), outcome("y", own.TFIDF, 0.85), outcome("y", own.MINILM, 0.1)]
    found = own_summary.verdicts(rows, own_summary.means(rows, {"x": "g", "y": "g"}), 2)
    assert found[0].endswith("on 1 of 2 sets")
    assert found[1] == f"{own.OURS} on y: 5.0 points behind {own.TFIDF}"
    assert f"{own.OURS}, mean of all (2 sets): -2.70 points against {own.TFIDF}" in found
    assert own_summary.verdicts(rows, {}, 3) == []


def test_one_run_over_folders_writes_rows_means_and_a_chart_without_naming_the_machine(tmp_path, monkeypatch):
    for name in ("toys", "games"):
        folder = tmp_path / "shop" / name
        folder.mkdir(parents=True)
        for part, data in (("train", TRAIN), ("test", TEST)):
            lines = [f'"{text},\n""{name}""",{label}' for text, label in zip(data.texts, data.labels, strict=True)]
            (folder / f"{part}.csv").write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    out = tmp_path / "own.json"
    folders = [str(tmp_path / "shop" / name) for name in ("toys", "games")]
    work = ["--work", str(tmp_path / "work"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["own_texts.py", *folders, "--only", "majority", own.TFIDF, *work])
    own_texts.main()
    written = json.loads(out.read_text(encoding="utf-8"))
    assert [(row["set"], row["model"]) for row in written["rows"]] == [
        (name, model) for name in ("toys", "games") for model in (own.MAJORITY, own.TFIDF)
    ]
    assert written["means"]["shop"][own.TFIDF]["sets"] == 2
    assert written["sets"][0] == {
        "set": "toys", "group": "shop", "classes": 2, "n_train": 12, "n_test": 3, "test_texts_in_train": 0
    }  # fmt: skip
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
    assert "toys (majority" in out.with_suffix(".svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("text,label\na,x\nb,y\n", "text,label\nc,z\n", r"test\.csv: labels that train\.csv has not: z"),
        (
            "text,stars\na,x\n",
            "text,label\nc,x\n",
            r"train\.csv: .*label.*; it takes UTF-8 with columns text and label",
        ),
        ("text,label\na,x\n", None, r"test\.csv: no such file"),
    ],
)
def test_a_data_folder_that_cannot_be_used_is_named(tmp_path, train, test, message):
    (tmp_path / "train.csv").write_text(train)
    if test:
        (tmp_path / "test.csv").write_text(test)
    with pytest.raises(SystemExit, match=message):
        own_texts.folder_task(tmp_path).load()


def test_the_page_quotes_the_committed_results():
    committed = json.loads((ROOT / "docs/results/own_texts.json").read_text())
    page = (
        (ROOT / "docs/own-texts.md").read_text().partition("<!-- own-texts -->")[2].partition("<!-- /own-texts -->")[0]
    )
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    models = [
        "Plaudit",
        "Plaudit, no head start",
        "TF-IDF words + LR",
        "TF-IDF words + characters",
        "NB-SVM bigrams",
        "fastText, best of three",
        "fastText, autotuned",
        "MiniLM embeddings + LR",
    ]
    found = {(row["set"], row["model"]): row["accuracy"] for row in committed["rows"]}
    sets = list(dict.fromkeys(name for name, _ in found))
    expected = [[found[name, model] for model in models] for name in sets]
    expected += [[committed["means"][group][model]["accuracy"] for model in models] for group in ("domains", "all")]
    assert [row[2:] for row in rows[1 : len(expected) + 1]] == [[f"{100 * a:.1f}" for a in line] for line in expected]

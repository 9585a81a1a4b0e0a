"""Soft labels by teachers that were trained without the reviews they label."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from rich.console import Console

from plaudit.bundle.folder import load_bundle, read_files
from plaudit.compress.base import Teacher
from plaudit.compress.soft_labels import read_soft_labels
from plaudit.compress.transfer import TransferSettings, transfer_set
from plaudit.data.load import load_dataset
from plaudit.data.splits import prepare
from plaudit.errors import PlauditError, SettingsError
from plaudit.models.ensemble import centred
from plaudit.pipeline import compress as compressing
from plaudit.pipeline import out_of_fold
from plaudit.pipeline import run as runs
from plaudit.pipeline.out_of_fold import recipe_of_teachers
from tests.conftest import toy_csv, toy_reviews
from tests.pipeline.test_build import BOW, LEARNING, PRETRAIN, SIZES, recipe_in

QUIET = Console(quiet=True)
FOLDS = 3
RECIPE = f"""
[models.words]{SIZES}{PRETRAIN}
[models.bow]{BOW}
[models.lstm]{SIZES}{LEARNING}
pretrained = "words"
[models.both]
kind = "ensemble"
members = ["bow", "lstm"]
[models.refitted]
kind = "bow"
min_count = 1
slot_bits = 16
[models.small]
from = "bow"
prune = {{ ratio = 0.2, stages = 0 }}
[models.student]{BOW}
distill = {{ teachers = ["small"], transfer = {{ sources = ["train"] }} }}
"""
TRAIN_ONLY = ['sources=["train"]']


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with 90 reviews of 30 films, each with a word of its own, and all models of RECIPE in `run`."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("home")
    with (folder / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [(f"{text} own{i}", label, f"film{i // 3}") for i, (text, label) in enumerate(toy_reviews(90))]
        csv.writer(file).writerows([("review", "sentiment", "movie_id"), *rows])
    runs.train(recipe_in(folder, RECIPE), folder / "run", resume=False, console=QUIET)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))


def label(home, out, *names, folds=FOLDS, assignments=TRAIN_ONLY, data=None):
    folders = [str(home / "run" / "models" / name) for name in names]
    return compressing.label(
        folders, out, assignments, data=data or str(home / "reviews.csv"), folds=folds, console=QUIET
    )


def reviews_of(home):
    recipe = recipe_in(home, RECIPE)
    return prepare(load_dataset(recipe.data, console=QUIET), recipe.data)


def without_its_word(text):
    return " ".join(word for word in text.split() if not word.startswith("own"))


def test_a_review_is_labelled_by_a_teacher_that_does_not_know_its_words(home, tmp_path):
    """Each review has a word of its own: it moves whoever has learned from that review, and nobody else."""
    train = reviews_of(home).train
    texts = train["text"].to_pylist()
    stripped = [without_its_word(text) for text in texts]
    whole = load_bundle(home / "run" / "models" / "bow").model
    assert (np.abs(whole.logits(texts) - whole.logits(stripped)).max(1) > 1e-3).all()

    provenance = label(home, tmp_path / "soft.parquet", "bow")
    soft = read_soft_labels(tmp_path / "soft.parquet")
    assert soft.ids == train["id"].to_pylist()
    folders = sorted((tmp_path / "soft.parquet.folds").iterdir())
    assert [folder.name for folder in folders] == ["1-of-3", "2-of-3", "3-of-3"]
    said = [load_bundle(folder / "models" / "bow").model.logits(stripped) for folder in folders]
    weights = [provenance["weights"][f"without fold {fold}"]["bow"] for fold in (1, 2, 3)]
    of_folds = np.stack([w * centred(each) for w, each in zip(weights, said, strict=True)])
    nearest = np.abs(of_folds - soft.logits.astype(np.float32)).max(2).argmin(0)
    np.testing.assert_allclose(soft.logits, of_folds[nearest, np.arange(len(texts))], rtol=2e-3, atol=1e-3)
    assert np.bincount(nearest).min() >= len(texts) // FOLDS - 4
    films = np.array(train["group"].to_pylist())
    assert all(len(set(nearest[films == film])) == 1 for film in set(films))
    assert provenance["folds"] == FOLDS


def test_all_that_a_teacher_is_made_of_is_made_anew_but_for_language_models(home, tmp_path):
    label(home, tmp_path / "soft.parquet", "both", "student", folds=2)
    made = sorted(folder.name for folder in (tmp_path / "soft.parquet.folds" / "1-of-2" / "models").iterdir())
    assert made == ["both", "bow", "lstm", "small", "student"]
    for name in made:
        provenance = read_files(tmp_path / "soft.parquet.folds" / "1-of-2" / "models" / name)[0].provenance
        assert provenance["data_digest"].endswith("without fold 1 of 2, seed 0")
    recipe = json.loads((tmp_path / "soft.parquet.folds" / "1-of-2" / "recipe.json").read_text())
    assert recipe["models"]["lstm"]["pretrained"] == str(home / "run" / "models" / "words")


def test_unlabelled_reviews_are_labelled_by_the_teachers_themselves(home, tmp_path):
    """But for one that repeats a train review, up to case and white space: it is in the fold of that one."""
    folder = home / "run" / "models" / "bow"
    splits = reviews_of(home)
    train = splits.train
    texts = [f"{text} also" for text in train["text"].to_pylist()[:8]] + [train["text"][20].as_py().upper() + "  "]
    unlabelled = train.slice(0, 9)
    for name, values in (("id", [f"unsup/{i}" for i in range(9)]), ("text", texts), ("label", [None] * 9)):
        at = train.schema.get_field_index(name)
        unlabelled = unlabelled.set_column(at, train.schema.field(at), pa.array(values, train.schema.field(at).type))
    splits = replace(splits, unlabelled=unlabelled)
    transfer = transfer_set(splits, TransferSettings(variants={"crop": 1}), seed=0)
    whole = Teacher("bow", load_bundle(folder).model)
    soft = out_of_fold.label_out_of_fold(
        recipe_of_teachers([folder]), [whole], splits, transfer, folds=2, work=tmp_path / "work", console=QUIET
    )
    said = soft.provenance["weights"]["whole"]["bow"] * centred(whole.model.logits(transfer.texts))
    differs = np.abs(soft.logits - said).max(1) > 0.01
    is_new = np.array([id.startswith("unsup/") and not id.startswith("unsup/8") for id in transfer.ids])
    assert is_new.sum() == 16, "variants too"
    assert not differs[is_new].any()
    assert differs[~is_new].mean() > 0.8
    repeated = transfer.ids.index("unsup/8")
    np.testing.assert_array_equal(soft.logits[repeated], soft.logits[20])


def test_a_call_that_was_cut_short_goes_on(home, tmp_path, monkeypatch):
    made = []
    make = out_of_fold.make_model

    def cut_short(recipe, name, splits, out, **rest):
        if (out.name, name) == ("2-of-3", "small"):
            raise KeyboardInterrupt
        make(recipe, name, splits, out, **rest)
        made.append(out)

    monkeypatch.setattr(out_of_fold, "make_model", cut_short)
    with pytest.raises(KeyboardInterrupt):
        label(home, tmp_path / "soft.parquet", "bow", "small")
    assert not (tmp_path / "soft.parquet").exists()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("bundle.json")}
    assert len(before) == 3
    monkeypatch.setattr(out_of_fold, "make_model", make)
    label(home, tmp_path / "soft.parquet", "bow", "small")
    assert before.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.rglob("bundle.json")}.items()
    label(home, tmp_path / "again.parquet", "bow", "small")
    first, again = (read_soft_labels(tmp_path / name) for name in ("soft.parquet", "again.parquet"))
    np.testing.assert_array_equal(first.logits, again.logits)


def test_folds_of_a_changed_recipe_are_refused(home, tmp_path):
    label(home, tmp_path / "soft.parquet", "bow", folds=2)
    run = tmp_path / "other"
    shutil.copytree(home / "run", run)
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["models"]["bow"]["min_count"] = 2
    (run / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(SettingsError, match=r"1-of-2: its run began with another models\.bow\.min_count"):
        compressing.label(
            [str(run / "models" / "bow")],
            tmp_path / "soft.parquet",
            TRAIN_ONLY,
            data=str(home / "reviews.csv"),
            folds=2,
            console=QUIET,
        )


def test_folds_of_another_language_model_are_refused(home, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(home / "run", run)
    arguments = (tmp_path / "soft.parquet", TRAIN_ONLY)
    given = {"data": str(home / "reviews.csv"), "folds": 2, "console": QUIET}
    compressing.label([str(run / "models" / "lstm")], *arguments, **given)
    shutil.rmtree(run / "models" / "words")
    recipe = recipe_in(home, RECIPE.replace("epochs = 2", "epochs = 1"))
    runs.train(
        replace(recipe, models={"words": recipe.models["words"]}), tmp_path / "again", resume=False, console=QUIET
    )
    shutil.copytree(tmp_path / "again" / "models" / "words", run / "models" / "words")
    with pytest.raises(
        SettingsError, match=r"1-of-2: its run began with another name \('toy, words .*, now 'toy, words"
    ):
        compressing.label([str(run / "models" / "lstm")], *arguments, **given)


def refusal(folders):
    with pytest.raises(SettingsError) as caught:
        recipe_of_teachers(folders)
    (line,) = str(caught.value).splitlines()
    return line


def test_teachers_whose_parts_know_the_labels_all_the_same_are_refused(home, tmp_path):
    def of(models, *names):
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        runs.write_recipe(recipe_in(tmp_path, models, reviews="none.csv"), folder)
        return refusal([folder / "models" / name for name in names])

    words = f"[models.words]{SIZES}{PRETRAIN}"
    soft = f'[models.bow]{BOW}distill = {{ soft_labels = "x.parquet" }}\n'
    assert "bow: learned from soft labels, which tell of all folds" in of(soft, "bow")
    through = soft + '[models.half]\nfrom = "bow"\nprune = { ratio = 0.5 }\n'
    assert "bow: learned from soft labels" in of(through, "half")
    outside = f'[models.mine]{BOW}[models.two]\nkind = "ensemble"\nmembers = ["mine", "bow"]\n'
    assert "two: is made of bow, which stays and may know the labels of all folds" in of(outside, "two")
    assert "makes no model words that knows labels" in of(words, "words")
    assert "makes no model bow" in of(words, "bow")
    (tmp_path / "damaged" / "models").mkdir(parents=True)
    (tmp_path / "damaged" / "recipe.json").write_text("{")
    assert "recipe.json: damaged, no recipe" in refusal([tmp_path / "damaged" / "models" / "bow"])
    models = home / "run" / "models"
    for folders in ([models / "bow", tmp_path / "models" / "bow"], [tmp_path / "bow"]):
        assert "--folds trains teachers anew, by the recipe of the one run" in refusal(folders)


def test_a_language_model_that_began_with_a_classifier_knows_the_labels(home, tmp_path):
    chain = f"""
[models.first]{SIZES}{LEARNING}
[models.words]{SIZES}{PRETRAIN}
pretrained = "first"
[models.later]{SIZES}{PRETRAIN}
pretrained = "words"
[models.lstm]{SIZES}{LEARNING}
pretrained = "later"
"""
    runs.train(recipe_in(home, chain), tmp_path / "run", resume=False, console=QUIET)
    assert "lstm: is made of later, which stays and may know" in refusal([tmp_path / "run" / "models" / "lstm"])
    elsewhere = f'[models.lstm]{SIZES}{LEARNING}pretrained = "{tmp_path}/run/models/later"\n'
    runs.write_recipe(recipe_in(home, elsewhere), tmp_path / "other")
    assert "which stays and may know" in refusal([tmp_path / "other" / "models" / "lstm"])
    clean = elsewhere.replace(f"{tmp_path}/run/models/later", f"{home}/run/models/words")
    runs.write_recipe(recipe_in(home, clean), tmp_path / "clean")
    assert recipe_of_teachers([tmp_path / "clean" / "models" / "lstm"]).models.keys() == {"lstm"}


def test_what_cannot_be_is_refused_before_anything_is_trained(home, tmp_path, monkeypatch):
    monkeypatch.setattr(out_of_fold, "make_model", lambda *_, **__: pytest.fail("trained"))
    toy_csv(tmp_path / "other.csv")

    def refused(*names, **options):
        with pytest.raises(PlauditError) as caught:
            label(home, tmp_path / "soft.parquet", *names, **options)
        (line,) = str(caught.value).splitlines()
        return line

    assert "are too few for 99 folds; give more reviews, smaller groups or fewer --folds" in refused("bow", folds=99)
    assert "bow, bow: give folders of different names" in refused("bow", "bow")
    assert "refitted was fitted on validation too" in refused("bow", "refitted")
    assert "--folds is for labels of train reviews; add train" in refused("bow", assignments=['sources=["unlabelled"]'])
    other = str(tmp_path / "other.csv")
    assert f"--data = {other}: the teachers learned from {home}/reviews.csv" in refused("bow", data=other)
    with pytest.raises(SettingsError, match="shipped/bow: --folds trains teachers anew"):
        compressing.label(["bow"], tmp_path / "x", (), data="reviews.csv", folds=2, console=QUIET)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["other.csv"]


def test_reviews_are_split_as_the_teachers_were_told_to(home, tmp_path):
    recipe = recipe_in(home, f"[models.bow]{BOW}", seed=5)
    runs.train(recipe, tmp_path / "run", resume=False, console=QUIET)
    for folds in (None, 2):
        told = compressing.label(
            [str(tmp_path / "run" / "models" / "bow")],
            tmp_path / f"{folds}.parquet",
            TRAIN_ONLY,
            data=str(home / "reviews.csv"),
            folds=folds,
            console=QUIET,
        )
        assert told["data_digest"] == prepare(load_dataset(recipe.data, console=QUIET), recipe.data).digest

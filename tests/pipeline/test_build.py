"""Language models, what starts from them, and ensembles: recipes of tiny models from end to end."""

import functools
import io
import json
import shutil

import numpy as np
import pytest
import torch
from rich.console import Console

from plaudit.bundle.folder import TRAINED_ON, load_bundle, load_trainable, read_trained_on
from plaudit.compress import residual_bow
from plaudit.data.load import load_dataset
from plaudit.data.splits import prepare, text_digests
from plaudit.errors import BundleError, SettingsError
from plaudit.evaluate.results import read_results
from plaudit.models.ensemble import blend, fit_weights
from plaudit.pipeline import run as runs
from plaudit.pipeline.recipe import read_recipe
from plaudit.predictor import load
from plaudit.train.labels import labels_of
from tests.conftest import toy_csv
from tests.train.conftest import one_thread  # noqa: F401  # the fixture serves here too

QUIET = Console(quiet=True)
SIZES = """
kind = "lstm"
min_count = 1
embedding_size = 8
hidden_size = 6
"""
# So little that what a model started with is what it ends with.
TRAIN = 'train = { epochs = 1, max_learning_rate = 1e-12, precision = "fp32" }\n'
LEARNING = 'train = { epochs = 4, max_learning_rate = 0.05, batch_tokens = 200, precision = "fp32" }\n'
PRETRAIN = """
pretrain = { epochs = 2, max_learning_rate = 0.05, batch_tokens = 64, window_tokens = 8, precision = "fp32" }
"""
BOW = """
kind = "bow"
min_count = 1
slot_bits = 16
refit = false
"""
WORDS = f"[models.words]{SIZES}{PRETRAIN}"
RECIPE = f"""
{WORDS}
[models.lstm]{SIZES}{TRAIN}
pretrained = "words"
[models.fresh]{SIZES}{TRAIN}
[models.bow]{BOW}
[models.both]
kind = "ensemble"
members = ["bow", "lstm"]
"""
TEXTS = ["a lovely, superb film", "dull and tedious", ""]


def recipe_in(folder, models, *, reviews="reviews.csv", seed=0):
    """Read a recipe of these models for a file of reviews in `folder`."""
    path = folder / "toy.toml"
    path.write_text(f"[data]\nname = {json.dumps(str(folder / reviews))}\nseed = {seed}\n{models}")
    return read_recipe(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with toy reviews and, in `run`, all models of RECIPE."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("home")
    toy_csv(folder / "reviews.csv")
    runs.train(recipe_in(folder, RECIPE), folder / "run", resume=False, console=QUIET)
    return folder


@pytest.fixture
def models(home):
    return home / "run" / "models"


@pytest.fixture
def splits(home):
    recipe = recipe_in(home, RECIPE)
    return prepare(load_dataset(recipe.data), recipe.data)


@pytest.fixture
def train(home, models, tmp_path):
    """Return a function that trains other models on the same reviews; {NAME} is the folder of a trained one."""

    def train_models(text):
        for name in ("words", "lstm", "bow", "both"):
            text = text.replace(f"{{{name}}}", str(models / name))
        runs.train(recipe_in(home, text), tmp_path / "other", resume=False, console=QUIET)
        return tmp_path / "other" / "models"

    return train_models


def assert_refused(error, message, call, *arguments):
    with pytest.raises(error, match=message) as caught:
        call(*arguments)
    assert len(str(caught.value).splitlines()) == 1


def weights_of(folder):
    return load_trainable(folder).model.state().tensors


def files_of(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def is_of_layers(name):
    """Whether a tensor is among those that a language model learns."""
    return name == "embedding.weight" or ".layers." in name


def digests_of(*tables):
    return sorted({digest for table in tables for digest in text_digests(table["text"]).tolist()})


def test_a_bundle_keeps_digests_of_what_it_was_fitted_to_and_of_what_its_parts_were(models, splits, train):
    for name in ("lstm", "bow", "both"):
        assert read_trained_on(models / name).tolist() == digests_of(splits.train), name
    assert read_trained_on(models / "words") is None  # it has seen no labels
    refitted = BOW.replace("false", "true")
    made = train(
        f'[models.refitted]{refitted}[models.both]\nkind = "ensemble"\nmembers = ["refitted", "{{bow}}"]\n'
        "weights = [1, 1]"
    )
    for name in ("refitted", "both"):
        assert read_trained_on(made / name).tolist() == digests_of(splits.train, splits.validation), name


def test_what_learns_nothing_itself_claims_no_texts(models, home, tmp_path):
    for name in ("bow", "lstm"):
        shutil.copytree(models / name, tmp_path / name)
        (tmp_path / name / TRAINED_ON).unlink()
    text = f'[models.both]\nkind = "ensemble"\nmembers = ["{tmp_path / "bow"}", "{tmp_path / "lstm"}"]\n'
    text += f'[models.small]\nfrom = "{tmp_path / "bow"}"\nquantize = {{}}\n'
    text += f'[models.next]{SIZES}{TRAIN}pretrained = "{tmp_path / "lstm"}"\n'
    runs.train(recipe_in(home, text), tmp_path / "run", resume=False, console=QUIET)
    known = {name: read_trained_on(tmp_path / "run" / "models" / name) for name in ("both", "small", "next")}
    assert known["both"] is None and known["small"] is None
    assert known["next"] is not None


# A language model.


def test_a_run_of_language_models_alone_is_refused_before_they_are_trained(home, tmp_path):
    message = "^toy: has only language models, which cannot be scored; use plaudit train$"
    run = functools.partial(runs.run, resume=False, console=QUIET)
    assert_refused(SettingsError, message, run, recipe_in(home, WORDS), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_language_model_says_how_well_it_predicts_words_and_nothing_of_labels(models):
    bundle = load_trainable(models / "words")
    assert bundle.is_language_model
    provenance = bundle.provenance
    assert 1 < provenance.language_model.perplexity < len(bundle.model.encoder.words)
    assert 0 < provenance.language_model.accuracy < 1
    assert provenance.train_seconds > 0
    assert provenance.recipe.models["words"]["pretrain"]["window_tokens"] == 8
    assert (provenance.validation_accuracy, provenance.train, provenance.compression) == (None, None, ())
    assert not any(load_trainable(models / name).is_language_model for name in ("lstm", "fresh", "bow", "both"))


def test_its_perplexity_is_that_of_the_last_validation(home, models):
    events = [json.loads(line) for line in (home / "run/training/words/metrics.jsonl").read_text().splitlines()]
    best = max((e for e in events if e["event"] == "epoch"), key=lambda event: event["validation_accuracy"])
    figures = load_trainable(models / "words").provenance.language_model
    assert figures.perplexity == pytest.approx(np.exp(best["validation_loss"]))
    assert figures.accuracy == pytest.approx(best["validation_accuracy"])


def test_a_language_model_refuses_to_predict_in_one_line(models):
    for call in (load_bundle, load):
        assert_refused(BundleError, "models/words: a language model, which predicts no labels", call, models / "words")


def test_a_run_tells_of_a_language_models_perplexity(home, tmp_path):
    told = io.StringIO()
    runs.train(recipe_in(home, WORDS), tmp_path / "run", resume=False, console=Console(file=told, width=200))
    (line,) = (line for line in told.getvalue().splitlines() if line.startswith("words: "))
    perplexity = load_trainable(tmp_path / "run/models/words").provenance.language_model.perplexity
    assert line.startswith(f"words: perplexity {perplexity:.1f} on validation after ")


@pytest.mark.usefixtures("short_timing")
def test_a_run_goes_on_and_evaluates_all_but_the_language_model(home, tmp_path):
    out = shutil.copytree(home / "run", tmp_path / "run")
    before = files_of(out)
    told = io.StringIO()
    page = runs.run(recipe_in(home, RECIPE), out, resume=True, console=Console(file=told, width=200))
    assert page.exists()
    assert "words: trained already" in told.getvalue()
    assert before.items() <= files_of(out).items(), "nothing is trained or written again"
    results = {result.model: result for result in read_results(out / "results.json").results}
    assert set(results) == {"lstm", "fresh", "bow", "both"}
    assert (results["both"].kind, results["both"].accuracy) == ("ensemble", 1)
    assert {path.stem for path in (out / "predictions").iterdir()} == set(results)
    again = files_of(out)
    runs.run(recipe_in(home, RECIPE), out, resume=True, console=QUIET)
    assert {path for path, time in files_of(out).items() if again[path] != time} <= {
        page.relative_to(out) for page in out.glob("report.*")
    }


def test_language_models_can_be_trained_first_and_the_rest_later(home, tmp_path):
    recipe, out = recipe_in(home, RECIPE), tmp_path / "run"
    runs.train(recipe, out, resume=False, console=QUIET, wanted=recipe.language_models())
    assert [folder.name for folder in (out / "models").iterdir()] == ["words"]
    before = files_of(out)
    runs.train(recipe, out, resume=True, console=QUIET)
    assert {folder.name for folder in (out / "models").iterdir()} == set(recipe.models)
    assert before.items() <= files_of(out).items()
    for name in ("words", "lstm"):
        for tensor, expected in weights_of(home / "run/models" / name).items():
            np.testing.assert_array_equal(weights_of(out / "models" / name)[tensor], expected)


def test_a_damaged_language_model_stops_the_run_in_one_line(home, tmp_path):
    out = shutil.copytree(home / "run", tmp_path / "run")
    (out / "models/words/vocabulary.txt").write_text("a")

    def resume():
        runs.train(recipe_in(home, RECIPE), out, resume=True, console=QUIET)

    assert_refused(BundleError, r"words/vocabulary\.txt: changed since it was saved", resume)


@pytest.mark.parametrize(
    ("method", "settings"), [("prune", "stages = 0"), ("prune", "structure = 'weights'"), ("quantize", "")]
)
def test_a_language_model_is_neither_pruned_nor_quantized(train, method, settings):
    step = f"[models.small]\nfrom = '{{words}}'\n[models.small.{method}]\n{settings}"
    assert_refused(SettingsError, f"words is a language model; {method} takes a model that knows labels", train, step)


@pytest.mark.parametrize("losses", ["{ kl = 1.0 }", "{ kl = 1.0, feature = 1.0 }"])
@pytest.mark.parametrize("weights", ["", "teacher_weights = [1.0]\n"])
def test_a_language_model_teaches_no_labels(train, losses, weights):
    student = f"""
    [models.student]{SIZES}{TRAIN}
    [models.student.distill]
    teachers = ["{{words}}"]
    transfer = {{ sources = ["train"] }}
    objective = {{ losses = {losses} }}
    {weights}
    """
    assert_refused((BundleError, SettingsError), "words.* language model", train, student)


# What starts from it.


def test_a_classifier_starts_with_the_words_and_layers_of_a_language_model(models):
    words, lstm, fresh = (weights_of(models / name) for name in ("words", "lstm", "fresh"))
    assert words.keys() == lstm.keys() == fresh.keys()
    of_layers = {name for name in words if is_of_layers(name)}
    assert len(of_layers) == 1 + 2 * 4
    for name in of_layers:
        np.testing.assert_allclose(lstm[name], words[name], atol=1e-9, err_msg=name)
        assert not np.allclose(fresh[name], words[name], atol=1e-3), name
    files = [load_trainable(models / name).model.state().files for name in ("words", "lstm")]
    assert files[0] == files[1]


def test_a_language_model_goes_on_from_another(train, models):
    barely = PRETRAIN.replace("epochs = 2, max_learning_rate = 0.05", "epochs = 1, max_learning_rate = 1e-12")
    made = train(f'[models.longer]{SIZES}{barely}\npretrained = "{{words}}"')
    words, longer = load_trainable(models / "words"), load_trainable(made / "longer")
    assert longer.is_language_model
    for name in filter(is_of_layers, weights_of(models / "words")):
        np.testing.assert_allclose(longer.model.state().tensors[name], words.model.state().tensors[name], atol=1e-9)
    before, in_all = (bundle.provenance.train_seconds for bundle in (words, longer))
    assert in_all > before


def test_a_student_starts_with_them_too(train, models):
    made = train(f"""
    [models.student]{SIZES}{TRAIN}
    pretrained = "{{words}}"
    [models.student.distill]
    teachers = ["{{bow}}"]
    transfer = {{ sources = ["train"] }}
    """)
    words, student = weights_of(models / "words"), weights_of(made / "student")
    for name in filter(is_of_layers, words):
        np.testing.assert_allclose(student[name], words[name], atol=1e-9, err_msg=name)


def test_settings_that_layers_do_not_depend_on_may_differ(train, models):
    made = train(f"""
    [models.other]{SIZES}{TRAIN}
    pretrained = "{{words}}"
    pooling = ["last", "mean", "max"]
    embedding_dropout = 0.1
    max_tokens = 50
    """)
    words, other = weights_of(models / "words"), weights_of(made / "other")
    assert other["classifier.weight"].shape == (2, 2 * 3 * 6)
    np.testing.assert_allclose(other["embedding.weight"], words["embedding.weight"], atol=1e-9)


def test_of_a_classifier_only_words_and_layers_are_taken(train, models):
    made = train(f"""
    [models.trained]{SIZES}{LEARNING}
    [models.more]{SIZES}{TRAIN}
    pretrained = "trained"
    """)
    trained, more, fresh = (weights_of(folder) for folder in (made / "trained", made / "more", models / "fresh"))
    for name in trained:
        expected, other = (trained, fresh) if is_of_layers(name) else (fresh, trained)
        np.testing.assert_allclose(more[name], expected[name], atol=1e-9, err_msg=name)
        # A softmax over words takes no notice of attention's bias, which therefore learns nothing.
        assert name.endswith("attention.bias") or not np.allclose(more[name], other[name], atol=1e-4), name


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("embedding_size = 8", "embedding_size = 9"),
        ("hidden_size = 6", "hidden_size = 7"),
        ("min_count = 1", "min_count = 2"),
        ("", "num_layers = 2"),
        ("", "bidirectional = false"),
        ("", "vocabulary_size = 50"),
        ("", "cleaning.lowercase = false"),
    ],
)
def test_settings_that_layers_depend_on_are_named_if_they_differ(train, before, after):
    sizes = SIZES.replace(before, after) if before else f"{SIZES}{after}\n"
    name = after.partition(" ")[0].partition(".")[0]
    message = f"^{name} = .*: the pretrained model has .*; give the same$"
    assert_refused(SettingsError, message, train, f'[models.x]{sizes}{TRAIN}\npretrained = "{{words}}"')


@pytest.mark.parametrize("name", ["bow", "both"])
def test_what_is_started_from_is_an_lstm(train, name):
    kind = {"bow": "bow", "both": "ensemble"}[name]
    message = rf"^pretrained = .*{name}: is of kind {kind}; give an lstm$"
    assert_refused(SettingsError, message, train, f'[models.x]{SIZES}{TRAIN}\npretrained = "{{{name}}}"')


def test_what_is_started_from_must_be_there(train):
    message = "model nowhere is unknown; known: .*; or give a model folder"
    assert_refused(BundleError, message, train, f'[models.x]{SIZES}{TRAIN}\npretrained = "nowhere"')


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        ("{words}", BundleError, "words: a language model, which predicts no labels"),
        (
            "{lstm}",
            SettingsError,
            "^start = .*lstm: was trained on these very reviews; name a model of others, or join",
        ),
        ("nowhere", BundleError, "model nowhere is unknown"),
    ],
)
def test_a_head_start_is_a_model_of_labels_and_of_other_reviews(train, start, error, message):
    assert_refused(error, message, train, f'[models.x]{BOW}start = "{start}"')


@pytest.mark.parametrize("name", ["bow", "lstm"])
def test_a_bag_starts_from_a_model_of_other_reviews_and_labels(home, models, tmp_path, name):
    text = (home / "reviews.csv").read_text()
    (tmp_path / "others.csv").write_text(text.replace("negative", "bad").replace("positive", "good"))
    pair = f"""
    [models.own]{BOW}
    [models.started]{BOW}
    start = {json.dumps(str(models / name))}
    start_strength = 2.0
    """
    runs.train(recipe_in(tmp_path, pair, reviews="others.csv"), tmp_path / "run", resume=False, console=QUIET)
    own, started = (load_bundle(tmp_path / "run/models" / each) for each in ("own", "started"))
    assert started.model.labels == ("bad", "good")
    assert started.manifest.kind == {"bow": "bow", "lstm": "ensemble"}[name]
    assert started.provenance.recipe.models["started"]["start_strength"] == 2.0
    assert not np.array_equal(started.model.predict_proba(TEXTS), own.model.predict_proba(TEXTS))


def test_a_models_objective_is_what_its_training_minimizes(train):
    made = train(f"""
    [models.plain]{SIZES}{LEARNING}
    [models.hard]{SIZES}{LEARNING}
    objective = {{ losses = {{ hard = 1.0 }} }}
    [models.sure]{SIZES}{LEARNING}
    objective = {{ losses = {{ hard = 1.0, entropy = 1.0 }} }}
    """)
    plain, hard, sure = (weights_of(made / name)["classifier.weight"] for name in ("plain", "hard", "sure"))
    np.testing.assert_array_equal(plain, hard)
    assert not np.allclose(plain, sure, atol=1e-3)


# An ensemble.


def test_an_ensemble_is_weighed_and_judged_on_validation(models, splits):
    bundle = load_bundle(models / "both")
    members = [load_bundle(models / name) for name in ("bow", "lstm")]
    texts, truth = splits.validation["text"].to_pylist(), labels_of(splits.validation)
    logits = [member.model.logits(texts) for member in members]
    settings = bundle.model.settings
    assert settings.members == ("bow", "lstm")
    assert settings.weights == pytest.approx(fit_weights(logits, truth).tolist(), rel=1e-4)
    right = blend(logits, settings.weights).argmax(axis=1) == truth
    provenance = bundle.provenance
    assert provenance.validation_accuracy == pytest.approx(right.mean(), abs=1e-5)
    assert provenance.train_seconds >= sum(member.provenance.train_seconds for member in members)
    assert (provenance.train, provenance.compression) == (None, ())
    assert bundle.num_parameters == sum(member.num_parameters for member in members)


def test_an_ensemble_joins_what_is_of_the_recipe_and_folders_by_given_weights(train, models):
    made = train(f"""
    [models.again]{BOW}max_order = 1
    [models.both]
    kind = "ensemble"
    members = ["again", "{{lstm}}"]
    weights = [0.5, 2.0]
    """)
    logits = [load_bundle(folder).model.logits(TEXTS) for folder in (made / "again", models / "lstm")]
    found = load_bundle(made / "both").model
    assert found.settings.members == ("again", str(models / "lstm"))
    np.testing.assert_allclose(found.logits(TEXTS), blend(logits, [0.5, 2.0]), atol=1e-5)


def test_a_student_that_learns_beside_a_bag_joins_it(train, models, monkeypatch):
    beside = []
    cross_fitted_logits = residual_bow.cross_fitted_logits

    def spy(bag, *arguments, **others):
        beside.append(bag)
        return cross_fitted_logits(bag, *arguments, **others)

    monkeypatch.setattr(residual_bow, "cross_fitted_logits", spy)
    made = train(f"""
    [models.beside]{SIZES}{LEARNING}
    [models.beside.distill]
    teachers = ["{{lstm}}"]
    teacher_weights = [1.0]
    transfer.sources = ["train"]
    beside = "{{bow}}"
    [models.both]
    kind = "ensemble"
    members = ["beside", "{{bow}}"]
    """)
    assert [bag.keys.tolist() for bag in beside] == [load_bundle(models / "bow").model.keys.tolist()]
    (step,) = load_bundle(made / "beside").provenance.compression
    assert (step.settings["beside"], step.settings["beside_weight"]) == (str(models / "bow"), 0.65)
    assert load_bundle(made / "both").provenance.validation_accuracy > 0.9


def test_the_same_recipe_makes_the_same_ensemble(home, models, tmp_path):
    runs.train(recipe_in(home, RECIPE), tmp_path / "run", resume=False, console=QUIET)
    expected, found = (weights_of(folder / "both") for folder in (models, tmp_path / "run/models"))
    assert all(np.array_equal(found[name], tensor) for name, tensor in expected.items())


def test_a_member_that_was_fitted_on_validation_is_refused(train):
    pair = f"""
    [models.seen]{BOW.replace("refit = false", "refit = true")}
    [models.both]
    kind = "ensemble"
    members = ["seen", "{{lstm}}"]
    """
    message = "seen was fitted on validation too, .* train it with refit = false, or give .*weights$"
    assert_refused(SettingsError, message, train, pair)


@pytest.mark.parametrize(
    ("members", "more", "error", "message"),
    [
        ('"{bow}", "{words}"', "", BundleError, "words: a language model, which predicts no labels"),
        ('"{bow}", "nowhere"', "", BundleError, "model nowhere is unknown"),
        ('"{bow}", "{lstm}"', "weights = [1.0]", SettingsError, "weights has 1 numbers for 2 "),
        ('"{bow}", "{lstm}"', "weights = [1.0, 2.0, 3.0]", SettingsError, "weights has 3 numbers for 2 "),
    ],
)
def test_members_that_cannot_be_blended_are_refused(train, members, more, error, message):
    assert_refused(error, message, train, f'[models.x]\nkind = "ensemble"\nmembers = [{members}]\n{more}')


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 5}, r"bow was trained on another split of reviews\.csv"),
        ({"reviews": "others.csv"}, r"bow knows negative, positive, but others\.csv has bad, good"),
    ],
)
@pytest.mark.parametrize("weights", ["", "weights = [1.0, 1.0]"])
def test_a_member_of_another_split_or_of_other_labels_is_refused(home, models, tmp_path, changes, message, weights):
    text = (home / "reviews.csv").read_text()
    (home / "others.csv").write_text(text.replace("negative", "bad").replace("positive", "good"))
    pair = f"[models.own]{BOW}[models.x]\nkind = 'ensemble'\nmembers = ['own', '{models / 'bow'}']\n{weights}"

    def run():
        runs.train(recipe_in(home, pair, **changes), tmp_path / "run", resume=False, console=QUIET)

    assert_refused(SettingsError, message, run)


@pytest.mark.parametrize("student", ['kind = "ensemble"\nmembers = ["{bow}", "{lstm}"]', 'kind = "docvec"'])
def test_an_ensemble_and_document_vectors_are_no_students(train, student):
    table = f'[models.x]\n{student}\n[models.x.distill]\nteachers = ["{{bow}}"]\ntransfer = {{ sources = ["train"] }}'
    assert_refused(SettingsError, "distill", train, table)


@pytest.mark.parametrize(("method", "settings"), [("prune", ""), ("prune", "structure = 'weights'"), ("quantize", "")])
def test_an_ensemble_is_neither_pruned_nor_quantized(train, method, settings):
    step = f"[models.small]\nfrom = '{{both}}'\n[models.small.{method}]\n{settings}"
    assert_refused(SettingsError, "a model of kind ensemble cannot be", train, step)

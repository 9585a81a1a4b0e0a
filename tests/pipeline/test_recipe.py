"""What a recipe's tables mean: language models, what starts from them, objectives, ensembles."""

import json
from pathlib import Path

import pytest

from plaudit.errors import SettingsError
from plaudit.models.kinds import MODELS, SETTINGS, model_class, settings_class
from plaudit.pipeline.recipe import model_recipe, read_recipe
from plaudit.pipeline.shipped import SHIPPED

SIZES = {"kind": "lstm", "embedding_size": 8, "hidden_size": 6}
TRAIN = {"epochs": 1, "max_learning_rate": 0.01}
PRETRAIN = {"epochs": 2, "max_learning_rate": 0.003, "window_tokens": 16}
LANGUAGE_MODEL = {**SIZES, "pretrain": PRETRAIN}
CLASSIFIER = {**SIZES, "train": TRAIN}
BOW = {"kind": "bow"}
ENSEMBLE = {"kind": "ensemble", "members": ["one", "two"]}
VIRTUAL = {"losses": {"hard": 1.0, "virtual-adversarial": 0.5}, "epsilon": 3.0}

EVERY = {
    "bow": BOW,
    "with a head start": {**BOW, "start": "films", "start_strength": 2.0},
    "language model": LANGUAGE_MODEL,
    "both in one": {**CLASSIFIER, "pretrain": PRETRAIN},
    "started": {**CLASSIFIER, "pretrained": "words"},
    "with an objective": {**CLASSIFIER, "objective": VIRTUAL},
    "student": {**CLASSIFIER, "pretrained": "words", "distill": {"teachers": ["bow", "lstm"]}},
    "beside": {**CLASSIFIER, "pretrained": "words", "distill": {"soft_labels": "l.parquet", "beside": "bow"}},
    "ensemble": {**ENSEMBLE, "weights": [0.5, 1.5]},
    "pruned": {"from": "bow", "prune": {"ratio": 0.5}, "train": TRAIN},
    "quantized": {"from": "bow", "quantize": {}},
    "calibrated": {**CLASSIFIER, "calibrate": "temperature"},
}


def entry(values, name="x"):
    return model_recipe(name, values, source="recipe.toml")


def as_toml(values):
    """Write a table in one line."""
    if isinstance(values, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {as_toml(value)}" for name, value in values.items()) + "}"
    return json.dumps(values)


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a recipe of these models."""

    def read_models(models, *assignments):
        path = tmp_path / "toy.toml"
        path.write_text(f'models = {as_toml(models)}\n[data]\nname = "imdb-train"\n')
        return read_recipe(path, assignments)

    return read_models


def assert_refused(message, read, *arguments):
    with pytest.raises(SettingsError, match=message) as caught:
        read(*arguments)
    assert len(str(caught.value).splitlines()) == 1


# Language models.


def test_a_pretrain_table_without_a_train_table_is_a_language_model():
    words = entry(LANGUAGE_MODEL)
    assert words.is_language_model
    assert words.model.hidden_size == 6
    assert (words.pretrain.epochs, words.pretrain.window_tokens) == (2, 16)
    assert words.made_of == ()


@pytest.mark.parametrize("name", sorted(EVERY.keys() - {"language model"}))
def test_no_other_model_is_a_language_model(name):
    assert not entry(EVERY[name]).is_language_model


def test_a_recipe_names_its_language_models_in_order(read):
    models = {"bow": BOW, "words": LANGUAGE_MODEL, "lstm": {**CLASSIFIER, "pretrained": "words"}, "b": LANGUAGE_MODEL}
    assert read(models).language_models() == ("words", "b")
    given_labels = ("models.words.train.epochs=1", "models.words.train.max_learning_rate=0.1")
    assert read(models, *given_labels).language_models() == ("b",)


def test_a_recipe_without_a_language_model_says_what_one_is(read):
    recipe = read({"bow": BOW, "lstm": {**CLASSIFIER, "pretrain": PRETRAIN}})
    assert_refused("^toy: has no language model: a model with a pretrain table and no train", recipe.language_models)


def test_a_model_says_which_one_it_starts_from():
    started = entry({**CLASSIFIER, "pretrained": "runs/words"})
    assert (started.pretrained, started.pretrain) == ("runs/words", None)
    assert started.model == entry(CLASSIFIER).model
    assert entry(CLASSIFIER).pretrained is None
    read_on = entry({**LANGUAGE_MODEL, "pretrained": "words"})
    assert read_on.is_language_model
    assert read_on.made_of == ("words",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**CLASSIFIER, "pretrain": PRETRAIN, "pretrained": "words"}, "pretrained = 'words'; give one of them"),
        ({**SIZES, "pretrained": "words"}, 'kind = "lstm" needs a train table'),
        ({**SIZES, "pretrained": "words", "distill": {}}, 'kind = "lstm" needs a train table'),
        ({**LANGUAGE_MODEL, "distill": {}}, 'kind = "lstm" needs a train table'),
        ({**CLASSIFIER, "pretrained": 3}, r"\.pretrained = 3: input should be a valid string"),
        ({**SIZES, "pretrain": {**PRETRAIN, "epoch": 3}}, r"\.pretrain\.epoch is unknown; did you mean epochs"),
        ({**SIZES, "pretrain": TRAIN | {"ema_decay": 0.9}}, r"ema_decay is not for pretraining; leave it out"),
        ({**LANGUAGE_MODEL, "hiden_size": 3}, r"\.hiden_size is unknown; did you mean hidden_size"),
        ({**CLASSIFIER, "prune": {}}, r"\.prune is not for a new model; name a trained model by from"),
        ({**LANGUAGE_MODEL, "storage": "int8"}, "train in fp32 and quantize the model afterwards"),
        ({**BOW, "pretrain": PRETRAIN}, 'pretrain is for kind = "lstm"; leave it out'),
        ({**BOW, "pretrained": "words"}, 'pretrained is for kind = "lstm"; leave it out'),
        ({"kind": "docvec", "pretrained": "words"}, 'pretrained is for kind = "lstm"'),
        ({"kind": "transformer", "train": TRAIN, "pretrained": "words"}, 'pretrained is for kind = "lstm"'),
        ({"kind": "transformer", "pretrain": PRETRAIN}, 'pretrain is for kind = "lstm"'),
        ({**CLASSIFIER, "start": "films"}, 'start is for kind = "bow"; an LSTM starts from pretrained = "NAME"'),
        ({"kind": "docvec", "start": "films"}, 'start is for kind = "bow"'),
        ({**BOW, "start_strength": 2.0}, "start_strength has no effect without start; name a model to start from"),
        ({**BOW, "start": "films", "start_strength": 0}, r"\.start_strength = 0: input should be greater than 0"),
        ({**BOW, "start": "films", "distill": {"teachers": ["lstm"]}}, "start has no effect on a student"),
        ({**ENSEMBLE, "start": "films"}, r"\.start is not for an ensemble; leave it out"),
        ({"from": "bow", "prune": {}, "start": "films"}, r"\.start is not for a model made from another"),
        ({**ENSEMBLE, "pretrain": PRETRAIN}, r"\.pretrain is not for an ensemble; leave it out"),
        ({**ENSEMBLE, "pretrained": "words"}, r"\.pretrained is not for an ensemble"),
        ({"from": "bow", "prune": {}, "pretrain": PRETRAIN}, r"\.pretrain is not for a model made from another"),
        ({"from": "bow", "quantize": {}, "pretrained": "words"}, r"\.pretrained is not for a model made from another"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_start_that_cannot_be_is_refused(values, message):
    assert_refused(rf"^recipe\.toml: models\.x.*{message}", entry, values)


# Objectives.


def test_an_objective_table_says_what_training_minimizes():
    objective = entry({**CLASSIFIER, "objective": VIRTUAL}).objective
    assert objective.losses == {"hard": 1.0, "virtual-adversarial": 0.5}
    assert objective.epsilon == 3
    assert entry(CLASSIFIER).objective is None
    assert entry({**CLASSIFIER, "pretrained": "words", "objective": VIRTUAL}).pretrained == "words"


@pytest.mark.parametrize("loss", ["kl", "logit-mse", "feature"])
def test_a_loss_that_needs_a_teacher_belongs_into_distill(loss):
    objective = {"losses": {loss: 1.0}}
    message = rf"recipe\.toml: models\.x\.objective: {loss}: needs a teacher; use distill"
    assert_refused(message, entry, {**CLASSIFIER, "objective": objective})
    student = entry({**CLASSIFIER, "distill": {"teachers": ["bow"], "objective": {"losses": {loss: 1.0, "hard": 1.0}}}})
    assert (student.objective, student.distill.objective.losses) == (None, {loss: 1.0, "hard": 1.0})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (LANGUAGE_MODEL, r"\.objective is not for a language model, which learns no labels; leave it out"),
        (BOW, ": objective is for a model with a train table; leave it out"),
        (ENSEMBLE, r"\.objective is not for an ensemble"),
        ({**CLASSIFIER, "distill": {"teachers": ["bow"]}}, ": objective: put it into the distill table"),
        ({"from": "lstm", "prune": {}, "train": TRAIN}, r"\.objective is not for a model made from another"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_objective_belongs_to_a_train_table_and_no_method(values, message):
    assert_refused(rf"^recipe\.toml: models\.x{message}", entry, {**values, "objective": VIRTUAL})


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({"losses": {"hrad": 1.0}}, r"x\.objective\.losses: hrad is unknown; did you mean hard"),
        ({"losses": {"hard": 0}}, "hard = 0: give a weight above 0, or leave the loss out"),
        ({"loses": {"hard": 1.0}}, r"x\.objective\.loses is unknown; did you mean losses"),
    ],
)
def test_a_wrong_objective_is_refused(objective, message):
    assert_refused(message, entry, {**CLASSIFIER, "objective": objective})


# What a model is made of.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bow", ()),
        ("with a head start", ("films",)),
        ("both in one", ()),
        ("started", ("words",)),
        ("student", ("words", "bow", "lstm")),
        ("beside", ("words", "bow")),
        ("ensemble", ("one", "two")),
        ("pruned", ("bow",)),
        ("quantized", ("bow",)),
    ],
)
def test_a_model_knows_what_it_is_made_of(name, expected):
    assert entry(EVERY[name]).made_of == expected


@pytest.mark.parametrize(
    "values",
    [
        {**CLASSIFIER, "pretrained": "other"},
        {"kind": "ensemble", "members": ["lstm", "other"]},
        {**CLASSIFIER, "distill": {"teachers": ["other"]}},
        {**CLASSIFIER, "pretrained": "lstm", "distill": {"teachers": ["lstm", "other"]}},
        {**CLASSIFIER, "distill": {"teachers": ["lstm"], "beside": "other"}},
        {"from": "other", "quantize": {}},
    ],
    ids=lambda values: json.dumps(values)[-40:],
)
def test_what_a_model_is_made_of_comes_first(read, values):
    read({"lstm": CLASSIFIER, "other": CLASSIFIER, "x": values})
    late = "models.x is made from other, which comes later; put other first"
    assert_refused(late, read, {"lstm": CLASSIFIER, "x": values, "other": CLASSIFIER})
    assert_refused("models.other is made from other", read, {"lstm": CLASSIFIER, "other": values})


def test_a_head_start_is_no_model_of_the_recipe_itself(read):
    assert read({"other": BOW, "x": {**BOW, "start": "films"}}).models["x"].made_of == ("films",)
    message = r"models\.x\.start = 'other' learns from the same reviews, .*; name a shipped model or a folder"
    assert_refused(message, read, {"other": BOW, "x": {**BOW, "start": "other"}})


def test_a_name_that_is_not_of_the_recipe_may_be_a_folder(read):
    both = {"kind": "ensemble", "members": ["lstm", "bow"]}
    recipe = read({"lstm": {**CLASSIFIER, "pretrained": "runs/words"}, "both": both})
    assert recipe.models["lstm"].made_of == ("runs/words",)
    assert recipe.models["both"].made_of == ("lstm", "bow")


def test_an_ensemble_takes_no_train_table():
    assert_refused(r"models\.x\.train is not for an ensemble; leave it out", entry, {**ENSEMBLE, "train": TRAIN})


# What recipe.json says.


def test_every_setting_is_in_what_is_resolved():
    started = entry({**CLASSIFIER, "pretrained": "words", "objective": VIRTUAL}).resolved()
    assert started["pretrained"] == "words"
    assert started["objective"] == {**VIRTUAL, "temperature": 2.0}
    assert started["train"]["batch_tokens"] == 4_096
    assert "pretrain" not in started
    words = entry(LANGUAGE_MODEL).resolved()
    assert words["pretrain"]["num_samples"] == 1_024
    assert not {"train", "objective", "pretrained", "from"} & words.keys()
    assert entry({**BOW, "start": "films"}).resolved()["start_strength"] == 0.5
    assert not {"start", "start_strength"} & entry(BOW).resolved().keys()
    assert entry(ENSEMBLE).resolved() == {**ENSEMBLE, "weights": None}


@pytest.mark.parametrize("name", EVERY)
def test_what_is_resolved_is_a_table_of_the_same_model(name):
    made = entry(EVERY[name])
    resolved = json.loads(json.dumps(made.resolved()))
    again = entry(resolved)
    assert again.resolved() == resolved
    assert (again.made_of, again.is_language_model) == (made.made_of, made.is_language_model)


def test_a_recipe_resolves_all_its_models(read):
    recipe = read({"words": LANGUAGE_MODEL, "lstm": {**CLASSIFIER, "pretrained": "words"}})
    resolved = recipe.resolved()
    assert resolved["name"] == "toy"
    assert resolved["models"] == {name: made.resolved() for name, made in recipe.models.items()}
    assert resolved["models"]["lstm"]["pretrained"] == "words"


ROOT = Path(__file__).parents[2]
RECIPES = sorted([*SHIPPED.glob("*.toml"), *(ROOT / "recipes").glob("*.toml")])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_that_comes_along_is_valid_and_has_its_soft_labels(path):
    for name, entry in read_recipe(path).models.items():
        soft_labels = getattr(getattr(entry, "distill", None), "soft_labels", None)
        assert soft_labels is None or (ROOT / soft_labels).is_file(), name


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_what_a_run_writes_of_its_recipe_is_the_recipe(path):
    recipe = read_recipe(path)
    tables = json.loads(json.dumps(recipe.resolved()))["models"]
    assert {name: model_recipe(name, table, source="recipe.json") for name, table in tables.items()} == recipe.models


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            {**CLASSIFIER, "calibrate": "platt"},
            r"m\.calibrate = 'platt': input should be 'temperature' or 'isotonic'",
        ),
        (
            {**LANGUAGE_MODEL, "calibrate": "temperature"},
            r"models\.m\.calibrate is not for a language model",
        ),
        ({**BOW, "calibrate": "isotonic"}, "set refit = false"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(values, complaint):
    with pytest.raises(SettingsError, match=complaint):
        model_recipe("m", values, source="r.toml")


def test_a_bag_of_ngrams_that_did_not_see_validation_can_be_calibrated():
    assert model_recipe("m", {**BOW, "refit": False, "calibrate": "isotonic"}, source="r.toml").calibrate == "isotonic"


@pytest.mark.parametrize("table", ['robustness = ["words"]', 'errors = "words"', 'errors = "elsewhere"'])
def test_a_report_names_models_of_the_recipe_that_know_labels(tmp_path, table):
    words = 'kind = "lstm"\n[models.words.pretrain]\nepochs = 1\nmax_learning_rate = 0.1\n'
    (tmp_path / "r.toml").write_text(f'[data]\nname = "imdb"\n[models.words]\n{words}[report]\n{table}\n')
    with pytest.raises(SettingsError, match="not a model of this recipe that learns labels"):
        read_recipe(tmp_path / "r.toml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**CLASSIFIER, "trian": {}}, r"\.trian is unknown; did you mean train\?"),
        ({"from": "bow", "prun": {}}, r"\.prun is unknown; did you mean prune\?"),
        (
            {**SIZES, "train": TRAIN | {"exchange": {"kind": "local", "perid": 2}}},
            r"\.train\.exchange\.perid is unknown",
        ),
        ({**SIZES, "train": TRAIN | {"exchange": {"kind": "local", "period": 0}}}, r"\.train\.exchange\.period = 0: "),
        (
            {**CLASSIFIER, "distill": {"objective": {"losses": {"lk": 1}}}},
            r"\.distill\.objective\.losses: lk is unknown",
        ),
        ({"from": "bow", "quantize": {}, "train": TRAIN}, ": quantize trains nothing; leave the train table out"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_key_is_named_by_its_path(values, message):
    assert_refused(rf"^recipe\.toml: models\.x{message}", entry, values)


def test_a_recipe_may_have_a_name_of_its_own(tmp_path):
    (tmp_path / "r.toml").write_text('name = "mine"\n[data]\nname = "imdb"\n[models.bow]\nkind = "bow"\n')
    assert read_recipe(tmp_path / "r.toml").name == "mine"
    assert read_recipe(tmp_path / "r.toml", ["name=other"]).name == "other"


def test_every_model_kind_has_settings():
    assert {kind: settings_class(kind) for kind in SETTINGS} == {kind: model_class(kind).Settings for kind in MODELS}

"""`plaudit compress` and recipes that compress, from end to end on tiny models."""

import io
import json

import pytest
from rich.console import Console

from plaudit.bundle.folder import load_bundle
from plaudit.errors import DataError, SettingsError
from plaudit.pipeline import compress as compressing
from plaudit.pipeline import run as runs
from plaudit.pipeline.recipe import read_recipe
from plaudit.predictor import load
from plaudit.search import sweep, sweep_view

QUIET = Console(quiet=True)
BOW = """
[models.bow]
kind = "bow"
min_count = 1
slot_bits = 16
refit = false
"""
CHAIN = (
    BOW
    + """
[models.student]
kind = "bow"
min_count = 1
slot_bits = 16

[models.student.distill]
teachers = ["bow"]
transfer = { sources = ["train"] }

[models.small]
from = "student"

[models.small.prune]
ratio = 0.5
stages = 1
transfer = { sources = ["train"] }

[models.smaller]
from = "small"

[models.smaller.quantize]
"""
)


pytestmark = pytest.mark.usefixtures("short_timing")


@pytest.fixture
def write(toy_file, tmp_path):
    """Return a function that writes a recipe for the toy reviews."""

    def write_recipe(models):
        path = tmp_path / "toy.toml"
        path.write_text(f"[data]\nname = {json.dumps(str(toy_file))}\n{models}")
        return path

    return write_recipe


@pytest.fixture
def bow_folder(write, tmp_path):
    runs.train(read_recipe(write(BOW)), tmp_path / "run", resume=False, console=QUIET)
    return tmp_path / "run" / "models" / "bow"


def test_a_recipe_distills_prunes_and_quantizes_and_keeps_every_step(write, tmp_path):
    out = tmp_path / "run"
    runs.run(read_recipe(write(CHAIN)), out, resume=False, console=QUIET)
    sizes = [load(out / "models" / name).size_bytes for name in ("bow", "small", "smaller")]
    assert sizes == sorted(sizes, reverse=True)
    provenance = load_bundle(out / "models" / "smaller").provenance
    assert [step.method for step in provenance.compression] == ["distill", "prune", "quantize"]
    assert [step.source for step in provenance.compression] == [None, "student", "small"]
    assert provenance.compression[1].figures["ratio"] == 0.5
    assert provenance.recipe.models["smaller"]["from"] == "small"
    results = json.loads((out / "results.json").read_text())["results"]
    assert {result["model"] for result in results} == {"bow", "student", "small", "smaller"}
    assert min(result["accuracy"] for result in results) > 0.8
    before = {path: path.stat().st_mtime_ns for path in out.rglob("weights.safetensors")}
    runs.run(read_recipe(write(CHAIN)), out, resume=True, console=QUIET)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("weights.safetensors")} == before


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (
            BOW + '[models.x]\nfrom = "bow"',
            "models.x: from needs one prune or quantize table",
        ),
        (
            BOW + '[models.x]\nfrom = "bow"\n[models.x.distill]',
            r"x\.distill is not for a model made from",
        ),
        (
            BOW + '[models.x]\nfrom = "bow"\nkind = "bow"\n[models.x.prune]',
            r"x\.kind is not for a model made from",
        ),
        (BOW + "[models.x]\nfrom = 3\n[models.x.prune]", r"models\.x\.from = 3: input should be a valid string"),
        (BOW + "[models.bow.prune]", r'bow\.prune is not for a new model; name a trained model by from = "NAME"'),
        (BOW + '[models.x]\nfrom = "bow"\n[models.x.prune]\n[models.x.quantize]', "make a model for each step"),
        (
            BOW + '[models.x]\nfrom = "bow"\n[models.x.prune]\nratoi = 1',
            r"x\.prune\.ratoi is unknown; did you mean ratio",
        ),
        (
            '[models.x]\nfrom = "bow"\n[models.x.prune]\n' + BOW,
            "models.x is made from bow, which comes later; put bow first",
        ),
        ('[models.x]\nfrom = "x"\n[models.x.prune]', "models.x is made from x"),
        (
            BOW + '[models.x]\nfrom = "bow"\n[models.x.quantize]\n[models.x.train]\nepochs = 1\nmax_learning_rate = 1',
            "models.x: quantize trains nothing; leave the train table out",
        ),
        (
            BOW + '[models.bow.distill]\nsoft_labels = "soft.parquet"\nteacher_weights = [1.0]',
            "teacher_weights are in the soft labels already; leave them out",
        ),
        (BOW + "[models.bow.pretrain]\nepochs = 1\nmax_learning_rate = 1", 'pretrain is for kind = "lstm"'),
        (
            BOW + "[models.bow.distill.objective]\nlosses = { lk = 1.0 }",
            "lk is unknown; known: .*feature, hard, kl, logit-mse",
        ),
    ],
)
def test_a_wrong_compression_is_refused_before_anything_is_done(write, models, message):
    with pytest.raises(SettingsError, match=message) as caught:
        read_recipe(write(models))
    assert len(str(caught.value).splitlines()) == 1
    assert "toy.toml" in str(caught.value)


def test_compress_prunes_a_bundle_on_the_reviews_it_learned_from(bow_folder, tmp_path):
    task = compressing.plan(str(bow_folder), "prune", {"ratio": 0.6}, ["stages=1"], data=None, seed=0)
    told = io.StringIO()
    step = compressing.compress(task, tmp_path / "small", resume=False, console=Console(file=told, width=200))
    assert step["ratio"] == 0.6
    assert load(tmp_path / "small").size_bytes < load(bow_folder).size_bytes
    assert "accuracy on validation" in told.getvalue() and "(before:" in told.getvalue()
    again = compressing.plan(str(tmp_path / "small"), "quantize", {}, [], data=None, seed=0)
    compressing.compress(again, tmp_path / "smaller", resume=False, console=QUIET)
    steps = load(tmp_path / "smaller").provenance.compression
    assert [step.method for step in steps] == ["prune", "quantize"]


def test_compress_distills_into_a_recipes_model_or_into_one_like_a_bundle(bow_folder, write, tmp_path):
    for number, student in enumerate((str(write(BOW)), str(bow_folder))):
        options = {"teachers": (str(bow_folder),)}
        assignments = ['transfer.sources=["train"]']
        task = compressing.plan(student, "distill", options, assignments, data=None, seed=0)
        compressing.compress(task, tmp_path / f"student{number}", resume=False, console=QUIET)
        assert load(tmp_path / f"student{number}").provenance.compression[0].method == "distill"
        assert (tmp_path / f"student{number}.training" / "soft-labels.parquet").exists()


def test_soft_labels_of_one_command_teach_a_student_of_another(bow_folder, write, toy_file, tmp_path):
    path = tmp_path / "soft.parquet"
    told = compressing.label([str(bow_folder)], path, ['sources=["train"]'], data=str(toy_file), console=QUIET)
    assert list(told["weights"]) == ["bow"]
    options = {"soft_labels": path}
    task = compressing.plan(str(write(BOW)), "distill", options, ['transfer.sources=["train"]'], data=None, seed=0)
    compressing.compress(task, tmp_path / "student", resume=False, console=QUIET)
    assert load(tmp_path / "student").provenance.compression[0].figures["teachers"] == told


def test_compress_refuses_what_cannot_be(bow_folder, write, toy_file, tmp_path):
    def task(model, method="prune", options=(), assignments=(), data=None):
        return compressing.plan(str(model), method, dict(options), assignments, data=data, seed=0)

    with pytest.raises(SettingsError, match="method sqeeze is unknown"):
        task(bow_folder, "sqeeze")
    with pytest.raises(SettingsError, match="--method prune: ratoi is unknown; did you mean ratio"):
        task(bow_folder, assignments=["ratoi=0.5"])
    with pytest.raises(SettingsError, match=r"--method prune: ratio = 1\.5: input should be less"):
        task(bow_folder, options={"ratio": 1.5})
    with pytest.raises(SettingsError, match="--method prune: teachers is unknown"):
        task(bow_folder, options={"teachers": ("bow",)})
    with pytest.raises(SettingsError, match="a student's recipe has one new model; this has 4 models"):
        task(write(CHAIN), "distill")
    with pytest.raises(SettingsError, match="exists already; give a new folder as --out"):
        compressing.compress(task(bow_folder), bow_folder, resume=False, console=QUIET)
    other = tmp_path / "other.csv"
    other.write_text(toy_file.read_text().replace("negative", "bad").replace("positive", "good"))
    with pytest.raises(SettingsError, match=r"knows negative, positive, but other\.csv has bad, good"):
        compressing.compress(task(bow_folder, data=str(other)), tmp_path / "x", resume=False, console=QUIET)


def test_a_students_recipe_that_says_how_to_distill_is_left_to_train(write):
    recipe = write(BOW + '[models.bow.distill]\nteachers = ["bow2"]')
    with pytest.raises(SettingsError, match="has a distill table; use plaudit train"):
        compressing.plan(str(recipe), "distill", {}, [], data=None, seed=None)


def test_a_students_recipe_with_an_objective_of_its_own_is_refused(write):
    student = """
    [models.lstm]
    kind = "lstm"
    train = { epochs = 1, max_learning_rate = 0.01 }
    objective = { losses = { entropy = 1.0 } }
    """
    with pytest.raises(SettingsError, match="objective"):
        compressing.plan(str(write(student)), "distill", {}, [], data=None, seed=None)


def test_a_students_recipe_gives_the_seed_unless_one_is_asked_for(write):
    recipe = write(BOW)
    recipe.write_text("seed = 7\n" + recipe.read_text())
    assert compressing.plan(str(recipe), "distill", {}, [], data=None, seed=None).seed == 7
    assert compressing.plan(str(recipe), "distill", {}, [], data=None, seed=0).seed == 0


def test_a_teacher_of_another_split_is_refused(write, bow_folder, tmp_path):
    teachers = json.dumps([str(bow_folder)])
    student = f'[models.student]\nkind = "bow"\n[models.student.distill]\nteachers = {teachers}'
    recipe = read_recipe(write(student), ["data.seed=5"])
    with pytest.raises(
        SettingsError, match=r"was trained on another split of reviews\.csv; give it and what is made of it"
    ):
        runs.train(recipe, tmp_path / "other", resume=False, console=QUIET)


def test_a_model_that_does_not_tell_its_reviews_needs_data(toy_bow_folder):
    with pytest.raises(SettingsError, match="does not record which reviews it was trained on; name some with --data"):
        compressing.plan(str(toy_bow_folder), "prune", {}, [], data=None, seed=0)


@pytest.fixture
def short_sweep(monkeypatch):
    monkeypatch.setattr(sweep, "RATIOS", (0.3, 0.6))
    monkeypatch.setattr(sweep, "NUM_SEEDS", 2)  # of networks; a bow comes out the same with every seed
    monkeypatch.setattr(sweep, "_SPEED_SECONDS", 0.01)


def plan_sweep(folder, *assignments):
    return compressing.plan(str(folder), "prune", {}, ["stages=2", *assignments], data=None, seed=0)


def test_a_sweep_tries_every_ratio_schedule_and_seed_and_draws_them(bow_folder, tmp_path, short_sweep):
    table = sweep.sweep(plan_sweep(bow_folder), tmp_path / "sweep", console=QUIET)
    assert [(row["schedule"], row["ratio"], row["seeds"]) for row in table] == [
        ("whole", 0.0, 1),
        ("gradual", 0.3, 1),
        ("one shot", 0.3, 1),
        ("gradual", 0.6, 1),
        ("one shot", 0.6, 1),
    ]
    assert table[0]["parameters"] > table[1]["parameters"] > table[3]["parameters"]
    assert all(row["lowest"] <= row["accuracy"] <= row["highest"] for row in table)
    drawn = (tmp_path / "sweep" / "sweep.svg").read_text()
    assert drawn.startswith("<svg") and "gradual" in drawn and "reviews per second" in drawn
    shown = io.StringIO()
    sweep_view.show(table, Console(file=shown, width=120))
    assert "one shot" in shown.getvalue()


def test_an_interrupted_sweep_goes_on_and_repeats_nothing(bow_folder, tmp_path, short_sweep, monkeypatch):
    really, made = sweep.build, []

    def build(*arguments, **options):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(None)
        return really(*arguments, **options)

    monkeypatch.setattr(sweep, "build", build)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(plan_sweep(bow_folder), tmp_path / "sweep", console=QUIET)
    made.clear()
    monkeypatch.setattr(sweep, "build", lambda *a, **o: (made.append(None), really(*a, **o))[1])
    sweep.sweep(plan_sweep(bow_folder), tmp_path / "sweep", console=QUIET)
    assert len(made) == 4 - 3
    assert len((tmp_path / "sweep" / sweep.ROWS_NAME).read_text().splitlines()) == 1 + 1 + 4


def test_a_folder_of_another_sweep_is_refused(bow_folder, tmp_path, short_sweep):
    sweep.sweep(plan_sweep(bow_folder), tmp_path / "sweep", console=QUIET)
    with pytest.raises(SettingsError, match=r"its sweep began with another settings\.epochs"):
        sweep.sweep(plan_sweep(bow_folder, "epochs=2"), tmp_path / "sweep", console=QUIET)
    (tmp_path / "sweep" / sweep.ROWS_NAME).write_text("{")
    with pytest.raises(DataError, match="not the rows of a sweep"):
        sweep.sweep(plan_sweep(bow_folder), tmp_path / "sweep", console=QUIET)


def test_a_sweep_has_ratios_of_its_own(bow_folder, tmp_path):
    task = compressing.plan(str(bow_folder), "prune", {"ratio": 0.5}, [], data=None, seed=0)
    with pytest.raises(SettingsError, match="a sweep has its own ratios"):
        sweep.sweep(task, tmp_path / "sweep", console=QUIET)
    with pytest.raises(SettingsError, match="stages = 1: a sweep compares one shot with stages"):
        sweep.sweep(plan_sweep(bow_folder, "stages=1"), tmp_path / "sweep", console=QUIET)
    with pytest.raises(SettingsError, match="a sweep needs --method prune"):
        task = compressing.plan(str(bow_folder), "quantize", {}, [], data=None, seed=0)
        sweep.sweep(task, tmp_path / "sweep", console=QUIET)

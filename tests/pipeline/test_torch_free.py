"""What needs no network imports no torch, which takes seconds and 200 MB."""

import subprocess
import sys
from pathlib import Path

RECIPES = Path(__file__).parents[2] / "recipes"
WITHOUT_TORCH = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NAMES:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Refuse())
"""


def run_without(modules, program, *arguments):
    program = f"NAMES = {modules!r}\n{WITHOUT_TORCH}\n{program}"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_bag_of_ngrams_is_trained_scored_and_reported_without_torch(toy_file, tmp_path):
    recipe = tmp_path / "toy.toml"
    recipe.write_text(f'[data]\nname = "{toy_file}"\n[models.bow]\nkind = "bow"\nmin_count = 2\nslot_bits = 16\n')
    program = (
        "from plaudit.evaluate.score import evaluate\n"
        "evaluate.__kwdefaults__['speed_seconds'] = 0.01\n"
        "from plaudit.cli.main import main\n"
        "main()"
    )
    out = tmp_path / "run"
    run_without({"torch"}, program, "run", str(recipe), "--out", str(out))
    assert (out / "results.json").exists()
    assert (out / "report.html").exists()


def test_every_recipe_is_read_without_torch_and_scikit_learn():
    program = (
        "from pathlib import Path\n"
        "from plaudit.pipeline.recipe import read_recipe\n"
        "from plaudit.pipeline.shipped import SHIPPED\n"
        f"for folder in (SHIPPED, Path({str(RECIPES)!r})):\n"
        "    for path in folder.glob('*.toml'): read_recipe(path)"
    )
    run_without({"torch", "sklearn", "transformers"}, program)

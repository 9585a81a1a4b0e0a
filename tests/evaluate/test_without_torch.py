import subprocess
import sys


def test_a_bag_of_ngrams_is_evaluated_explained_and_reported_on_without_torch(toy_bow_folder, toy_file, tmp_path):
    # In a process of its own, since other tests have loaded torch.
    script = """
import sys
sys.modules["torch"] = None
from pathlib import Path
from rich.console import Console
from plaudit.data.labelled_file import read_labelled_file
from plaudit.explain.explanation import explain
from plaudit.evaluate.results import add_results
from plaudit.evaluate.robustness.run import robustness
from plaudit.evaluate.score import evaluate
from plaudit.predictor import load
from plaudit.report.write import write_report
model, data, out = load(sys.argv[1]), read_labelled_file(Path(sys.argv[2])), Path(sys.argv[3])
quiet = Console(quiet=True)
names = {"model_name": "toy", "data_name": "reviews", "split": "all"}
scored = evaluate(model, data.table, label_names=data.labels, console=quiet, speed_seconds=0.01, **names)
robustness({"toy": model}, sets=None, files=(), perturbed=None, console=quiet)
explain(model, ["a lovely film"])
add_results(out / "results.json", [scored.result])
print(write_report(out, out / "report.html").exists())
"""
    arguments = [sys.executable, "-c", script, toy_bow_folder, toy_file, tmp_path]
    assert subprocess.run(arguments, capture_output=True, text=True, check=True).stdout == "True\n"

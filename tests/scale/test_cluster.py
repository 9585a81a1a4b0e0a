import json
import os
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from plaudit.data.formats.find import find_files
from plaudit.errors import MissingExtraError, OutputError
from plaudit.predictor import load
from plaudit.scale import cluster
from plaudit.scale.arrow_scorer import ArrowScorer
from plaudit.scale.folder import score_folder
from tests.conftest import toy_reviews

ENVIRONMENT = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}


def test_ray_that_is_not_installed_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(MissingExtraError, match=r"--engine ray needs ray: pip install 'plaudit\[cluster\]'"):
        cluster.ray_engine(tmp_path, address=None)


def test_a_worker_scores_a_part_once_and_returns_errors_that_a_user_can_fix(
    toy_bow_folder, toy_file, tmp_path, monkeypatch
):
    predictor = load(toy_bow_folder)
    monkeypatch.setattr(cluster, "_scorer", lambda *_: ArrowScorer(predictor))
    monkeypatch.setenv("PLAUDIT_THREADS", "2")  # which a worker changes
    results = []

    def engine(predictor, folder, parts, progress):
        for part in parts:
            row = {"part": part.model_dump_json()}
            for _ in range(2):  # as Ray does if it has lost the answer
                results.append(cluster._scored_row(row, folder.path, folder.job, predictor.digest, None))
                written.append(folder.out(part).stat().st_mtime_ns)
            toy_file.unlink()
            folder.out(part).unlink()
            results.append(cluster._scored_row(row, folder.path, folder.job, predictor.digest, None))

    written = []
    files = find_files([str(toy_file)])
    options = {"suffix": ".csv", "column": None, "drop": (), "rejects": True, "resume": False}
    with pytest.raises(OutputError, match="is not there; do all nodes see this folder"):
        score_folder(predictor, files, tmp_path / "out", engine=engine, console=Console(quiet=True), **options)
    assert results[0] == results[1] == {"rows": 60, "size_bytes": files[0].size_bytes, "error": "", "message": ""}
    assert written[0] == written[1]
    assert (results[2]["error"], results[2]["message"]) == ("DataError", f"{toy_file}: no such file")


@pytest.fixture
def parquet(tmp_path):
    """A file of 24 parts, some of them with a row that cannot be read; each part takes a tenth of a second and more."""
    texts = [f"{text} " * 400 for text, _ in toy_reviews(1_000)]
    path = tmp_path / "reviews.parquet"
    schema = pa.schema([("id", pa.int64()), ("text", pa.binary())])
    with pq.ParquetWriter(path, schema) as writer:
        for group in range(24):
            column = [text.encode() for text in texts]
            if group % 5 == 0:
                column[7] = b"caf\xe9"
            writer.write_table(pa.table([range(group * 1000, group * 1000 + 1000), column], schema=schema))
    return path


def predict(model, source, out, *options):
    # Each row group is more than a part may hold, so it is one.
    program = "from plaudit.scale import job; job.PART_BYTES = 1 << 20\nfrom plaudit.cli.main import main; main()"
    arguments = ["predict", "-m", model, "-i", source, "-o", f"{out}/", "--drop", "text", *options]
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments), "--json"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("part-*") if "_done" not in str(path)
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_is_killed_midway_loses_nothing_and_doubles_nothing(toy_bow_folder, parquet, tmp_path, monkeypatch):
    utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    assert json.loads(predict(toy_bow_folder, parquet, alone).communicate()[0])["rows"] == 23_995
    nodes = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        doomed = nodes.add_node(num_cpus=1)
        running = predict(toy_bow_folder, parquet, killed, "--engine", "ray", "--ray-address", nodes.address)
        while len(list(killed.glob("part-*"))) < 4 and running.poll() is None:
            time.sleep(0.02)
        num_done = len(list(killed.glob("part-*")))
        nodes.remove_node(doomed, allow_graceful=False)
        assert json.loads(running.communicate(timeout=100)[0])["rejected"] == 5
    finally:
        nodes.shutdown()
    assert 4 <= num_done < 24
    assert contents(killed) == contents(alone)
    assert len(contents(alone)) == 24 + 5
    assert pq.read_table(killed)["id"].to_pylist() == [i for i in range(24_000) if i % 5000 != 7]
    assert not list(killed.rglob("*.tmp"))

import hashlib
import json
import re
import shutil
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import plaudit
from plaudit.bundle import hub
from plaudit.bundle.folder import read_files
from plaudit.errors import BundleError, OutputError
from plaudit.evaluate.card import write_card
from plaudit.publishing import copy_bundle, push_to_hub, write_repository

pytest.importorskip("huggingface_hub")

TEXTS = ["a lovely film", "a dull film"]


class Hub(ThreadingHTTPServer):
    """So much of the hub's interface as one repository needs; each commit keeps all files that it adds."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.commits = {}
        self.created = []
        self.refuse = None

    def add_commit(self, files):
        self.commits[hashlib.sha1(str(len(self.commits)).encode()).hexdigest()] = files

    def commit(self, revision):
        return list(self.commits)[-1] if revision == "main" and self.commits else revision


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refuse is not None:
            self.answer({"error": "You may not."}, status=self.server.refuse)
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self.answer({"url": f"{self.server.url}/me/reviews"})
        elif self.path == "/api/validate-yaml":
            self.answer({})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
            self.answer({"files": modes})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            added = [line["value"] for line in lines if line["key"] == "file"]
            self.server.add_commit({file["path"]: b64decode(file["content"]) for file in added})
            sha = self.server.commit("main")
            self.answer({"commitOid": sha, "commitUrl": f"{self.server.url}/me/reviews/commit/{sha}"})

    def do_GET(self):
        path = self.path.partition("?")[0]
        found = re.fullmatch(r"/api/models/me/reviews/(revision|tree)/([^/]+)", path)
        sha = self.server.commit(found[2]) if found else None
        if found and sha not in self.server.commits:
            self.answer({"error": "no such revision"}, status=404, code="RevisionNotFound")
        elif found and found[1] == "revision":
            names = [{"rfilename": name} for name in self.server.commits[sha]]
            self.answer({"id": "me/reviews", "sha": sha, "siblings": names})
        elif found:
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in self.server.commits[sha].items()
            ]
            self.answer(entries)
        else:
            self.file(path)

    do_HEAD = do_GET  # noqa: N815

    def file(self, path):
        found = re.fullmatch(r"/me/reviews/resolve/([^/]+)/(.+)", path)
        if not found:
            self.answer({"error": "no such repository"}, status=404, code="RepoNotFound")
            return
        sha = self.server.commit(found[1])
        if sha not in self.server.commits:
            self.answer({"error": "no such revision"}, status=404, code="RevisionNotFound")
        elif found[2] not in self.server.commits[sha]:
            self.answer({"error": "no such file"}, status=404, code="EntryNotFound", sha=sha)
        else:
            self.answer(self.server.commits[sha][found[2]], sha=sha)

    def answer(self, content, *, status=200, code=None, sha=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("X-Error-Code", code)
        if sha:
            self.send_header("X-Repo-Commit", sha)
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    with Hub() as started:
        monkeypatch.setattr(constants, "ENDPOINT", started.url)
        template = started.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", started.url)
        thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield started
        started.shutdown()
        thread.join()


@pytest.fixture
def cached(tmp_path, monkeypatch, toy_bow_folder):
    """A model in the cache as huggingface_hub lays it out, and no network."""
    from huggingface_hub import constants

    sha = "a" * 40
    repository = tmp_path / "cache" / "models--me--reviews"
    write_repository(toy_bow_folder, repository / "snapshots" / sha, repo_id="me/reviews")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(sha)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return repository


def front_matter(folder):
    head = (folder / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    return {key: json.loads(value) for key, value in (line.split(": ", 1) for line in head.splitlines())}


def test_what_is_pushed_is_what_loads(server, toy_bow_folder):
    address = push_to_hub(toy_bow_folder, "me/reviews", private=True, token="hf_x")
    assert address == f"{server.url}/me/reviews/commit/{server.commit('main')}"
    (created,) = server.created
    assert created.get("visibility") == "private" or created.get("private") is True  # by version of huggingface_hub
    loaded = plaudit.load("hf://me/reviews")
    assert loaded.digest == plaudit.load(toy_bow_folder).digest
    assert loaded.predict(TEXTS) == ["positive", "negative"]


def test_a_revision_loads_the_model_of_that_commit(server, toy_bow_folder):
    push_to_hub(toy_bow_folder, "me/reviews")
    first = server.commit("main")
    push_to_hub("bow", "me/reviews")
    assert plaudit.load("hf://me/reviews").digest == plaudit.load("bow").digest
    assert plaudit.load(f"hf://me/reviews@{first}").digest == plaudit.load(toy_bow_folder).digest


def test_other_files_of_a_repository_are_not_fetched(server, toy_bow_folder, tmp_path):
    write_repository(toy_bow_folder, tmp_path / "repository", repo_id="me/reviews")
    files = {path.name: path.read_bytes() for path in (tmp_path / "repository").iterdir()}
    server.add_commit({**files, "model.pkl": b"evil", ".gitattributes": b""})
    folder = hub.fetch("hf://me/reviews")
    assert {path.name for path in folder.iterdir()} == {"bundle.json", "weights.safetensors", "README.md"}
    assert plaudit.load("hf://me/reviews").predict(TEXTS) == ["positive", "negative"]


def test_once_fetched_a_model_loads_without_a_network(server, toy_bow_folder, monkeypatch):
    from huggingface_hub import constants

    push_to_hub(toy_bow_folder, "me/reviews")
    plaudit.load("hf://me/reviews")
    server.commits.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert plaudit.load("hf://me/reviews").predict(TEXTS) == ["positive", "negative"]


def test_a_cached_folder_layout_loads_offline(cached):
    assert plaudit.load("hf://me/reviews").predict(TEXTS) == ["positive", "negative"]
    assert plaudit.load("hf://me/reviews@main").kind == "bow"


def test_the_command_line_takes_a_model_of_the_hub(cached):
    from typer.testing import CliRunner

    from plaudit.cli.main import app

    done = CliRunner().invoke(app, ["predict", "--model", "hf://me/reviews", "--json", "a lovely film"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["label"] == "positive"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("hf://me", "write it as hf://OWNER/NAME"),
        ("hf://me/reviews@", "write it as hf://OWNER/NAME"),
        ("hf://me/other/three", "write it as hf://OWNER/NAME"),
        ("hf://me/other", "hf://me/other: is not on the hub, or private"),
        ("hf://me/reviews@none", "hf://me/reviews@none: has no revision none"),
        ("hf://me/reviews", "hf://me/reviews: has no bundle.json; it is not a Plaudit model"),
    ],
)
def test_what_is_not_on_the_hub_is_said_in_one_line(server, reference, message):
    server.add_commit({"config.json": b"{}"})
    with pytest.raises(BundleError, match=re.escape(message)):
        plaudit.load(reference)


def test_a_foreign_bundle_json_is_refused(server):
    server.add_commit({"bundle.json": b"[1]"})
    with pytest.raises(BundleError, match=r"its bundle\.json was not written by Plaudit"):
        plaudit.load("hf://me/reviews")


def test_a_changed_file_of_a_repository_is_refused(cached):
    (weights,) = cached.glob("snapshots/*/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match="changed since it was saved"):
        plaudit.load("hf://me/reviews")


def test_what_never_was_fetched_is_refused_offline(cached):
    with pytest.raises(BundleError, match="cannot be reached and is not in the cache"):
        plaudit.load("hf://me/other")


def test_a_refusal_of_the_hub_is_one_line(server, toy_bow_folder):
    server.refuse = 403
    with pytest.raises(OutputError, match=r"^me/reviews: the hub answered 403 .*hf auth login"):
        push_to_hub(toy_bow_folder, "me/reviews", token="hf_x")


def test_a_bad_name_of_a_repository_is_refused(server, toy_bow_folder):
    with pytest.raises(OutputError, match="write OWNER/NAME"):
        push_to_hub(toy_bow_folder, "me/re views/x")


def test_the_card_has_the_metadata_of_the_hub_and_says_how_to_load(toy_bow_folder, tmp_path, make_result):
    write_repository(toy_bow_folder, tmp_path / "model", repo_id="me/reviews", results=[make_result()])
    head = front_matter(tmp_path / "model")
    assert head["library_name"] == "plaudit"
    assert head["pipeline_tag"] == "text-classification"
    assert "license" not in head  # the owner's to give
    assert head["model-index"][0]["results"][0]["metrics"][0] == {"type": "accuracy", "value": 0.9}
    assert 'plaudit.load("hf://me/reviews")' in (tmp_path / "model" / "README.md").read_text()


def test_the_card_of_a_run_loads_from_where_it_was_pushed(toy_bow_folder, tmp_path, make_result):
    source = shutil.copytree(toy_bow_folder, tmp_path / "source")
    write_card(source, "toy", [make_result()], address="/home/me/runs/mine/models/toy")
    write_repository(source, tmp_path / "model", repo_id="me/reviews")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert 'plaudit.load("hf://me/reviews")' in card
    assert "/home/me" not in card
    assert "90.0 % accuracy on 10 texts" in card


def test_a_license_that_is_given_is_claimed(toy_bow_folder, tmp_path):
    write_repository(toy_bow_folder, tmp_path / "model", repo_id="me/reviews", license="mit")
    assert front_matter(tmp_path / "model")["license"] == "mit"


def test_a_card_that_is_there_is_kept(toy_bow_folder, tmp_path):
    source = shutil.copytree(toy_bow_folder, tmp_path / "source")
    (source / "README.md").write_text("my own words")
    write_repository(source, tmp_path / "model", repo_id="me/reviews")
    assert (tmp_path / "model" / "README.md").read_text() == "my own words"


def test_a_copied_bundle_is_the_same_bundle(toy_bow_folder, tmp_path):
    copy_bundle(toy_bow_folder, tmp_path / "copy")
    assert read_files(tmp_path / "copy") == read_files(toy_bow_folder)

import hashlib
import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as save_tensors

from plaudit.bundle.folder import CALIBRATION, FORMAT, MANIFEST, TRAINED_ON, WEIGHTS, load_bundle, save_bundle
from plaudit.bundle.trained import Provenance, RecipeExcerpt, TrainedModel
from plaudit.errors import BundleError, OutputError
from plaudit.models.calibration import Calibration

TEXTS = ["a lovely film", "a dull story", ""]


@pytest.fixture
def folder(toy_bow_folder, tmp_path):
    """A copy of a bundle, to be spoilt."""
    return shutil.copytree(toy_bow_folder, tmp_path / "model")


def rewrite_manifest(folder, **changes):
    """Change bundle.json and its own digest with it, as somebody who means harm would."""
    content = json.loads((folder / MANIFEST).read_bytes())
    del content["sha256"]
    content |= changes
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps({**content, "sha256": digest}, indent=1, ensure_ascii=False) + "\n")


def replace_file(folder, name, data):
    """Change a file and its digest in bundle.json."""
    (folder / name).write_bytes(data)
    digest = {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    files = json.loads((folder / MANIFEST).read_bytes())["files"]
    rewrite_manifest(folder, files={**files, name: digest})


def test_a_saved_model_is_loaded_as_it_was(toy_bow, tmp_path):
    recipe = RecipeExcerpt(name="Ärger", seed=3, data={"name": "imdb"}, models={"bow": {"kind": "bow"}})
    provenance = Provenance(validation_accuracy=0.9123456, train_seconds=1.2345, recipe=recipe)
    save_bundle(TrainedModel(model=toy_bow, provenance=provenance), tmp_path / "new" / "model")
    bundle = load_bundle(tmp_path / "new" / "model")
    assert np.array_equal(bundle.model.predict_proba(TEXTS), toy_bow.predict_proba(TEXTS))
    assert bundle.manifest.labels == toy_bow.labels
    assert bundle.provenance == Provenance(validation_accuracy=0.91235, train_seconds=1.23, recipe=recipe)
    assert (bundle.provenance.seed, bundle.provenance.data, bundle.is_language_model) == (3, {"name": "imdb"}, False)
    assert bundle.model.settings == toy_bow.settings
    assert bundle.size_bytes == sum(path.stat().st_size for path in (tmp_path / "new" / "model").iterdir())
    assert bundle.num_parameters == toy_bow.weights.size + toy_bow.bias.size


def test_the_same_model_is_saved_as_the_same_bytes(toy_bow, tmp_path):
    for name in ("first", "second"):
        save_bundle(TrainedModel(model=toy_bow), tmp_path / name)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_digests_of_training_texts_may_be_deleted_and_do_not_count(toy_bow, toy_bow_folder, tmp_path):
    known = np.array([3, 2**63 + 1], np.uint64)
    save_bundle(TrainedModel(model=toy_bow, trained_on=known), tmp_path / "model")
    save_bundle(TrainedModel(model=toy_bow), tmp_path / "without")
    bundle, without = load_bundle(tmp_path / "model"), load_bundle(tmp_path / "without")
    assert bundle.trained_on.tolist() == known.tolist()
    assert (bundle.size_bytes, bundle.digest) == (without.size_bytes, without.digest)
    assert (tmp_path / "model" / TRAINED_ON).read_bytes() == known.astype("<u8").tobytes()
    (tmp_path / "model" / TRAINED_ON).unlink()
    assert load_bundle(tmp_path / "model").trained_on is None
    (tmp_path / "model" / TRAINED_ON).write_bytes(bytes(12))
    with pytest.raises(BundleError, match=r"trained-on\.bin: damaged.*delete it"):
        load_bundle(tmp_path / "model")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_any_file_is_refused(folder, data):
    path = folder / data.draw(st.sampled_from(sorted(path.name for path in folder.iterdir())))
    before = path.read_bytes()
    position = data.draw(st.integers(0, len(before) - 1))
    flipped = before[position] ^ data.draw(st.integers(1, 255))
    path.write_bytes(before[:position] + bytes([flipped]) + before[position + 1 :])
    try:
        with pytest.raises(BundleError, match=str(folder)) as caught:
            load_bundle(folder)
        assert len(str(caught.value).splitlines()) == 1
    finally:
        path.write_bytes(before)
    load_bundle(folder)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cut_file_is_refused(folder, data):
    path = folder / data.draw(st.sampled_from(sorted(path.name for path in folder.iterdir())))
    before = path.read_bytes()
    path.write_bytes(before[: data.draw(st.integers(0, len(before) - 1))])
    try:
        with pytest.raises(BundleError):
            load_bundle(folder)
    finally:
        path.write_bytes(before)


def test_a_missing_file_is_refused(folder):
    (folder / WEIGHTS).unlink()
    with pytest.raises(BundleError, match=r"weights\.safetensors: cannot be read"):
        load_bundle(folder)


def test_a_foreign_file_is_refused(folder):
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"notes\.txt: not part of this bundle"):
        load_bundle(folder)


def test_what_a_file_manager_leaves_behind_is_no_foreign_file(folder):
    (folder / ".DS_Store").write_bytes(b"\0")
    load_bundle(folder)


def test_a_newer_format_is_refused_whatever_else_it_holds(folder):
    newer = "plaudit-bundle-1000"
    (folder / MANIFEST).write_text(json.dumps({"format": newer, "sha256": "?", "shape": "unheard of"}))
    with pytest.raises(BundleError, match=f"format {newer}, but .* reads {FORMAT}; upgrade plaudit"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"format": 1, "sha256": ""}',
        b'{"format": "x", "sha256": ""}',
        b'{"format": "plaudit-bundle-1", "sha256": ""}',
    ],
)
def test_a_manifest_of_something_else_is_refused(folder, content):
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=r"bundle\.json: not written by Plaudit"):
        load_bundle(folder)


def test_a_path_that_is_no_model_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(BundleError, match="not a model folder"):
            load_bundle(path)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/b", "..", ".", "", "a\0", ".hidden", MANIFEST])
def test_a_manifest_that_names_a_file_outside_the_folder_is_refused(folder, name):
    files = json.loads((folder / MANIFEST).read_bytes())["files"]
    rewrite_manifest(folder, files={**files, name: {"size_bytes": 0, "sha256": hashlib.sha256().hexdigest()}})
    with pytest.raises(BundleError, match="is not a file name inside the folder"):
        load_bundle(folder)


def test_a_link_is_followed_only_to_the_very_bytes_that_were_saved(folder, tmp_path):
    elsewhere = shutil.move(folder / WEIGHTS, tmp_path / "elsewhere")
    (folder / WEIGHTS).symlink_to(elsewhere)
    load_bundle(folder)
    (tmp_path / "elsewhere").write_bytes(b"\0" * (tmp_path / "elsewhere").stat().st_size)
    with pytest.raises(BundleError, match=r"weights\.safetensors: changed since it was saved"):
        load_bundle(folder)


def test_weights_that_are_no_safetensors_are_refused_and_never_unpickled(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    replace_file(folder, WEIGHTS, pickle.dumps(Evil()))
    with pytest.raises(BundleError, match="not a safetensors file"):
        load_bundle(folder)
    assert not (tmp_path / "executed").exists()


def test_weights_of_another_shape_are_refused(folder):
    replace_file(folder, WEIGHTS, save_tensors({"keys": np.zeros((2, 2), np.uint32)}))
    with pytest.raises(BundleError, match=r"model: a bow model of 2 labels holds tensors"):
        load_bundle(folder)


def test_a_manifest_without_weights_is_refused(folder):
    (folder / WEIGHTS).unlink()
    rewrite_manifest(folder, files={})
    with pytest.raises(BundleError, match=r"lists no weights\.safetensors"):
        load_bundle(folder)


def test_an_unknown_kind_is_refused(folder):
    rewrite_manifest(folder, kind="oracle")
    with pytest.raises(BundleError, match=r"model kind oracle is unknown; .*newer version"):
        load_bundle(folder)


def test_an_unknown_setting_is_refused(folder):
    rewrite_manifest(folder, settings={"kind": "bow", "max_ordr": 3})
    with pytest.raises(BundleError, match=r"settings\.max_ordr is unknown"):
        load_bundle(folder)


def test_saving_over_anything_is_refused_and_leaves_it(toy_bow, folder):
    before = (folder / MANIFEST).read_bytes()
    with pytest.raises(OutputError, match="the model cannot be written"):
        save_bundle(TrainedModel(model=toy_bow), folder)
    assert (folder / MANIFEST).read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_target_that_cannot_be_is_refused(toy_bow, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="name a new folder where there is room"):
        save_bundle(TrainedModel(model=toy_bow), tmp_path / "file" / "model")


def test_a_full_disk_leaves_nothing(toy_bow_folder, tmp_path):
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from plaudit.bundle.folder import load_bundle, save_bundle\n"
        "from plaudit.bundle.trained import TrainedModel\n"
        "from plaudit.errors import OutputError\n"
        "model = load_bundle(Path(sys.argv[1])).model\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
        "try: save_bundle(TrainedModel(model=model), Path(sys.argv[2]))\n"
        "except OutputError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(toy_bow_folder), str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "the model cannot be written (File too large)" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_calibration_this_version_does_not_know_is_refused(toy_bow, tmp_path):
    calibration = Calibration(method="temperature", temperature=2)
    save_bundle(TrainedModel(model=toy_bow, calibration=calibration), tmp_path / "model")
    assert load_bundle(tmp_path / "model").calibration.temperature == 2
    replace_file(tmp_path / "model", CALIBRATION, b'{"method": "beta", "a": 1}')
    with pytest.raises(BundleError, match=r"calibration\.json: not a calibration this version"):
        load_bundle(tmp_path / "model")


def test_a_bundle_without_calibration_has_no_such_file(toy_bow_folder):
    assert load_bundle(toy_bow_folder).calibration is None
    assert not (toy_bow_folder / CALIBRATION).exists()

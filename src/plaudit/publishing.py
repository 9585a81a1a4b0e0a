"""Push a trained model to the Hugging Face Hub, from where `plaudit.load("hf://OWNER/NAME")` loads it.

The repository holds the bundle's files at its root, and the model card with its metadata as README.md (extra `hub`).
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from plaudit.bundle.folder import CARD, MANIFEST, TRAINED_ON, read_files
from plaudit.bundle.hub import PREFIX
from plaudit.bundle.locate import model_folder
from plaudit.errors import MissingExtraError, OutputError
from plaudit.evaluate.card import with_address, write_card
from plaudit.evaluate.results import Result

if TYPE_CHECKING:
    from plaudit.classifier import Classifier

Trained: TypeAlias = Union["Classifier", str, Path]
"""A fitted classifier, the name of a model that ships with the package, or a model folder."""


def push_to_hub(
    model: Trained,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    message: str = "Add a model",
    results: Sequence[Result] = (),
    license: str | None = None,
) -> str:
    """Make or update the repository OWNER/NAME and return the address of the commit.

    `results` are this model's, for its card; a folder that has a card keeps it unless there are some, and its example
    then loads from the hub. `license` is an identifier of the hub, such as mit; without one, a new card claims none.
    `revision` is a branch that exists. OutputError if the hub refuses, BundleError if there is no such model.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError
    except ImportError:
        raise MissingExtraError("push_to_hub needs huggingface_hub: pip install 'plaudit[hub]'") from None
    hub = HfApi(token=token, library_name="plaudit")
    with tempfile.TemporaryDirectory(prefix="plaudit-") as temporary:
        folder = Path(temporary) / "model"
        write_repository(model, folder, repo_id=repo_id, results=results, license=license)
        try:
            hub.create_repo(repo_id, private=private, exist_ok=True)
            commit = hub.upload_folder(repo_id=repo_id, folder_path=folder, revision=revision, commit_message=message)
        except HFValidationError as error:
            raise OutputError(f"{repo_id}: not a repository name: {error}; write OWNER/NAME") from None
        except HfHubHTTPError as error:
            reason = error.server_message or "no reason given"
            raise OutputError(
                f"{repo_id}: the hub answered {error.response.status_code} ({reason}); "
                "log in with `hf auth login`, or give a token that may write there"
            ) from None
        except (HTTPError, OSError) as error:
            raise OutputError(f"{repo_id}: the hub cannot be reached ({error}); try again with a network") from None
    return str(commit.commit_url)


def write_repository(
    model: Trained, folder: Path, *, repo_id: str, results: Sequence[Result] = (), license: str | None = None
) -> None:
    """Write what a repository holds into a new folder: the bundle's files and the card."""
    copy_bundle(model, folder)
    card = folder / CARD
    if results or license is not None or not card.exists():
        write_card(folder, repo_id, results, address=PREFIX + repo_id, license=license)
    else:
        card.write_text(with_address(card.read_text(encoding="utf-8"), PREFIX + repo_id), encoding="utf-8")


def copy_bundle(model: Trained, folder: Path) -> None:
    """Write a trained model as a new model folder, its card too if it has one; BundleError if it is damaged.

    The digests of its training texts stay at home.
    """
    if not isinstance(model, str | Path):
        model.save(folder)
        (folder / TRAINED_ON).unlink(missing_ok=True)
        return
    source = model_folder(model)
    manifest, _ = read_files(source)
    folder.mkdir(parents=True)
    for name in (MANIFEST, CARD, *manifest.files):
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)

"""Download models from the Hugging Face Hub to folders on this machine.

A repository holds the files of a bundle at its root and the model card as README.md. Only what bundle.json lists is
fetched, so that a repository may hold other files, and loading executes none of them (extra `hub`).
"""

import json
import re
from pathlib import Path

from plaudit.bundle.folder import CARD, MANIFEST
from plaudit.errors import BundleError, MissingExtraError

PREFIX = "hf://"


def fetch(reference: str) -> Path:
    """Return the folder of hf://OWNER/NAME or hf://OWNER/NAME@REVISION, fetched unless it is in the hub's cache.

    Without a network, or with HF_HUB_OFFLINE=1, the cached version serves. BundleError if there is none, or if the
    repository holds no bundle.
    """
    repo_id, revision = split_reference(reference)
    try:
        from huggingface_hub import hf_hub_download, snapshot_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError:
        raise MissingExtraError("hf:// needs huggingface_hub: pip install 'plaudit[hub]'") from None
    try:
        manifest = Path(hf_hub_download(repo_id, MANIFEST, revision=revision))
        names = _listed(reference, manifest)
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=[MANIFEST, CARD, *names]))
    except HFValidationError as error:
        problem = f"not a repository name: {error}"
    except LocalEntryNotFoundError:
        problem = "cannot be reached and is not in the cache; fetch it once with a network"
    except RevisionNotFoundError:
        problem = f"has no revision {revision}; give a branch, a tag or a commit"
    except RepositoryNotFoundError:
        problem = "is not on the hub, or private; check its name, or log in with `hf auth login`"
    except EntryNotFoundError:
        problem = f"has no {MANIFEST}; it is not a Plaudit model"
    except HfHubHTTPError as error:
        problem = f"the hub answered {error.response.status_code}; try again later"
    raise BundleError(f"{reference}: {problem}") from None


def split_reference(reference: str) -> tuple[str, str | None]:
    """Return owner/name and the revision of hf://OWNER/NAME@REVISION; BundleError if it is not written so."""
    found = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", reference)
    if found is None:
        raise BundleError(f"{reference}: write it as hf://OWNER/NAME or hf://OWNER/NAME@REVISION")
    return found[1], found[2]


def _listed(reference: str, manifest: Path) -> list[str]:
    try:
        return list(json.loads(manifest.read_bytes())["files"])
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"{reference}: its {MANIFEST} was not written by Plaudit") from None

"""Where a model is: one that ships with the package, a folder, or a repository on the Hugging Face Hub."""

from pathlib import Path

from plaudit.errors import BundleError
from plaudit.settings import unknown_name

SHIPPED = Path(__file__).parents[1] / "shipped"
DEFAULT_MODEL = "bow"


def model_folder(model: str | Path) -> Path:
    """Return the folder of a shipped model, of a bundle or of hf://OWNER/NAME; BundleError if there is none."""
    if model in shipped_models():
        return SHIPPED / str(model)
    if str(model).startswith("hf://"):  # the extra `hub` is for those alone who name a model there
        from plaudit.bundle.hub import fetch

        return fetch(str(model))
    if not Path(model).is_dir():
        raise BundleError(f"model {model} {unknown_name(str(model), shipped_models())}; or give a model folder")
    return Path(model)


def shipped_models() -> list[str]:
    """Return the names of the models that ship with the package, the default one first."""
    names = (path.name for path in SHIPPED.iterdir() if path.is_dir() and not path.name.startswith("_"))
    return sorted(names, key=lambda name: (name != DEFAULT_MODEL, name))

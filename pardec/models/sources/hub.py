"""A checkpoint on the Hugging Face hub, at a pinned commit, with every file's checksum.

Checksums come from the study or, where it has none, from a lock that the first download writes beside the
model's folder. Once every file they name is in the local cache and agrees, nothing asks the network again.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from pardec.common.errors import UserError
from pardec.common.files import read_json, sha256, write_json
from pardec.models.sources.folder import TAKEN, ForeignSettings, install, known_shape
from pardec.models.sources.verification import VerifySettings

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class HubSettings(ForeignSettings):
    """A model fetched from the hub, at a fixed revision."""

    source: Literal["hub"]
    """Where the weights come from."""
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    """Its name on the hub, `owner/name`."""
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    """The commit, 40 hexadecimal digits; a branch or a tag can move and is refused."""
    shape: str | None = None
    """The published shape it has, such as llada-8b: for planning before anything is downloaded."""
    verify: VerifySettings | None = None
    """Outputs that its authors published; no cell runs the model before it reproduces them. Null: no check."""
    checksums: dict[str, Digest] = Field(default_factory=dict)
    """SHA-256 of its files by name; if empty, the first download is trusted and later ones must equal it."""

    _known = field_validator("shape")(known_shape)


def fetch(settings: HubSettings, out_dir: str | Path, seed: int) -> dict[str, Any]:
    """Download (or find in the cache), verify, and bring into `out_dir`; return what source.json says.

    `seed` is not used.

    Raises:
        UserError: the hub cannot be reached, the repository is gated or unknown, the commit does not exist, a
            file is missing or differs from its checksum, or the weights are pickled.
    """
    out = Path(out_dir)
    lock = lock_path(out)
    expected = settings.checksums or locked(lock, settings)
    folder = cached(settings, expected) or download(settings)
    verify(settings, folder, expected)
    facts = {"source": "hub", "repo": settings.repo, "revision": settings.revision}
    source = install(folder, out, settings, facts, link=True)
    if not expected:
        digests = {name: entry["sha256"] for name, entry in source["files"].items()}
        write_json(lock, {"repo": settings.repo, "revision": settings.revision, "files": digests})
    return source


def lock_path(out: Path) -> Path:
    """Return the path of the lock file: beside the folder, so that it outlives it."""
    return out.with_name(f"{out.name}.lock.json")


def locked(lock: Path, settings: HubSettings) -> dict[str, str]:
    """Return the checksums that an earlier download of the same commit wrote; none where there was none."""
    if not lock.exists():
        return {}
    content = read_json(lock)
    same = (content.get("repo"), content.get("revision")) == (settings.repo, settings.revision)
    return content.get("files", {}) if same else {}


def cached(settings: HubSettings, expected: dict[str, str]) -> Path | None:
    """Return the commit's folder in the local cache if it contains every expected file; asks no network."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    if not expected:
        return None
    try:
        folder = _snapshot(settings, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    return folder if all((folder / name).is_file() for name in expected) else None


def download(settings: HubSettings) -> Path:
    """Download the commit into the local cache.

    Raises:
        UserError: see `fetch`.
    """
    import huggingface_hub.errors as hub

    where = f"hub model {settings.repo}"
    try:
        return _snapshot(settings, local_files_only=False)
    except hub.GatedRepoError:
        fix = "accept its terms on the hub, then set HF_TOKEN"
        raise UserError(where, "is gated: the hub wants an account that may read it", fix) from None
    except hub.RepositoryNotFoundError:
        fix = "check the name; a private repository needs HF_TOKEN"
        raise UserError(where, "does not exist or is private", fix) from None
    except hub.RevisionNotFoundError:
        raise UserError(where, f"has no commit {settings.revision}", "check the revision") from None
    except Exception as error:  # whatever its transport raises: a read that times out comes through as it is
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            fix = "free some space, or set HF_HOME to a folder on a larger disk; `pardec plan` says how much"
            raise UserError(where, "does not fit on the disk", fix) from None
        what = f"cannot be downloaded ({(str(error).splitlines() or [type(error).__name__])[0]})"
        fix = "check the network and try again; where there is none, give the folder with source: path"
        raise UserError(where, what, fix) from None


def verify(settings: HubSettings, folder: Path, expected: dict[str, str]) -> None:
    """Compare each expected file with its checksum.

    Raises:
        UserError: a file is missing or differs; names it and both checksums.
    """
    for name, digest in expected.items():
        where = f"hub model {settings.repo}, file {name}"
        if not (folder / name).is_file():
            raise UserError(
                where, f"is not in commit {settings.revision[:12]}", "check the checksums of the model"
            )
        actual = sha256(folder / name)
        if actual != digest:
            fix = (
                f"remove {folder / name} to download it again, or mend the checksum if the study has it wrong"
            )
            raise UserError(where, f"has SHA-256 {actual} and should have {digest}", fix)


def _snapshot(settings: HubSettings, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            settings.repo,
            revision=settings.revision,
            allow_patterns=list(TAKEN),
            local_files_only=local_files_only,
        )
    )

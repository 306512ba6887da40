"""The data folder of a local cloud: its marker, its lock for one local cloud at a time, and its keys."""

import base64
import contextlib
import fcntl
import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from devcloud.running import CloudError, write_private

_MARKER = ".devcloud"


@dataclass(frozen=True)
class Secrets:
    """The keys of one data folder, generated when the folder is first used."""

    access_key_id: str
    access_key_secret: str
    provider_api_key: str
    auth_hs256_secret: str
    webhook_secret: str

    @classmethod
    def kept_in(cls, data_dir: Path) -> "Secrets":
        """Read the keys of a data folder, and generate the missing ones."""
        path = data_dir / "secrets.json"
        made = cls(
            access_key_id=f"LTAI{secrets.token_hex(10)}",
            access_key_secret=secrets.token_urlsafe(24),
            provider_api_key=f"sk-{secrets.token_hex(16)}",
            auth_hs256_secret=secrets.token_urlsafe(48),
            webhook_secret=f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        )
        kept = json.loads(path.read_text()) if path.exists() else {}
        keys = replace(made, **kept)
        if asdict(keys) != kept:
            write_private(path, asdict(keys))
        return keys


def _nothing(_folder: Path) -> None:
    """Do nothing before a folder is removed."""


@contextlib.contextmanager
def data_folder(
    data_dir: Path | None, *, fresh: bool, before_removal: Callable[[Path], None] = _nothing
) -> Iterator[Path]:
    """Lock ``data_dir``, or without it a temporary folder that is removed at the end. Raises ``CloudError``.

    ``before_removal`` is called with the folder before its files are removed.
    """
    if data_dir is None:
        folder = Path(tempfile.mkdtemp(prefix="devcloud-")).resolve()
        try:
            with _locked(folder):
                yield folder
        finally:
            remove_data(folder, before_removal=before_removal)
        return
    folder = data_dir.resolve()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARKER).is_file():
        raise CloudError(
            f"{folder} contains other files and is not a data folder of the local cloud; choose another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with _locked(folder):
        if fresh:
            before_removal(folder)
            for item in folder.iterdir():
                if item.name != _MARKER:
                    shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        yield folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / _MARKER).open("a") as marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CloudError(f"another local cloud runs on {folder}") from None
        yield


def remove_data(folder: Path, *, before_removal: Callable[[Path], None] = _nothing) -> None:
    """Remove ``folder`` if it is a data folder; see :func:`data_folder`."""
    if (folder / _MARKER).is_file():
        before_removal(folder)
        shutil.rmtree(folder, ignore_errors=True)

"""Finds the running local clouds: each keeps a note with its addresses and keys on disk while it runs."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil


class CloudError(Exception):
    """A command of the local cloud failed; the message tells the person at the terminal why."""


@dataclass(frozen=True)
class RunningCloud:
    """The addresses and keys of a running local cloud. ``variables`` are the variables that ``env`` prints."""

    pid: int
    created_at: float
    data_dir: str
    temporary: bool
    variables: Mapping[str, str]
    auth_secret: str
    auth_issuer: str
    auth_audience: str
    auth_service_scope: str

    @property
    def alive(self) -> bool:
        """Whether the process still runs; process ids are reused, so the start times are compared too."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.created_at) < 1
        except psutil.NoSuchProcess:
            return False


def find_running(project_dir: Path, data_dir: Path | None) -> RunningCloud:
    """Return the local cloud on ``data_dir``, or without it the one that started last. Raises ``CloudError``."""
    alive = [cloud for _, cloud in _noted(project_dir) if cloud.alive]
    if data_dir is not None:
        noted = _read_note(data_dir / "running.json")
        alive = [noted] if noted is not None and noted.alive else []
    if not alive:
        where = f" on {data_dir}" if data_dir else ""
        raise CloudError(f"no local cloud is running{where}; start one with: python -m devcloud up")
    return max(alive, key=lambda cloud: cloud.created_at)


@contextlib.contextmanager
def announced(note: RunningCloud, project_dir: Path, data_dir: Path) -> Iterator[None]:
    """Keep the note of a running local cloud where the commands look for it."""
    folder = _notes_folder(project_dir)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{note.pid}.json", data_dir / "running.json"]
    try:
        for path in paths:
            write_private(path, asdict(note))
        yield
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _notes_folder(project_dir: Path) -> Path:
    return project_dir / ".devcloud" / "running"


def _noted(project_dir: Path) -> list[tuple[Path, RunningCloud]]:
    folder = _notes_folder(project_dir)
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return [(path, note) for path in paths if (note := _read_note(path)) is not None]


def _read_note(path: Path) -> RunningCloud | None:
    try:
        return RunningCloud(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def sweep_notes(project_dir: Path) -> list[RunningCloud]:
    """Remove the notes of killed local clouds of this project, and return the notes."""
    dead = [(path, note) for path, note in _noted(project_dir) if not note.alive]
    for path, _ in dead:
        path.unlink(missing_ok=True)
    return [note for _, note in dead]


def write_private(path: Path, value: Any) -> None:
    """Write JSON to a file that only the owner may read."""
    # Written to a temporary file and renamed, so that no reader sees half of the content.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(value, file, indent=2)
    temporary.replace(path)

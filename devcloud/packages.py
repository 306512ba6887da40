"""Code folders as Function Compute has them under ``/code``: a function's own files with ``shared/`` beside them."""

import shutil
from pathlib import Path

_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


def assemble(function_dir: Path, shared_dir: Path, destination: Path) -> None:
    """Copy a function's folder and ``shared`` into ``destination``, replacing what was there."""
    shutil.rmtree(destination, ignore_errors=True)
    shutil.copytree(function_dir, destination, ignore=_LEFT_OUT)
    if shared_dir.is_dir():
        shutil.copytree(shared_dir, destination / shared_dir.name, ignore=_LEFT_OUT)


def fingerprint(*folders: Path) -> int:
    """Return a number that changes when a file in ``folders`` is written, added or removed."""
    return hash(
        tuple(
            (str(path), stat.st_mtime_ns, stat.st_size)
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if "__pycache__" not in path.parts and (stat := path.stat()) and path.is_file()
        )
    )

"""Code folders as Function Compute has them under ``/code``, and the packages that are deployed.

A code folder is a function's own files with ``shared/`` beside them. The local cloud takes the libraries from its own
virtual environment; a package brings them along, for the platform's ``python3.12`` on Debian 11 (x86-64, glibc 2.31).
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")
_PYTHON = (3, 12)
_GLIBC_MINOR = 31
# pip takes each platform to the letter: a wheel for an older glibc needs that one named too.
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC_MINOR, 4, -1)] + [
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
]
# They exist as source alone and are built here, for whatever Python this is: pure Python, or able to do without.
_SOURCE_ONLY = ("oss2", "crcmod")
_EXTENSION_TAG = re.compile(r"\.cpython-(\d+)[^.]*\.so$")
# These fall back to Python code of their own when their extension module is missing.
_WORKS_WITHOUT_EXTENSION = ("crcmod",)


class PackageError(Exception):
    """A package cannot be built; the message says why."""


@dataclass(frozen=True)
class Package:
    """A built package. ``compiled`` tells whether it carries bytecode for the platform's Python."""

    folder: Path
    size_bytes: int
    compiled: bool


def assemble(function_dir: Path, shared_dir: Path, destination: Path) -> None:
    """Copy a function's folder and ``shared`` into ``destination``, replacing what was there."""
    shutil.rmtree(destination, ignore_errors=True)
    shutil.copytree(function_dir, destination, ignore=_LEFT_OUT)
    if shared_dir.is_dir():
        shutil.copytree(shared_dir, destination / shared_dir.name, ignore=_LEFT_OUT)


def fingerprint(*folders: Path) -> int:
    """Return a number that changes when a file in ``folders`` is written, added or removed."""
    return hash(tuple(state for folder in folders if folder.is_dir() for state in _states(folder)))


def _states(folder: Path) -> Iterator[tuple[str, int, int]]:
    # Asked at every request, so by os.scandir, which is several times as fast as pathlib.
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _states(Path(entry.path))
            else:
                stat = entry.stat()
                yield entry.path, stat.st_mtime_ns, stat.st_size


def build(function_dir: Path, shared_dir: Path, destination: Path) -> Package:
    """Build a deployable package into ``destination``. Raises ``PackageError``."""
    if not function_dir.is_dir():
        raise PackageError(f"{function_dir} does not exist")
    assemble(function_dir, shared_dir, destination)
    requirements = destination / "requirements.txt"
    if requirements.is_file():
        _install(requirements, destination)
    compiled = _compile(destination)
    size_bytes = sum(path.stat().st_size for path in destination.rglob("*") if path.is_file())
    return Package(destination, size_bytes, compiled)


def _compile(folder: Path) -> bool:
    """Compile to bytecode with the platform's Python, if there is one here."""
    for python in (sys.executable, shutil.which("python3.12")):
        if python is None or not _is_wanted(python):
            continue
        # /code is read-only and its times are not ours: bytecode must be valid without a look at the source.
        mode = ("--invalidation-mode", "unchecked-hash")
        finished = subprocess.run(
            [python, "-W", "ignore", "-m", "compileall", "-q", *mode, "-s", str(folder), "-p", "/code", str(folder)],
            check=False,
        )
        return finished.returncode == 0
    return False


def _is_wanted(python: str) -> bool:
    tell = "import sys; print(*sys.version_info[:2])"
    finished = subprocess.run([python, "-c", tell], capture_output=True, text=True, check=False)
    return finished.stdout.split() == [str(part) for part in _PYTHON]


def _install(requirements: Path, destination: Path) -> None:
    # The list is complete, so nothing has to be resolved; --no-deps is also what lets pip build for another platform.
    # Everything else must come as a wheel: a source build of it could leave out a library without a word.
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--no-compile", "--target", str(destination), "--requirement", str(requirements)),
        # Built by the setuptools that requirements/build.txt pins, and not by whatever pip would fetch.
        "--no-build-isolation",
        *("--only-binary", ":all:", "--no-binary", ",".join(_SOURCE_ONLY)),
        *("--implementation", "cp", "--python-version", ".".join(map(str, _PYTHON))),
        *(argument for platform in _PLATFORMS for argument in ("--platform", platform)),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise PackageError(f"pip failed for {requirements.parent.name}:\n{finished.stderr.strip()}")
    shutil.rmtree(destination / "bin", ignore_errors=True)
    _drop_foreign_extensions(destination)


def _drop_foreign_extensions(destination: Path) -> None:
    wanted = "".join(map(str, _PYTHON))
    for path in destination.rglob("*.so"):
        tag = _EXTENSION_TAG.search(path.name)
        if tag is None or tag[1] == wanted:
            continue
        library = path.relative_to(destination).parts[0]
        if library not in _WORKS_WITHOUT_EXTENSION:
            raise PackageError(f"{library} has no wheel for Python {'.'.join(map(str, _PYTHON))}: {path.name}")
        path.unlink()

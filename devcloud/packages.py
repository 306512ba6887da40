"""Code folders as Function Compute has them under ``/code``, and the packages that are deployed.

A code folder contains a function's own files and ``shared/``. The local cloud uses the libraries in its own virtual
environment; a package contains the libraries, for the platform's ``python3.12`` on Debian 11 (x86-64, glibc 2.31).
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
# pip compares platforms literally: for a wheel for an older glibc, the older platform must be listed too.
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC_MINOR, 4, -1)] + [
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
]
# These exist only as source and are built here, with the Python that runs here: they are pure Python or can be.
_SOURCE_ONLY = ("oss2", "crcmod")
_EXTENSION_TAG = re.compile(r"\.cpython-(\d+)[^.]*\.so$")
# These use their own Python code when their extension module is missing.
_WORKS_WITHOUT_EXTENSION = ("crcmod",)


class PackageError(Exception):
    """A package cannot be built; the message says why."""


@dataclass(frozen=True)
class Package:
    """A built package. ``compiled`` tells whether the package contains bytecode for the platform's Python."""

    folder: Path
    size_bytes: int
    compiled: bool


def assemble(function_dir: Path, shared_dir: Path, destination: Path) -> None:
    """Copy a function's folder and ``shared`` into ``destination``, and remove its previous content."""
    shutil.rmtree(destination, ignore_errors=True)
    shutil.copytree(function_dir, destination, ignore=_LEFT_OUT)
    if shared_dir.is_dir():
        shutil.copytree(shared_dir, destination / shared_dir.name, ignore=_LEFT_OUT)


def fingerprint(*folders: Path) -> int:
    """Return a number that changes when a file in ``folders`` is written, added or removed."""
    return hash(tuple(state for folder in folders if folder.is_dir() for state in _states(folder)))


def _states(folder: Path) -> Iterator[tuple[str, int, int]]:
    # Runs at every request, so with os.scandir, which is several times as fast as pathlib.
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
    """Compile to bytecode if the platform's Python is installed here."""
    for python in (sys.executable, shutil.which("python3.12")):
        if python is None or not _is_wanted(python):
            continue
        # /code is read-only and has other file times, so the bytecode must be valid without a check of the source.
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
    # The list is complete, so nothing has to be resolved; pip also requires --no-deps for another platform.
    # All other libraries must be wheels: a build from source could leave out a native library without an error.
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--no-compile", "--target", str(destination), "--requirement", str(requirements)),
        # Built with the setuptools that requirements/build.txt pins, not with a version that pip would download.
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

"""Packages for deployment: a package contains everything that a function imports, only for the platform's Python."""

import fcntl
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devcloud.packages import Package, PackageError, build
from tests.fakes import make_png

ROOT = Path(__file__).resolve().parents[2]
FC_LIMIT_BYTES = 500 * 1024 * 1024
EXTENSION = re.compile(r"\.cpython-(\d+)")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package of a function; the first test process that needs it builds it for the others, too."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    built = folder / "package.pickle"
    with (folder / "package.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            package = build(ROOT / "functions/index_outputs", ROOT / "shared", folder / "dist" / "index-outputs")
            built.write_bytes(pickle.dumps(package))
        found: Package = pickle.loads(built.read_bytes())  # noqa: S301 - a file of this test run
        return found


@pytest.mark.timeout(300)
def test_package_contains_the_handler_and_every_library(package: Package) -> None:
    for name in ("index.py", "shared/bootstrap.py", "oss2", "pydantic", "peewee.py", "pymysql", "httpx", "crcmod"):
        assert (package.folder / name).exists(), name


def test_package_contains_the_libraries_inside_wheels(package: Package) -> None:
    assert list(package.folder.glob("pymediainfo/libmediainfo.so*"))
    assert list(package.folder.glob("pydantic_core/*.so"))
    assert list(package.folder.glob("fastcrc/*.so"))


def test_package_reads_media_with_its_own_library(package: Package, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(make_png(4, 3))
    code = (
        "import sys; from pathlib import Path; from shared.adapters.media_info import MediaInfoProbe as P, _library; "
    )
    code += "print(_library(), P().probe(Path(sys.argv[1]), 'png').width)"
    # Without site, so that only the libraries of the package are found.
    command = [sys.executable, "-S", "-c", code, str(path)]
    said = subprocess.run(command, cwd=package.folder, capture_output=True, text=True, check=True).stdout.split()
    assert said == [str(next(package.folder.glob("pymediainfo/libmediainfo.so*"))), "4"]


def test_package_contains_only_extensions_of_python_3_12(package: Package) -> None:
    tags = {match[1] for path in package.folder.rglob("*.so") if (match := EXTENSION.search(path.name))}
    assert tags == {"312"}


def test_package_contains_nothing_of_the_local_cloud_and_fits_the_limit(package: Package) -> None:
    assert not any((package.folder / name).exists() for name in ("devcloud", "starlette", "PIL", "sqlalchemy"))
    assert 0 < package.size_bytes < FC_LIMIT_BYTES


def test_a_library_is_built_with_the_installed_builder(tmp_path: Path) -> None:
    source, function = tmp_path / "crcmod", tmp_path / "function"
    source.mkdir()
    (source / "crcmod.py").touch()
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools==0.0.0.1"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "crcmod"\nversion = "1"\n[tool.setuptools]\npy-modules = ["crcmod"]\n'
    )
    function.mkdir()
    (function / "requirements.txt").write_text(f"crcmod @ {source.as_uri()}\n")
    assert (build(function, tmp_path / "shared", tmp_path / "dist").folder / "crcmod.py").exists()


def test_the_builder_of_libraries_is_pinned_by_hashes() -> None:
    pinned = (ROOT / "requirements" / "build.txt").read_text()
    assert re.search(r"^setuptools==\S+ \\\n +--hash=sha256:", pinned, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^PIP := .* --no-build-isolation$", makefile, re.MULTILINE)


def test_a_library_that_cannot_be_installed_is_named(tmp_path: Path) -> None:
    function = tmp_path / "function"
    function.mkdir()
    (function / "index.py").touch()
    (function / "requirements.txt").write_text("oss2==0.0.0.1\n")
    with pytest.raises(PackageError, match=r"oss2==0\.0\.0\.1"):
        build(function, tmp_path / "shared", tmp_path / "dist")

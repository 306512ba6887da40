"""The temp folder on a real disk, also on a full one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastcrc import crc64

from shared.adapters.temp_folder import TempFolder
from shared.domain.errors import TempDiskFullError, ValidationError
from shared.services.sweeping import SweepingPorts, empty_temp_folder, sweep_temp_files
from tests.fakes import NOW, FakeClock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "dream-factory"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a disk of 64 KiB needs Linux and root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    result = subprocess.run(mount, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"this machine lets nobody mount: {result.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_the_folder_is_created_for_its_owner_only(folder: Path) -> None:
    file = TempFolder(str(folder)).write("a.png", [b"one", b"", b"two"])
    assert file.path.read_bytes() == b"onetwo"
    assert (file.size, file.crc64) == (6, crc64.xz(b"onetwo"))
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_second_write_replaces_the_file(folder: Path) -> None:
    temp = TempFolder(str(folder))
    temp.write("a.png", [b"longer"])
    assert temp.write("a.png", [b"x"]).path.read_bytes() == b"x"


def test_a_failure_of_the_source_leaves_no_file(folder: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TempFolder(str(folder)).write("a.png", chunks())
    assert list(folder.iterdir()) == []


def test_a_full_disk_leaves_no_file(small_disk: Path) -> None:
    temp = TempFolder(str(small_disk))
    temp.write("small.png", [b"x" * 4096])
    with pytest.raises(TempDiskFullError, match="the temp disk is full after") as caught:
        temp.write("large.png", (b"x" * 16_384 for _ in range(64)))
    assert str(small_disk) not in str(caught.value)
    assert [path.name for path in small_disk.iterdir()] == ["small.png"]
    assert temp.write("again.png", [b"x" * 16_384]).size == 16_384


def test_other_disk_errors_are_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        TempFolder(str(tmp_path / "file")).write("a.png", [b"x"])


def test_only_the_files_of_one_job_are_removed(folder: Path) -> None:
    temp = TempFolder(str(folder))
    for name in ("j.png", "j-2.png", "j-10.mp4", "j2.png", "j-x.png", "j-.png", "j-٢.png", "jj.png", "k.png"):
        temp.write(name, [b"x"])
    (folder / "j.dir").mkdir()
    assert temp.remove_of_job("j") == 3
    left = ["j-.png", "j-x.png", "j-٢.png", "j.dir", "j2.png", "jj.png", "k.png"]
    assert sorted(path.name for path in folder.iterdir()) == left


def test_a_job_id_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ValidationError):
        TempFolder(str(folder)).remove_of_job("../j")


def test_a_link_is_removed_but_not_its_target(folder: Path, tmp_path: Path) -> None:
    temp = TempFolder(str(folder))
    temp.write("k.png", [b"x"])
    target = tmp_path / "precious"
    target.write_bytes(b"x")
    (folder / "j.png").symlink_to(target)
    (folder / "j-2.png").symlink_to(tmp_path / "dangling")
    assert temp.remove_of_job("j") == 2
    assert target.exists()


def test_the_age_of_a_file_counts_from_its_last_write(folder: Path) -> None:
    temp = TempFolder(str(folder))
    for age_s in (86_399, 86_400, 86_401, 10**6):
        at = NOW.timestamp() - age_s
        os.utime(temp.write(f"{age_s}.png", [b"x"]).path, (NOW.timestamp(), at))
    assert temp.remove_older(timedelta(hours=24), NOW) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["86399.png", "86400.png"]


def test_without_a_folder_no_file_is_removed(folder: Path) -> None:
    temp = TempFolder(str(folder))
    assert (temp.remove_of_job("j"), temp.remove_older(timedelta(0), NOW)) == (0, 0)
    assert not folder.exists()


def fill(folder: Path, *sizes: int) -> TempFolder:
    """Write a.png, b.png … of these sizes, each a minute younger than the file before, on a disk of 1000 bytes."""
    temp = TempFolder(str(folder), disk_bytes=1000)
    for number, (name, size) in enumerate(zip("abcdef", sizes, strict=False)):
        file = temp.write(f"{name}.png", [b"x" * size])
        os.utime(file.path, (NOW.timestamp() + 60 * number,) * 2)
    return temp


@pytest.mark.parametrize(
    ("sizes", "left"),
    [
        ((250,), "a"),
        ((251,), ""),
        ((100, 100, 50), "abc"),
        ((100, 100, 51), "bc"),
        ((10, 240, 10), "bc"),
        ((10, 10, 900), ""),
        ((900, 10, 10), "bc"),
        ((0, 0), "ab"),
    ],
)
def test_the_oldest_files_are_removed_until_the_rest_fits(folder: Path, sizes: tuple[int, ...], left: str) -> None:
    temp = fill(folder, *sizes)
    assert temp.remove_beyond(0.25) == len(sizes) - len(left)
    assert sorted(path.stem for path in folder.iterdir()) == list(left)
    assert temp.remove_beyond(0.25) == 0


def test_without_a_folder_no_share_is_exceeded(folder: Path) -> None:
    assert TempFolder(str(folder)).remove_beyond(0) == 0


def test_the_share_refers_to_the_size_of_the_disk(small_disk: Path) -> None:
    temp = TempFolder(str(small_disk))
    temp.write("a.png", [b"x" * 20_000])
    assert temp.remove_beyond(0.5) == 0
    assert temp.remove_beyond(0.25) == 1


def test_a_file_that_cannot_be_removed_does_not_protect_the_others(folder: Path) -> None:
    temp = fill(folder, 300, 300, 100)
    removable = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name == "a.png":
            raise PermissionError(13, "not permitted")
        removable(path, missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        assert temp.remove_beyond(0.25) == 2
    assert [path.name for path in folder.iterdir()] == ["a.png"]


def test_the_sweep_removes_by_age_and_by_size(folder: Path) -> None:
    temp = fill(folder, 10, 200, 200)
    now = NOW + timedelta(hours=24, seconds=1)
    ports = SweepingPorts(temp=temp, clock=FakeClock(now))
    assert sweep_temp_files(ports=ports) == 2
    assert [path.name for path in folder.iterdir()] == ["c.png"]
    assert empty_temp_folder(ports=ports) == 1
    assert list(folder.iterdir()) == []

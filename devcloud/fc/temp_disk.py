"""The folder of an instance, and the temp disk of limited size that can be mounted in it."""

import shutil
import subprocess
from pathlib import Path

from devcloud.fc.fc_error import FcError


def mount_disk(folder: Path, size_bytes: int) -> None:
    """Mount a temp disk of that size at ``folder`` (Linux, root). Raises ``FcError`` when the mount fails."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise FcError(
            400, "InvalidArgument", f"diskBytes requires the right to mount a tmpfs: {reason.strip()}"
        ) from None


def remove_folder(folder: Path) -> None:
    """Remove an instance's folder together with the temp disk that may be mounted in it."""
    temp = folder / "tmp"
    if temp.is_mount():
        subprocess.run(["umount", "--lazy", str(temp)], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)

"""Node and the packages that tests of JavaScript need."""

import fcntl
import shutil
import subprocess
from pathlib import Path


def install(folder: Path) -> Path:
    """Install the packages that the lock file of ``folder`` names; once per checkout, and one worker at a time."""
    if shutil.which("node") is None:
        subprocess.run(["apt-get", "install", "-y", "-qq", "nodejs", "npm"], check=True, stdout=subprocess.DEVNULL)
    with (folder / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "node_modules" / ".package-lock.json").exists():
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
    return folder

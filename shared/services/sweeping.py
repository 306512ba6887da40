"""Keep a function instance's temp folder small.

A temp disk belongs to its instance and nobody else reaches it, so each instance sweeps its own.
"""

from datetime import datetime, timedelta

from shared.ports import TempFiles
from shared.services.storage import cleanup_old_temp_files

LEFT_BEHIND_SHARE = 0.25  # of the disk: four images of 64 MiB fit into the rest of the small one, 512 MB


def sweep_temp_files(*, temp: TempFiles, now: datetime) -> int:
    """Remove what earlier invocations left behind, before one begins, and return the number of files.

    An instance serves one request at a time: what lies there between two has no owner, and may be removed whatever its
    age. So size decides, the oldest first. What is small may stay for the day that the storage policy gives it.
    """
    return cleanup_old_temp_files(temp=temp, now=now) + temp.remove_beyond(LEFT_BEHIND_SHARE)


def empty_temp_folder(*, temp: TempFiles, now: datetime) -> int:
    """Remove every temp file, when the instance ends, and return their number."""
    return temp.remove_older(timedelta(), now)

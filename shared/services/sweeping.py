"""Keep the temp folder of a function instance small.

The temp disk belongs to one instance, and nothing else can reach it. So each instance sweeps its own folder.
"""

from dataclasses import dataclass
from datetime import timedelta

from shared.ports import Clock, TempFiles
from shared.services.storage import cleanup_old_temp_files

LEFT_BEHIND_SHARE = 0.25  # of the disk: four images of 64 MiB fit into the rest of the small disk, 512 MB


@dataclass(frozen=True)
class SweepingPorts:
    """The ports that sweep the temp folder."""

    temp: TempFiles
    clock: Clock


def sweep_temp_files(*, ports: SweepingPorts) -> int:
    """Remove the files that earlier invocations left behind, before an invocation, and return their number.

    An instance serves one request at a time. So between two requests the files have no owner and may be removed at any
    age. Files older than a day go, as the storage policy demands; then the oldest files go, until the rest takes at
    most ``LEFT_BEHIND_SHARE`` of the disk.
    """
    return cleanup_old_temp_files(temp=ports.temp, now=ports.clock.now()) + ports.temp.remove_beyond(LEFT_BEHIND_SHARE)


def empty_temp_folder(*, ports: SweepingPorts) -> int:
    """Remove every temp file, when the instance ends, and return their number."""
    return ports.temp.remove_older(timedelta(), ports.clock.now())

"""Each instance keeps its own temp folder clean: ahead of every invocation, and when Function Compute ends it.

An instance loads its handler with its first request, so "ahead of every invocation" begins when the instance starts.
Nothing here raises: a failed clean-up never blocks the work.
"""

import logging
from collections.abc import Callable
from typing import Any

from shared.fc.context import Context
from shared.observability import request_id

log = logging.getLogger(__name__)


def sweep_temp_folder() -> None:
    """Remove what earlier invocations left behind; costs the listing of a folder."""
    from shared.services.sweeping import sweep_temp_files

    _log_removed("temp folder swept", sweep_temp_files)


def pre_stop(context: Context) -> None:
    """Be the PreStop hook: empty the temp folder, for the disk may outlive the process.

    Best effort: Function Compute calls it when it reclaims an instance, and not when one dies.
    Source: https://www.alibabacloud.com/help/en/functioncompute/fc/lifecycle-hooks-for-function-instances-1
    """
    from shared.services.sweeping import empty_temp_folder

    request_id.set(context.request_id)
    _log_removed("temp folder emptied", empty_temp_folder)


def _log_removed(message: str, remove: Callable[..., Any]) -> None:
    try:
        from shared import bootstrap

        removed = remove(temp=bootstrap.temp_files(), now=bootstrap.clock().now())
    except Exception:
        log.warning("the temp folder could not be swept", exc_info=True)
    else:
        if removed:
            log.warning(message, extra={"removed": removed})

"""The process that decodes: ``python -m devcloud.oss.processing.worker``, started by ``workers``.

Each line on stdin is a job as JSON, each line on stdout its answer. A job that exceeds its limits ends the process.
"""

import contextlib
import json
import math
import os
import resource
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from devcloud.oss import processing
from devcloud.oss.oss_errors import OssError


def main() -> None:
    """Do one job after the other until stdin ends."""
    for line in sys.stdin:
        print(json.dumps(_answer(**json.loads(line))), flush=True)


def _answer(process: str, source: str, target: str, cpu_s: int, memory_bytes: int) -> dict[str, Any]:
    """Process the file ``source`` into the file ``target``; return its content type, or an error's parts."""
    _limit(cpu_s, memory_bytes)
    wanted = processing.parse(process)
    # Only now: a process that only gets images does not need PyAV.
    module = import_module(f"devcloud.oss.processing.{wanted.kind}")
    try:
        with Path(source).open("rb") as file:
            body, content_type = module.process(file, wanted.actions)
        Path(target).write_bytes(body)
    except OssError as error:
        return {"status": error.status, "code": error.code, "message": error.message, "details": error.details}
    except Exception:  # hostile files and a lack of memory make decoders fail in many ways
        traceback.print_exc()
        # The state of the decoders is unknown, so this process must not do another job.
        os.kill(os.getpid(), signal.SIGKILL)
        raise
    return {"content_type": content_type}


def _limit(cpu_s: int, memory_bytes: int) -> None:
    """Limit this process to ``cpu_s`` more seconds of CPU time, and to ``memory_bytes`` in total."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent_s = math.ceil(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent_s + cpu_s, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError):  # macOS does not support this limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()

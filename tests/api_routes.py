"""The API's table of routes, for tests of every route."""

import sys
from pathlib import Path

_FOLDER = str(Path(__file__).resolve().parents[1] / "functions" / "api")
if _FOLDER not in sys.path:
    sys.path.insert(0, _FOLDER)  # modules beside a handler are top-level in /code

from routes import ROUTES  # noqa: E402 - the path is set above
from routing import Route  # noqa: E402

JOB_ID = "11111111-2222-4333-8444-555555555555"
__all__ = ["JOB_ID", "ROUTES", "Route", "path_of"]


def path_of(template: str) -> str:
    """Return the path of a route, with an id that does not exist."""
    return "/".join(JOB_ID if part.startswith("{") else part for part in template.split("/"))

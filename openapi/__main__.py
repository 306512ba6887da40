"""Write the description: ``python -m openapi [FILE]``."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "functions" / "api"))  # modules beside a handler are top-level in /code

from openapi.description import describe  # noqa: E402 - as above
from routes import ROUTES  # noqa: E402 - the path is set above


def main(arguments: list[str]) -> None:
    """Write the description to the file that is named, or else to the file that the function ships."""
    file = Path(arguments[0]) if arguments else ROOT / "functions" / "api" / "openapi.json"
    file.write_text(json.dumps(describe(ROUTES), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

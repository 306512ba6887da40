"""The code folders of the functions, assembled again whenever the source has been edited."""

import logging
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from devcloud.fc.fc_error import FcError
from devcloud.fc.manifest import Function
from devcloud.packages import assemble, fingerprint

_log = logging.getLogger("devcloud.fc")


@dataclass(frozen=True)
class Assembly:
    """One version of a function's code."""

    folder: Path
    fingerprint: int


class CodeShelf:
    """Assembles the code folders from the source, again after each edit."""

    def __init__(self, project_dir: Path, folder: Path) -> None:
        self._project_dir = project_dir
        self._folder = folder
        self._current: dict[str, Assembly] = {}
        self._lock = threading.Lock()
        self._count = 0
        shutil.rmtree(folder, ignore_errors=True)

    def current(self, function: Function) -> Assembly:
        """Return the assembly of the present source. Raises ``FcError`` when the source cannot be read."""
        source, shared = self._project_dir / "functions" / function.folder, self._project_dir / "shared"
        try:
            with self._lock:
                found = fingerprint(source, shared)
                assembly = self._current.get(function.name)
                if assembly is None or assembly.fingerprint != found:
                    self._count += 1
                    assembly = Assembly(self._folder / function.name / str(self._count), found)
                    assemble(source, shared, assembly.folder)
                    self._current[function.name] = assembly
                return assembly
        except OSError as error:  # a file is missing, or an editor is writing it
            _log.warning("code not assembled: function=%s error=%s", function.name, error)
            message = f"the code of {function.name!r} cannot be assembled; the output of the local cloud says why"
            raise FcError(500, "InternalServerError", message) from error

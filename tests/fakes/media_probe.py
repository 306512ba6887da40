"""The port ``MediaProbe``, with scripted facts."""

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from shared.domain.media import MediaFacts


class StubProbe:
    """Returns the same facts, or raises the same error, for every file."""

    def __init__(self, facts: MediaFacts | None = None, error: Exception | None = None) -> None:
        self.facts = facts or MediaFacts("?", width=4, height=3)
        self.error = error
        self.probed: list[Path | BinaryIO] = []

    def probe(self, source: Path | BinaryIO, format_name: str) -> MediaFacts:
        self.probed.append(source)
        if self.error:
            raise self.error
        return replace(self.facts, format=format_name)

"""The pages of the lists of jobs and outputs."""

from collections.abc import Sequence
from typing import TypeVar

from shared.domain.cursors import Place
from shared.domain.jobs import Job, JobOutput
from shared.domain.media_type import MediaType

Row = TypeVar("Row", Job, JobOutput)


def page_of(rows: list[Row], type: MediaType | None, before: Place | None, limit: int) -> Sequence[Row]:
    wanted = [
        row
        for row in rows
        if type in {None, row.type} and (before is None or (row.created_at, row.id) < (before.created_at, before.id))
    ]
    return sorted(wanted, key=lambda row: (row.created_at, row.id), reverse=True)[:limit]

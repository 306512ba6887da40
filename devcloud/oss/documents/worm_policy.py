"""Retention policies (write once, read many): no caller can change or delete an object before its period ends.

See https://www.alibabacloud.com/help/en/oss/developer-reference/initiatebucketworm.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from devcloud.oss.documents.xml_document import required
from devcloud.oss.http import xml
from devcloud.oss.http.dates import iso_date

DAY_S = 86_400
MAX_DAYS = 70 * 365


@dataclass(frozen=True)
class Worm:
    """A policy. It is void unless it is locked within a day."""

    worm_id: str
    state: Literal["InProgress", "Locked"]
    days: int
    created_at: float

    def holds(self, now: float) -> bool:
        """Tell whether the policy is in force."""
        return self.state == "Locked" or now < self.created_at + DAY_S

    def protects(self, modified_at: float, now: float) -> bool:
        """Tell whether an object last modified at ``modified_at`` may not be changed."""
        return self.holds(now) and now < modified_at + self.days * DAY_S


def read_worm(body: bytes | None, now: float) -> Worm | None:
    """Return the policy of a bucket with that document, if it is in force."""
    if body is None:
        return None
    root = xml.parse(body)
    state: Literal["InProgress", "Locked"] = "Locked" if required(root, "State") == "Locked" else "InProgress"
    created_at = datetime.fromisoformat(required(root, "CreationDate")).timestamp()
    worm = Worm(required(root, "WormId"), state, int(required(root, "RetentionPeriodInDays")), created_at)
    return worm if worm.holds(now) else None


def write_worm(worm: Worm) -> bytes:
    """Return the document of a policy."""
    return xml.render(
        "WormConfiguration",
        ("WormId", worm.worm_id),
        ("State", worm.state),
        ("RetentionPeriodInDays", worm.days),
        ("CreationDate", iso_date(worm.created_at)),
    )

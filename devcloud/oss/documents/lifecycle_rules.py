"""Lifecycle rules: the document with the checks of the real service, and which objects a rule applies to.

``lifecycle_timer`` applies the rules. The real service counts ages in days; here an age counts to the second.
See https://www.alibabacloud.com/help/en/oss/developer-reference/putbucketlifecycle.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

from devcloud.oss.documents.xml_document import Document, boolean, integer, one_of, read_root, required, write_root
from devcloud.oss.http import xml
from devcloud.oss.oss_errors import OssError, invalid_argument, malformed_xml
from devcloud.oss.storages.port import ObjectRecord

MAX_RULES = 1000
MAX_ID = 255
DAY_S = 86_400
# From warm to cold; a rule may only make objects colder.
CLASSES = ("IA", "Archive", "ColdArchive", "DeepColdArchive")
_TIMES = ("Days", "Date", "CreatedBeforeDate", "ExpiredObjectDeleteMarker")
_TAG_TEXT = re.compile(r"[\w +\-=.:/]*")


@dataclass(frozen=True)
class Moment:
    """The time of an action: an age in days, or a date in Unix seconds."""

    days: int | None = None
    from_date: float | None = None
    created_before: float | None = None

    def due(self, modified_at: float, now: float) -> bool:
        """Tell whether the action is due for an object that was last modified at ``modified_at``."""
        if self.days is not None:
            return now >= modified_at + self.days * DAY_S
        if self.from_date is not None:
            return now >= self.from_date
        return self.created_before is not None and modified_at < self.created_before


@dataclass(frozen=True)
class Exclusion:
    """The objects that a rule's ``Not`` excludes."""

    prefix: str
    tag: tuple[str, str] | None


@dataclass(frozen=True)
class Rule:
    """One enabled rule. ``transitions`` go from warm to cold; transitions by last access are not included."""

    prefix: str
    tags: dict[str, str]
    larger_than: int | None
    smaller_than: int | None
    exclusions: tuple[Exclusion, ...]
    expiration: Moment | None
    transitions: tuple[tuple[Moment, str], ...]
    abort_uploads: Moment | None
    remove_lone_markers: bool
    noncurrent_days: int | None
    noncurrent_transitions: tuple[tuple[int, str], ...]

    def covers(self, record: ObjectRecord) -> bool:
        """Tell whether the rule applies to that object."""
        tags, size = record.attributes.tags, record.content.size
        return (
            record.key.startswith(self.prefix)
            and self.tags.items() <= tags.items()
            and (self.larger_than is None or size > self.larger_than)
            and (self.smaller_than is None or size < self.smaller_than)
            and not any(
                record.key.startswith(exclusion.prefix) and (exclusion.tag is None or exclusion.tag in tags.items())
                for exclusion in self.exclusions
            )
        )

    def class_at(self, modified_at: float, now: float) -> str | None:
        """Return the coldest storage class whose transition is due."""
        due = [name for moment, name in self.transitions if moment.due(modified_at, now)]
        return due[-1] if due else None


def read_rules(body: bytes) -> list[Rule]:
    """Return the enabled rules of a valid document."""
    root = read_root(body, "LifecycleConfiguration")
    return [_rule(node) for node in root.iterfind("Rule") if xml.text_of(node, "Status") == "Enabled"]


def check_lifecycle(body: bytes, *, overlap_allowed: bool) -> bytes:
    """Return a document in normal form. Raises ``MalformedXML``, ``InvalidArgument`` and ``InvalidRequest``."""
    root = read_root(body, "LifecycleConfiguration")
    rules = root.findall("Rule")
    if not 1 <= len(rules) <= MAX_RULES:
        raise malformed_xml()
    for rule in rules:
        _check_rule(rule)
    ids = [required(rule, "ID") for rule in rules]
    for name in ids:
        if len(name) > MAX_ID or ids.count(name) > 1:
            raise invalid_argument("The rule's ID is not unique or too long.", "ID", name)
    if not overlap_allowed:
        _refuse_overlap(rules)
    return write_root(root)


def _check(body: bytes) -> bytes:
    return check_lifecycle(body, overlap_allowed=False)


LIFECYCLE = Document("lifecycle", _check, "Lifecycle", missing="NoSuchLifecycle")


# Reading a rule


def _rule(node: ET.Element) -> Rule:
    expiration, abort = node.find("Expiration"), node.find("AbortMultipartUpload")
    moves = [
        (_moment(move), required(move, "StorageClass"))
        for move in node.iterfind("Transition")
        if not boolean(move, "IsAccessTime", default=False)
    ]
    later = [
        (int(required(move, "NoncurrentDays")), required(move, "StorageClass"))
        for move in node.iterfind("NoncurrentVersionTransition")
        if not boolean(move, "IsAccessTime", default=False)
    ]
    return Rule(
        prefix=xml.text_of(node, "Prefix") or "",
        tags=dict(_tags(node)),
        larger_than=integer(node, "Filter/ObjectSizeGreaterThan", least=0),
        smaller_than=integer(node, "Filter/ObjectSizeLessThan", least=0),
        exclusions=tuple(_exclusion(exclusion) for exclusion in node.iterfind("Filter/Not")),
        expiration=None if expiration is None else _moment(expiration),
        transitions=tuple(sorted(moves, key=lambda move: _coldness(move[1]))),
        abort_uploads=None if abort is None else _moment(abort),
        remove_lone_markers=boolean(node, "Expiration/ExpiredObjectDeleteMarker", default=False),
        noncurrent_days=integer(node, "NoncurrentVersionExpiration/NoncurrentDays", least=1),
        noncurrent_transitions=tuple(sorted(later, key=lambda move: _coldness(move[1]))),
    )


def _coldness(name: str) -> int:
    return CLASSES.index(name) if name in CLASSES else -1


def _exclusion(node: ET.Element) -> Exclusion:
    tags = _tags(node)
    return Exclusion(xml.text_of(node, "Prefix") or "", tags[0] if tags else None)


def _tags(node: ET.Element) -> list[tuple[str, str]]:
    return [(xml.text_of(tag, "Key") or "", xml.text_of(tag, "Value") or "") for tag in node.iterfind("Tag")]


def _moment(node: ET.Element) -> Moment:
    return Moment(integer(node, "Days", least=1), _date(node, "Date"), _date(node, "CreatedBeforeDate"))


def _date(node: ET.Element, tag: str) -> float | None:
    text = xml.text_of(node, tag)
    if text is None:
        return None
    try:
        date = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise invalid_argument(f"'{tag}' must be in ISO 8601 format.", tag, text) from error
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    if date.timestamp() % DAY_S:
        raise invalid_argument(f"'{tag}' must be at midnight GMT.", tag, text)
    return date.timestamp()


# Checking a rule


def _check_rule(rule: ET.Element) -> None:
    one_of(rule, "Status", ("Enabled", "Disabled"))
    if not xml.text_of(rule, "ID"):
        node = rule.find("ID")
        node = ET.Element("ID") if node is None else node
        if node not in list(rule):
            rule.insert(0, node)
        node.text = secrets.token_hex(16)
    if not any(True for _ in _actions(rule)) and rule.find("NoncurrentVersionExpiration") is None:
        raise malformed_xml()
    for node in _actions(rule):
        _check_times(node)
    for text in (text for pair in _tags(rule) for text in pair):
        if not _TAG_TEXT.fullmatch(text):
            raise invalid_argument("The tag of the rule is invalid.", "Tag", text)
    for name in ("ObjectSizeGreaterThan", "ObjectSizeLessThan"):
        integer(rule, f"Filter/{name}", least=0)
    integer(rule, "NoncurrentVersionExpiration/NoncurrentDays", least=1)
    expiration = rule.find("Expiration")
    _check_order(rule, "Transition", "Days", integer(expiration, "Days", least=1) if expiration is not None else None)
    limit = integer(rule, "NoncurrentVersionExpiration/NoncurrentDays", least=1)
    _check_order(rule, "NoncurrentVersionTransition", "NoncurrentDays", limit)
    _refuse_mixture(rule)


def _actions(rule: ET.Element) -> Iterator[ET.Element]:
    tags = ("Expiration", "Transition", "AbortMultipartUpload", "NoncurrentVersionTransition")
    return (node for node in rule if node.tag in tags)


def _check_times(node: ET.Element) -> None:
    if node.tag == "NoncurrentVersionTransition":
        required(node, "NoncurrentDays")
        integer(node, "NoncurrentDays", least=1)
    else:
        if sum(node.find(tag) is not None for tag in _TIMES) != 1:
            raise malformed_xml()
        _moment(node)
        boolean(node, "ExpiredObjectDeleteMarker", default=False)
    for name in ("IsAccessTime", "ReturnToStdWhenVisit", "AllowSmallFile"):
        boolean(node, name, default=False)


def _check_order(rule: ET.Element, tag: str, days: str, expires_after: int | None) -> None:
    """Raise ``InvalidArgument`` unless colder classes come later, and the expiration comes last."""
    moves = [(required(move, "StorageClass"), integer(move, days, least=1)) for move in rule.iterfind(tag)]
    for name, _ in moves:
        if name not in CLASSES:
            raise invalid_argument("The storage class is not one to transition to.", "StorageClass", name)
    dated = sorted((CLASSES.index(name), age) for name, age in moves if age is not None)
    for (class_before, age_before), (class_after, age_after) in pairwise(dated):
        if class_before == class_after or age_before >= age_after:
            message = "A colder storage class must come later than a warmer one."
            raise invalid_argument(message, days, str(age_after))
    if expires_after is not None and any(age >= expires_after for _, age in dated):
        message = "Objects must expire later than they change their storage class."
        raise invalid_argument(message, days, str(expires_after))


def _refuse_mixture(rule: ET.Element) -> None:
    """Raise ``InvalidRequest`` if one action depends on age and another on a date."""
    nodes = [node for node in _actions(rule) if node.tag in ("Expiration", "Transition")]
    by_age = any(node.find("Days") is not None for node in nodes)
    by_date = any(node.find(tag) is not None for node in nodes for tag in ("Date", "CreatedBeforeDate"))
    if by_age and by_date:
        message = "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule."
        raise OssError(400, "InvalidRequest", message)


def _refuse_overlap(rules: list[ET.Element]) -> None:
    """Raise ``InvalidArgument`` if two rules without tags apply the same action to the same objects."""
    for first, second in combinations(rules, 2):
        plain = all(rule.find("Tag") is None and rule.find("Filter") is None for rule in (first, second))
        prefixes = sorted(xml.text_of(rule, "Prefix") or "" for rule in (first, second))
        if not plain or not prefixes[1].startswith(prefixes[0]):
            continue
        shared = {node.tag for node in _actions(first)} & {node.tag for node in _actions(second)}
        if shared:
            message = f"Overlap for same action type {min(shared)}"
            raise invalid_argument(message, "prefix", prefixes[1])

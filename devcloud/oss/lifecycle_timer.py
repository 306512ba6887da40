"""The lifecycle timer: it applies the lifecycle rules of all buckets once a minute of the emulator's clock.

The real service applies them once a day. Changes by lifecycle rules cause no events, because the triggers'
``ObjectRemoved:DeleteObject`` reports API calls only.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from devcloud.oss.documents.lifecycle_rules import CLASSES, DAY_S, Rule, read_rules
from devcloud.oss.documents.worm_policy import read_worm
from devcloud.oss.oss_service import OssService
from devcloud.oss.storages.port import DELETE_MARKER, BucketRecord, ObjectRecord

PERIOD_S = 60


class LifecycleTimer:
    """Applies the rules ahead of the first request of each minute of the clock."""

    def __init__(self, service: OssService) -> None:
        self._service = service
        self._due_at = 0.0

    def run_if_due(self) -> None:
        """Apply the rules unless the last time was less than a minute ago."""
        now = self._service.clock.now()
        if now >= self._due_at:
            self._due_at = now + PERIOD_S
            _apply_rules(self._service)


def _apply_rules(service: OssService) -> None:
    """Expire objects, change storage classes and abort uploads where a rule says that the time has come."""
    for bucket in service.storage.buckets():
        body = service.storage.document(bucket.name, "lifecycle")
        if body is None:
            continue
        rules = read_rules(body)
        _abort_uploads(service, bucket, rules)
        _age_objects(service, bucket, rules)
        if bucket.versioning:
            _age_versions(service, bucket, rules)


def _abort_uploads(service: OssService, bucket: BucketRecord, rules: list[Rule]) -> None:
    now = service.clock.now()
    due = [
        upload.upload_id
        for upload in service.storage.scan_uploads(bucket.name, "", "", "")
        if any(
            rule.abort_uploads and rule.abort_uploads.due(upload.initiated_at, now)
            for rule in rules
            if upload.key.startswith(rule.prefix)
        )
    ]
    for upload_id in due:
        service.storage.delete_upload(upload_id)


def _age_objects(service: OssService, bucket: BucketRecord, rules: list[Rule]) -> None:
    """Apply the rules to the latest versions."""
    now = service.clock.now()
    expired, moved = [], []
    for record in _scan(rules, lambda prefix: service.storage.scan_objects(bucket.name, prefix, "")):
        about = [rule for rule in rules if rule.covers(record)] if record.type != DELETE_MARKER else []
        if any(rule.expiration and rule.expiration.due(record.modified_at, now) for rule in about):
            expired.append(record)
        elif changed := _in_class(record, [rule.class_at(record.modified_at, now) for rule in about]):
            moved.append(changed)
    if bucket.versioning:
        for record in expired:
            service.storage.put_object(service.new_delete_marker(bucket.name, record.key))
    else:
        _delete(service, bucket, expired)
    for record in moved:
        service.storage.update_object(record)


def _delete(service: OssService, bucket: BucketRecord, records: list[ObjectRecord]) -> None:
    """Delete versions that no retention policy protects."""
    now = service.clock.now()
    worm = read_worm(service.storage.document(bucket.name, "worm"), now)
    free = [record for record in records if worm is None or not worm.protects(record.modified_at, now)]
    service.storage.delete_versions(bucket.name, [(record.key, record.version_id) for record in free])


def _age_versions(service: OssService, bucket: BucketRecord, rules: list[Rule]) -> None:
    """Apply the rules to versions that are not the latest, and to delete markers that are the only version."""
    now = service.clock.now()
    gone, moved = [], []
    newer: ObjectRecord | None = None
    lone: ObjectRecord | None = None
    for record in _scan(rules, lambda prefix: service.storage.scan_versions(bucket.name, prefix, "", "")):
        about = [rule for rule in rules if rule.covers(record)]
        if lone is not None and lone.key != record.key:
            gone.append(lone)
        lone = None
        if newer is None or newer.key != record.key:
            if record.type == DELETE_MARKER and any(rule.remove_lone_markers for rule in about):
                lone = record
        else:
            days = (now - newer.modified_at) / DAY_S
            if any(rule.noncurrent_days is not None and days >= rule.noncurrent_days for rule in about):
                gone.append(record)
            else:
                due = [name for rule in about for after, name in rule.noncurrent_transitions if days >= after]
                if changed := _in_class(record, due):
                    moved.append(changed)
        newer = record
    if lone is not None:
        gone.append(lone)
    _delete(service, bucket, gone)
    for record in moved:
        service.storage.update_object(record)


def _scan(rules: list[Rule], scan: Callable[[str], Iterator[ObjectRecord]]) -> Iterator[ObjectRecord]:
    """Yield the records that ``scan`` finds under the prefixes of ``rules``, each record once."""
    done: str | None = None
    for prefix in sorted(rule.prefix for rule in rules):
        if done is None or not prefix.startswith(done):
            done = prefix
            yield from scan(prefix)


def _in_class(record: ObjectRecord, classes: list[str | None] | list[str]) -> ObjectRecord | None:
    """Return ``record`` in the coldest of ``classes``, ``None`` if the record is at least as cold."""
    order = ("Standard", *CLASSES)
    coldest = max((order.index(name) for name in classes if name), default=0)
    if record.type == DELETE_MARKER or coldest <= order.index(record.attributes.storage_class):
        return None
    return replace(record, attributes=replace(record.attributes, storage_class=order[coldest]))

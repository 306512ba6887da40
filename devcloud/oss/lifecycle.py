"""Works off the lifecycle rules of buckets.

The real service does so once a day, here it happens as soon as the clock says so. No events are told of it: the
triggers' ``ObjectRemoved:DeleteObject`` is that of API calls alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from devcloud.oss.documents.lifecycle import CLASSES, DAY_S, Rule, read_rules
from devcloud.oss.documents.worm import read_worm
from devcloud.oss.front.service import Service
from devcloud.oss.storage import DELETE_MARKER, Attributes, BucketRecord, Content, ObjectRecord


def apply_lifecycle(service: Service) -> None:
    """Expire, transition and abort what the rules of all buckets say is due."""
    for bucket in service.storage.buckets():
        body = service.storage.document(bucket.name, "lifecycle")
        if body is None:
            continue
        rules = read_rules(body)
        _abort_uploads(service, bucket, rules)
        _age_objects(service, bucket, rules)
        if bucket.versioning:
            _age_versions(service, bucket, rules)


def _abort_uploads(service: Service, bucket: BucketRecord, rules: list[Rule]) -> None:
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


def _age_objects(service: Service, bucket: BucketRecord, rules: list[Rule]) -> None:
    """Work off what is about the latest versions."""
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
            service.storage.put_object(_marker(service, record))
    else:
        _delete(service, bucket, expired)
    for record in moved:
        service.storage.update_object(record)


def _delete(service: Service, bucket: BucketRecord, records: list[ObjectRecord]) -> None:
    """Delete versions that no retention policy protects."""
    now = service.clock.now()
    worm = read_worm(service.storage.document(bucket.name, "worm"), now)
    free = [record for record in records if worm is None or not worm.protects(record.modified_at, now)]
    service.storage.delete_versions(bucket.name, [(record.key, record.version_id) for record in free])


def _marker(service: Service, hidden: ObjectRecord) -> ObjectRecord:
    return ObjectRecord(
        hidden.bucket,
        hidden.key,
        Content(),
        "",
        DELETE_MARKER,
        service.clock.now(),
        Attributes(),
        version_id=service.new_version_id(hidden.bucket),
    )


def _age_versions(service: Service, bucket: BucketRecord, rules: list[Rule]) -> None:
    """Work off what is about versions that are no longer the latest, and delete markers with nothing below."""
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
    """Yield what ``scan`` finds under the prefixes of ``rules``, each record once."""
    done: str | None = None
    for prefix in sorted(rule.prefix for rule in rules):
        if done is None or not prefix.startswith(done):
            done = prefix
            yield from scan(prefix)


def _in_class(record: ObjectRecord, classes: list[str | None] | list[str]) -> ObjectRecord | None:
    """Return ``record`` in the coldest of ``classes``, ``None`` if it is as cold already."""
    order = ("Standard", *CLASSES)
    coldest = max((order.index(name) for name in classes if name), default=0)
    if record.type == DELETE_MARKER or coldest <= order.index(record.attributes.storage_class):
        return None
    return replace(record, attributes=replace(record.attributes, storage_class=order[coldest]))

"""Event records in the shape of Function Compute's OSS trigger.

See https://www.alibabacloud.com/help/en/functioncompute/fc/oss-event-triggers. The function receives
``{"events": [record]}``, and keys are not URL-encoded.
"""

from datetime import UTC, datetime
from typing import Any

from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.storages.port import ObjectRecord


def event_record(
    name: str, request: OssRequest, record: ObjectRecord, *, delta_size: int, at: float, region: str, account_id: str
) -> dict[str, Any]:
    """Return the record of one change: ``name`` like "ObjectCreated:PutObject", ``at`` in Unix seconds."""
    return {
        "eventName": name,
        "eventSource": "acs:oss",
        "eventTime": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "eventVersion": "1.0",
        "oss": {
            "bucket": {
                "arn": f"acs:oss:{region}:{account_id}:{record.bucket}",
                "name": record.bucket,
                "ownerIdentity": account_id,
            },
            "object": {
                "deltaSize": delta_size,
                "eTag": record.etag,
                "key": record.key,
                "objectMeta": {
                    "mimeType": record.attributes.headers.get("content-type", ""),
                    "userMeta": {f"x-oss-meta-{name}": value for name, value in record.attributes.metadata.items()},
                },
                "size": record.content.size,
            },
            "ossSchemaVersion": "1.0",
            "ruleId": "devcloud",
        },
        "region": region,
        "requestParameters": {"sourceIPAddress": request.client_ip},
        "responseElements": {"requestId": request.id},
        "userIdentity": {"principalId": account_id},
    }

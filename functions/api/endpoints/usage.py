"""The quotas of a user and how much of them is used."""

from api_models import DailyQuotaJson, NoInput, QuotaJson, UsageJson
from api_responses import to_json
from routing import Request
from shared import bootstrap
from shared.domain.quotas import next_day_begins_at
from shared.fc.http import Response, json_response
from shared.services.reading import read_quota_status


def get_usage(request: Request[NoInput]) -> Response:
    """Return the caller's quotas and how much of each is used."""
    status = read_quota_status(request.user_id, ports=bootstrap.read_ports())
    quotas, usage, resets_at = status.quotas, status.usage, next_day_begins_at(status.at)
    shown = UsageJson(
        concurrent_jobs=QuotaJson(used=usage.concurrent_jobs, limit=quotas.concurrent_jobs),
        jobs_today=DailyQuotaJson(used=usage.jobs_today, limit=quotas.jobs_per_day, resets_at=resets_at),
        stored_bytes=QuotaJson(used=usage.stored_bytes, limit=quotas.stored_bytes),
    )
    return json_response(200, to_json(shown))

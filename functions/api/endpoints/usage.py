"""What a user takes up."""

from routing import Request
from schemas import DailyQuotaJson, NoInput, QuotaJson, UsageJson
from shared import bootstrap
from shared.domain.quotas import next_day_begins_at
from shared.fc.http import Response, json_response


def get_usage(request: Request[NoInput]) -> Response:
    """Show how much of each quota the caller has used."""
    now, quotas = bootstrap.clock().now(), bootstrap.quotas()
    usage = bootstrap.starts().usage_of(request.user_id, now)
    shown = UsageJson(
        concurrent_jobs=QuotaJson(used=usage.concurrent_jobs, limit=quotas.concurrent_jobs),
        jobs_today=DailyQuotaJson(used=usage.jobs_today, limit=quotas.jobs_per_day, resets_at=next_day_begins_at(now)),
        stored_bytes=QuotaJson(used=usage.stored_bytes, limit=quotas.stored_bytes),
    )
    return json_response(200, shown.model_dump(by_alias=True))

"""Tell users of their quotas in headers.

The fields are those of https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (draft 10). They count
requests, so the quota of bytes is not among them.
"""

from datetime import datetime

from shared import bootstrap
from shared.domain.errors import QuotaExceededError
from shared.domain.quotas import DAY_S, Usage, rest_of_day_s
from shared.fc.http import Response, problem
from shared.observability import request_id


def limit_headers(usage: Usage, now: datetime) -> dict[str, str]:
    """Return what is left to a user of each quota of requests, and what the quotas are."""
    quotas = bootstrap.quotas()
    today = max(quotas.jobs_per_day - usage.jobs_today, 0)
    at_once = max(quotas.concurrent_jobs - usage.concurrent_jobs, 0)
    policies = f'"jobs-per-day";q={quotas.jobs_per_day};w={DAY_S}, "concurrent-jobs";q={quotas.concurrent_jobs}'
    return {
        "RateLimit-Policy": policies,
        "RateLimit": f'"jobs-per-day";r={today};t={rest_of_day_s(now)}, "concurrent-jobs";r={at_once}',
    }


def refuse(error: QuotaExceededError, now: datetime) -> Response:
    """Answer a request that a quota forbids."""
    headers = {"Retry-After": str(error.retry_after_s), **limit_headers(error.usage, now)}
    return problem(error.status, error.code, str(error), request_id.get(), headers=headers)

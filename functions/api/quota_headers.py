"""The headers in which users learn about their quotas: RateLimit and RateLimit-Policy.

Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (draft 10). The headers count requests,
so they do not contain the quota of bytes.
"""

from shared.domain.errors import QuotaExceededError
from shared.domain.quotas import DAY_S, Quotas, QuotaStatus, rest_of_day_s
from shared.fc.http import Response, problem
from shared.observability import request_id


def quota_headers(status: QuotaStatus) -> dict[str, str]:
    """Return the quotas of requests and how much of each is left."""
    quotas, usage = status.quotas, status.usage
    today = max(quotas.jobs_per_day - usage.jobs_today, 0)
    unfinished = max(quotas.concurrent_jobs - usage.concurrent_jobs, 0)
    policies = f'"jobs-per-day";q={quotas.jobs_per_day};w={DAY_S}, "concurrent-jobs";q={quotas.concurrent_jobs}'
    return {
        "RateLimit-Policy": policies,
        "RateLimit": f'"jobs-per-day";r={today};t={rest_of_day_s(status.at)}, "concurrent-jobs";r={unfinished}',
    }


def quota_problem(error: QuotaExceededError, quotas: Quotas) -> Response:
    """Return the 429 for a user who has used up a quota."""
    status = QuotaStatus(quotas, error.usage, error.at)
    headers = {"Retry-After": str(error.retry_after_s), **quota_headers(status)}
    return problem(error.status, error.code, str(error), request_id.get(), headers=headers)

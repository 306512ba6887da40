"""CORS: the pre-flight request, and the headers of answers to pages of other sites.

See https://www.alibabacloud.com/help/en/oss/developer-reference/optionobject.
"""

from devcloud.oss.documents.cors_rules import CorsConfiguration, CorsRule, read_cors
from devcloud.oss.http.oss_reply import Reply
from devcloud.oss.http.oss_request import OssRequest
from devcloud.oss.oss_errors import OssError
from devcloud.oss.oss_service import OssService


async def option_object(service: OssService, request: OssRequest) -> Reply:
    """OptionObject, which browsers send without a signature before the request itself."""
    origin = request.headers.get("origin")
    method = request.headers.get("access-control-request-method")
    if not origin or not method:
        raise OssError(400, "BadRequest", "Insufficient information. Origin request header needed.")
    cors = _configuration(service, request)
    if cors is None:
        raise OssError(403, "AccessForbidden", "CORSResponse: CORS is not enabled for this bucket.")
    headers = _names(request.headers.get("access-control-request-headers", ""))
    rule = cors.rule_for(origin, method, headers)
    if rule is None:
        message = (
            "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, request"
            " method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the"
            " resource's CORS spec."
        )
        details = {"Method": method, "ResourceType": "OBJECT"}
        raise OssError(403, "AccessForbidden", message, details=details)
    answer = _headers(rule, origin)
    if headers:
        answer["access-control-allow-headers"] = ", ".join(headers)
    return Reply(headers=answer | _vary(cors, rule))


def allow_origin(service: OssService, request: OssRequest, reply: Reply) -> None:
    """Add the headers to ``reply`` that allow the requesting page to read it."""
    if request.method == "OPTIONS" or not request.bucket:
        return
    origin = request.headers.get("origin")
    cors = _configuration(service, request)
    if cors is None:
        return
    rule = cors.rule_for(origin, request.method, []) if origin else None
    if origin and rule:
        reply.headers |= _headers(rule, origin)
    reply.headers |= _vary(cors, rule)


def _configuration(service: OssService, request: OssRequest) -> CorsConfiguration | None:
    body = service.storage.document(request.bucket, "cors")
    return None if body is None else read_cors(body)


def _headers(rule: CorsRule, origin: str) -> dict[str, str]:
    headers = {
        "access-control-allow-origin": "*" if "*" in rule.origins else origin,
        "access-control-allow-methods": ", ".join(rule.methods),
    }
    if rule.exposed:
        headers["access-control-expose-headers"] = ", ".join(rule.exposed)
    if rule.max_age_s is not None:
        headers["access-control-max-age"] = str(rule.max_age_s)
    return headers


def _vary(cors: CorsConfiguration, rule: CorsRule | None) -> dict[str, str]:
    by_origin = cors.response_vary or (rule is not None and "*" not in rule.origins)
    return {"vary": "Origin"} if by_origin else {}


def _names(text: str) -> list[str]:
    return [name.strip().lower() for name in text.split(",") if name.strip()]

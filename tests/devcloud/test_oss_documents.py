"""The configuration documents of buckets: what is taken, what is refused, and what comes back."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import oss2
import pytest
from oss2 import models
from oss2.exceptions import OssError
from oss_support import BUCKET, REGION, RunningOss, running_oss


@pytest.fixture(scope="module")
def oss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOss]:
    with running_oss(tmp_path_factory.mktemp("oss")) as running:
        yield running


@pytest.fixture(params=["v1", "v4"])
def bucket(oss: RunningOss, request: pytest.FixtureRequest) -> Iterator[oss2.Bucket]:
    bucket = oss.bucket(f"documents-{request.param}", version=request.param)
    bucket.create_bucket()
    yield bucket
    bucket.delete_bucket()


def refusal(act: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(OssError) as error:
        act()
    return error.value.status, error.value.code


# Bucket properties


def test_properties_given_at_creation(oss: RunningOss) -> None:
    bucket = oss.bucket("created-with")
    headers = {"x-oss-server-side-encryption": "KMS", "x-oss-server-side-encryption-key-id": "key-1"}
    bucket.create_bucket("public-read", models.BucketCreateConfig("IA", "ZRS"), headers)
    info = bucket.get_bucket_info()
    assert (info.acl.grant, info.storage_class, info.data_redundancy_type) == ("public-read", "IA", "ZRS")
    assert (info.bucket_encryption_rule.sse_algorithm, info.bucket_encryption_rule.kms_master_keyid) == ("KMS", "key-1")
    assert (info.comment, info.access_monitor, info.transfer_acceleration) == ("", "Disabled", "Disabled")
    bucket.put_bucket_transfer_acceleration("true")
    bucket.put_bucket_access_monitor("Enabled")
    info = bucket.get_bucket_info()
    assert (info.access_monitor, info.transfer_acceleration) == ("Enabled", "Enabled")
    bucket.create_bucket()  # again, which changes nothing
    assert bucket.get_bucket_acl().acl == "public-read"
    bucket.delete_bucket()
    bucket.create_bucket()  # anew: no document is left
    assert bucket.get_bucket_info().bucket_encryption_rule.sse_algorithm is None
    assert refusal(lambda: bucket.create_bucket("private", models.BucketCreateConfig("Standard", "XRS"))) == (
        400,
        "InvalidArgument",
    )


def test_the_endpoint_that_info_names_leads_back(oss: RunningOss) -> None:
    endpoint = oss.bucket().get_bucket_info().extranet_endpoint
    again = oss2.Bucket(oss.bucket().auth, endpoint, BUCKET, region=REGION)
    assert again.get_bucket_location().location == f"oss-{REGION}"


def test_buckets_by_tags_and_resource_group(oss: RunningOss) -> None:
    for name, tags in (("tagged-a", {"team": "x", "stage": "test"}), ("tagged-b", {"team": "y"}), ("tagged-c", {})):
        bucket = oss.bucket(name)
        bucket.create_bucket()
        tagging = models.Tagging()
        tagging.tag_set.tagging_rule = tags
        bucket.put_bucket_tagging(tagging)

    def names(**params: str) -> list[str]:
        query = {name.replace("_", "-"): value for name, value in params.items()}
        return [found.name for found in oss.service().list_buckets(prefix="tagged-", params=query).buckets]

    assert names() == ["tagged-a", "tagged-b", "tagged-c"]
    assert names(tag_key="team") == ["tagged-a", "tagged-b"]
    assert names(tag_key="team", tag_value="y") == ["tagged-b"]
    assert names(tag_key="nobody") == []
    assert names(tagging='"team":"x","stage":"test"') == ["tagged-a"]
    assert names(tagging='"team":"y","stage":"test"') == []
    oss.bucket("tagged-b").put_bucket_resource_group("rg-abcdefghij01")
    for group, expected in (("rg-abcdefghij01", ["tagged-b"]), ("rg-nobodys00000", [])):
        headers = {"x-oss-resource-group-id": group}
        found = oss.service().list_buckets(prefix="tagged-", headers=headers).buckets
        assert [entry.name for entry in found] == expected
    page = oss.service().list_buckets(prefix="tagged-", max_keys=2)
    assert (page.is_truncated, page.next_marker) == (True, "tagged-b")
    assert refusal(lambda: oss.bucket("tagged-a").put_bucket_resource_group("nope")) == (
        400,
        "ResourceGroupIdPreCheckError",
    )


def test_tags(bucket: oss2.Bucket) -> None:
    tagging = models.Tagging()
    tagging.tag_set.tagging_rule = {"a": "1", "b%@": "", "c": "3"}
    bucket.put_bucket_tagging(tagging)
    assert bucket.get_bucket_tagging().tag_set.tagging_rule == {"a": "1", "b%@": "", "c": "3"}
    bucket.delete_bucket_tagging(params={"tagging": "a,c"})
    assert bucket.get_bucket_tagging().tag_set.tagging_rule == {"b%@": ""}
    bucket.delete_bucket_tagging()
    assert bucket.get_bucket_tagging().tag_set.tagging_rule == {}
    for tags in ({"k" * 65: "v"}, {"k": "v" * 129}, {str(n): "" for n in range(21)}, {"aliyun-x": ""}):
        tagging.tag_set.tagging_rule = tags
        assert refusal(lambda: bucket.put_bucket_tagging(tagging)) == (400, "InvalidTag")


# Lifecycle


def rule(name: str = "r", prefix: str = "logs/", **parts: Any) -> models.LifecycleRule:
    transitions = [models.StorageTransition(days=days, storage_class=to) for days, to in parts.pop("to", ())]
    return models.LifecycleRule(name, prefix, storage_transitions=transitions, **parts)


def test_lifecycle_comes_back_whole(bucket: oss2.Bucket) -> None:
    assert refusal(bucket.get_bucket_lifecycle) == (404, "NoSuchLifecycle")
    tagging = models.Tagging()
    tagging.tag_set.tagging_rule = {"kind": "draft"}
    exclusion = models.FilterNot("logs/keep/", models.FilterNotTag("hold", "yes"))
    put = rule(
        to=[(30, "IA"), (60, "Archive")],
        expiration=models.LifecycleExpiration(days=365),
        abort_multipart_upload=models.AbortMultipartUpload(days=7),
        tagging=tagging,
        noncurrent_version_expiration=models.NoncurrentVersionExpiration(30),
        noncurrent_version_sotrage_transitions=[models.NoncurrentVersionStorageTransition(10, "IA")],
        filter=models.LifecycleFilter([exclusion], object_size_greater_than=10, object_size_less_than=1000),
    )
    bucket.put_bucket_lifecycle(models.BucketLifecycle([put]))
    (got,) = bucket.get_bucket_lifecycle().rules
    assert (got.id, got.prefix, got.status, got.expiration.days) == ("r", "logs/", "Enabled", 365)
    assert [(move.days, move.storage_class) for move in got.storage_transitions] == [(30, "IA"), (60, "Archive")]
    assert (got.abort_multipart_upload.days, got.tagging.tag_set.tagging_rule) == (7, {"kind": "draft"})
    assert got.noncurrent_version_expiration.noncurrent_days == 30
    assert (got.filter.object_size_greater_than, got.filter.filter_not[0].prefix) == (10, "logs/keep/")
    bucket.delete_bucket_lifecycle()
    assert refusal(bucket.get_bucket_lifecycle) == (404, "NoSuchLifecycle")


def test_rules_without_id_get_one(bucket: oss2.Bucket) -> None:
    body = "<Rule><Prefix>{}</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>"
    namespace = 'xmlns="http://doc.oss-cn-hangzhou.aliyuncs.com"'
    rules = body.format("a/") + body.format("b/")
    bucket.put_bucket_lifecycle(f"<LifecycleConfiguration {namespace}>\n {rules}</LifecycleConfiguration>")
    ids = [got.id for got in bucket.get_bucket_lifecycle().rules]
    assert len(set(ids)) == 2
    assert all(ids)


DAYS = models.LifecycleExpiration(days=10)


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([rule(expiration=DAYS, to=[(10, "IA")])], "InvalidArgument"),
        ([rule(expiration=DAYS, to=[(5, "IA"), (4, "Archive")])], "InvalidArgument"),
        ([rule(expiration=DAYS, to=[(5, "Standard")])], "InvalidArgument"),
        ([rule(expiration=models.LifecycleExpiration(days=0))], "InvalidArgument"),
        ([rule(expiration=models.LifecycleExpiration(date=date(2030, 1, 1)), to=[(5, "IA")])], "InvalidRequest"),
        ([rule(expiration=DAYS), rule("s", "logs/a", expiration=DAYS)], "InvalidArgument"),
        ([rule(expiration=DAYS), rule("r", "other/", expiration=DAYS)], "InvalidArgument"),
        ([rule()], "MalformedXML"),
        ([rule(status="On", expiration=DAYS)], "MalformedXML"),
        ([], "MalformedXML"),
    ],
)
def test_lifecycle_rules_that_make_no_sense(oss: RunningOss, rules: list[models.LifecycleRule], code: str) -> None:
    for entry in rules:
        entry.status = entry.status if entry.status == "On" else "Enabled"
    put = models.BucketLifecycle(rules)
    assert refusal(lambda: oss.bucket().put_bucket_lifecycle(put)) == (400, code)


def test_overlapping_rules_are_taken_where_the_header_says_so(oss: RunningOss) -> None:
    rules = models.BucketLifecycle([rule(expiration=DAYS), rule("s", "logs/a", expiration=DAYS)])
    bucket = oss.bucket()
    bucket.put_bucket_lifecycle(rules, {"x-oss-allow-same-action-overlap": "true"})
    assert len(bucket.get_bucket_lifecycle().rules) == 2
    bucket.delete_bucket_lifecycle()


# The other documents


@pytest.mark.parametrize(
    ("put", "body"),
    [
        ("put_bucket_lifecycle", "<LifecycleConfiguration><Rule>"),
        ("put_bucket_lifecycle", "<CORSConfiguration/>"),
        ("put_bucket_cors", "<CORSConfiguration/>"),
        (
            "put_bucket_cors",
            "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>",
        ),
        ("put_bucket_referer", "<RefererConfiguration/>"),
        ("put_bucket_website", "<WebsiteConfiguration/>"),
        ("put_bucket_website", "<WebsiteConfiguration><IndexDocument/></WebsiteConfiguration>"),
        ("put_bucket_logging", "<BucketLoggingStatus><LoggingEnabled/></BucketLoggingStatus>"),
        ("put_bucket_tagging", "<Tagging/>"),
        ("put_bucket_encryption", "<ServerSideEncryptionRule/>"),
        ("put_bucket_request_payment", None),
        ("put_bucket_access_monitor", None),
        ("put_bucket_transfer_acceleration", None),
    ],
)
def test_documents_of_another_form(oss: RunningOss, put: str, body: str | None) -> None:
    assert refusal(lambda: getattr(oss.bucket(), put)(body or "nonsense")) == (400, "MalformedXML")


def test_cors_rules_that_make_no_sense(oss: RunningOss) -> None:
    bucket = oss.bucket()
    for wrong in (
        models.CorsRule(["*"], ["GET"], ["*"], [], -1),
        models.CorsRule(["*"], ["PATCH"], ["*"]),
        models.CorsRule(["http://*.*.com"], ["GET"], ["*"]),
        models.CorsRule(["*"], ["GET"], [], ["x-oss-*"]),
    ):
        assert refusal(lambda wrong=wrong: bucket.put_bucket_cors(models.BucketCors([wrong]))) == (
            400,
            "InvalidArgument",
        )
    with pytest.raises(OssError) as error:
        bucket.put_bucket_cors(models.BucketCors([models.CorsRule(["*"], ["GET"], ["*"], [], -1)]))
    assert (error.value.name, error.value.value) == ("MaxAgeSeconds", "-1")


def test_website(bucket: oss2.Bucket) -> None:
    condition = models.Condition("old/", 404)
    redirect = models.Redirect(
        models.REDIRECT_TYPE_EXTERNAL, proto="https", host_name="a.example", http_redirect_code=301
    )
    bucket.put_bucket_website(
        models.BucketWebsite("index.html", "error.html", [models.RoutingRule(1, condition, redirect)])
    )
    site = bucket.get_bucket_website()
    assert (site.index_file, site.error_file) == ("index.html", "error.html")
    assert (site.rules[0].condition.key_prefix_equals, site.rules[0].redirect.http_redirect_code) == ("old/", 301)
    assert refusal(lambda: bucket.put_bucket_website(models.BucketWebsite("a/index.html", "e"))) == (
        400,
        "InvalidArgument",
    )
    bucket.delete_bucket_website()
    bucket.delete_bucket_website()
    assert refusal(bucket.get_bucket_website) == (404, "NoSuchWebsiteConfiguration")


def test_referer(bucket: oss2.Bucket) -> None:
    assert bucket.get_bucket_referer().allow_empty_referer
    bucket.put_bucket_referer(models.BucketReferer(False, ["http://*.a.example", "中文"], True, ["http://b.example"]))
    got = bucket.get_bucket_referer()
    assert (got.allow_empty_referer, got.referers, got.black_referers) == (
        False,
        ["http://*.a.example", "中文"],
        ["http://b.example"],
    )


def test_encryption(bucket: oss2.Bucket) -> None:
    assert refusal(bucket.get_bucket_encryption) == (404, "NoSuchServerSideEncryptionRule")
    for algorithm, key, data in (("AES256", None, None), ("SM4", None, None), ("KMS", "k", None), ("KMS", None, "SM4")):
        bucket.put_bucket_encryption(models.ServerSideEncryptionRule(algorithm, key, data))
        got = bucket.get_bucket_encryption()
        assert (got.sse_algorithm, got.kms_master_keyid, got.kms_data_encryption) == (algorithm, key, data)
    wrong = models.ServerSideEncryptionRule("DES")
    assert refusal(lambda: bucket.put_bucket_encryption(wrong)) == (400, "InvalidEncryptionAlgorithmError")
    wrong = models.ServerSideEncryptionRule("AES256", "k")
    assert refusal(lambda: bucket.put_bucket_encryption(wrong)) == (400, "InvalidArgument")
    bucket.delete_bucket_encryption()
    assert refusal(bucket.get_bucket_encryption) == (404, "NoSuchServerSideEncryptionRule")


def test_logging(bucket: oss2.Bucket) -> None:
    assert bucket.get_bucket_logging().target_bucket == ""
    bucket.put_bucket_logging(models.BucketLogging(BUCKET, "日志/"))
    got = bucket.get_bucket_logging()
    assert (got.target_bucket, got.target_prefix) == (BUCKET, "日志/")
    wrong = models.BucketLogging("no-such-bucket", "")
    assert refusal(lambda: bucket.put_bucket_logging(wrong)) == (400, "InvalidTargetBucketForLogging")
    bucket.delete_bucket_logging()
    assert bucket.get_bucket_logging().target_bucket == ""


STATEMENT = {"Effect": "Allow", "Action": ["oss:GetObject"], "Resource": ["acs:oss:*:*:b/*"], "Principal": ["*"]}
POLICY = {"Version": "1", "Statement": [STATEMENT]}


def test_policy(bucket: oss2.Bucket) -> None:
    assert refusal(bucket.get_bucket_policy) == (404, "NoSuchBucketPolicy")
    bucket.put_bucket_policy(json.dumps(POLICY))
    assert json.loads(bucket.get_bucket_policy().policy) == POLICY
    bucket.delete_bucket_policy()
    assert refusal(bucket.get_bucket_policy) == (404, "NoSuchBucketPolicy")


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "Perhaps"},
        {"Action": "ram:ListUsers"},
        {"Action": []},
        {"Resource": "arn:aws:s3:::b"},
        {"Condition": {"StringLikely": {"acs:SourceIp": ["1.2.3.4"]}}},
        {"Condition": {"StringLike": {"acs:Weather": ["fine"]}}},
        {"Condition": {"IpAddress": {"acs:SourceIp": ["1.2.3.400"]}}},
    ],
)
def test_policies_that_make_no_sense(oss: RunningOss, change: dict[str, object]) -> None:
    policy = json.dumps({"Version": "1", "Statement": [STATEMENT | change]})
    assert refusal(lambda: oss.bucket().put_bucket_policy(policy)) == (400, "InvalidPolicyDocument")


def test_policies_that_are_none(oss: RunningOss) -> None:
    for text in ("{", "[]", '{"Version": "1"}', '{"Version": "2", "Statement": [{}]}'):
        assert refusal(lambda text=text: oss.bucket().put_bucket_policy(text)) == (400, "InvalidPolicyDocument")


def test_styles(bucket: oss2.Bucket) -> None:
    for name, content in (("b", "image/resize,w_200"), ("a", "image/resize,w_100"), ("b", "image/resize,w_300")):
        bucket.put_bucket_style(name, content)
    assert bucket.get_bucket_style("b").content == "image/resize,w_300"
    styles = [(style.name, style.content) for style in bucket.list_bucket_style().styles]
    assert styles == [("a", "image/resize,w_100"), ("b", "image/resize,w_300")]
    bucket.delete_bucket_style("a")
    assert refusal(lambda: bucket.get_bucket_style("a")) == (404, "NoSuchStyle")
    assert refusal(lambda: bucket.put_bucket_style("@", "x")) == (400, "InvalidArgument")
    assert refusal(lambda: bucket.put_bucket_style("c", "")) == (400, "InvalidArgument")
    bucket.delete_bucket_style("b")
    assert bucket.list_bucket_style().styles == []


def inventory(name: str, target: str = BUCKET) -> models.InventoryConfiguration:
    destination = models.InventoryBucketDestination(
        account_id="1", role_arn="acs:ram::1:role/r", bucket=target, inventory_format="CSV", prefix="inventory/"
    )
    return models.InventoryConfiguration(
        inventory_id=name,
        is_enabled=True,
        inventory_schedule=models.InventorySchedule("Daily"),
        included_object_versions="Current",
        inventory_destination=models.InventoryDestination(bucket_destination=destination),
        optional_fields=["Size", "ETag"],
    )


def test_inventories(bucket: oss2.Bucket) -> None:
    assert refusal(bucket.list_bucket_inventory_configurations) == (404, "NoSuchInventory")
    for name in ("weekly", "daily"):
        bucket.put_bucket_inventory_configuration(inventory(name))
    got = bucket.get_bucket_inventory_configuration("daily")
    assert (got.is_enabled, got.inventory_schedule.frequency, got.optional_fields) == (True, "Daily", ["Size", "ETag"])
    listed = bucket.list_bucket_inventory_configurations()
    assert ([entry.inventory_id for entry in listed.inventory_configurations], listed.is_truncated) == (
        ["daily", "weekly"],
        False,
    )
    again, elsewhere = inventory("daily"), inventory("new", "no-such-bucket")
    assert refusal(lambda: bucket.put_bucket_inventory_configuration(again)) == (409, "InventoryAlreadyExist")
    assert refusal(lambda: bucket.put_bucket_inventory_configuration(elsewhere)) == (404, "NoSuchBucket")
    bucket.delete_bucket_inventory_configuration("daily")
    assert refusal(lambda: bucket.get_bucket_inventory_configuration("daily")) == (404, "NoSuchInventory")
    assert refusal(lambda: bucket.delete_bucket_inventory_configuration("daily")) == (404, "NoSuchInventory")


def test_small_settings(bucket: oss2.Bucket) -> None:
    assert bucket.get_bucket_storage_capacity().storage_capacity == -1
    bucket.set_bucket_storage_capacity(models.BucketUserQos(100))
    assert bucket.get_bucket_storage_capacity().storage_capacity == 100
    wrong = models.BucketUserQos(-2)
    assert refusal(lambda: bucket.set_bucket_storage_capacity(wrong)) == (400, "InvalidArgument")
    assert bucket.get_bucket_request_payment().payer == "BucketOwner"
    bucket.put_bucket_request_payment("Requester")
    assert bucket.get_bucket_request_payment().payer == "Requester"
    assert refusal(bucket.get_bucket_transfer_acceleration) == (404, "NoSuchTransferAccelerationConfiguration")
    bucket.put_bucket_transfer_acceleration("true")
    assert bucket.get_bucket_transfer_acceleration().enabled == "true"
    bucket.put_bucket_https_config(models.BucketTlsVersion(True, ["TLSv1.2", "TLSv1.2", "TLSv1.3"]))
    assert bucket.get_bucket_https_config().tls_version == ["TLSv1.2", "TLSv1.3"]
    for versions in ([], ["SSLv3"]):
        wrong = models.BucketTlsVersion(True, versions)
        assert refusal(lambda wrong=wrong: bucket.put_bucket_https_config(wrong)) == (400, "MalformedXML")

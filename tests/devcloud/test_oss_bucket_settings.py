"""Bucket properties, and the configuration documents that do not have their own test module."""

from functools import partial

import oss2
import pytest
from oss2 import models
from oss_support import BUCKET, REGION, refusal

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def test_a_bucket_has_the_properties_given_at_its_creation(shared_oss_emulator: EmulatedOss) -> None:
    bucket = shared_oss_emulator.client("created-with")
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
    bucket.create_bucket()  # a new bucket without the earlier documents
    assert bucket.get_bucket_info().bucket_encryption_rule.sse_algorithm is None
    assert refusal(lambda: bucket.create_bucket("private", models.BucketCreateConfig("Standard", "XRS"))) == (
        400,
        "InvalidArgument",
    )


def test_the_endpoint_of_bucket_info_is_reachable(shared_oss_emulator: EmulatedOss) -> None:
    endpoint = shared_oss_emulator.client().get_bucket_info().extranet_endpoint
    again = oss2.Bucket(shared_oss_emulator.client().auth, endpoint, BUCKET, region=REGION)
    assert again.get_bucket_location().location == f"oss-{REGION}"


def test_buckets_are_listed_by_tags_and_resource_group(shared_oss_emulator: EmulatedOss) -> None:
    for name, tags in (("tagged-a", {"team": "x", "stage": "test"}), ("tagged-b", {"team": "y"}), ("tagged-c", {})):
        bucket = shared_oss_emulator.client(name)
        bucket.create_bucket()
        tagging = models.Tagging()
        tagging.tag_set.tagging_rule = tags
        bucket.put_bucket_tagging(tagging)

    def names(**params: str) -> list[str]:
        query = {name.replace("_", "-"): value for name, value in params.items()}
        return [
            found.name
            for found in shared_oss_emulator.service_client().list_buckets(prefix="tagged-", params=query).buckets
        ]

    assert names() == ["tagged-a", "tagged-b", "tagged-c"]
    assert names(tag_key="team") == ["tagged-a", "tagged-b"]
    assert names(tag_key="team", tag_value="y") == ["tagged-b"]
    assert names(tag_key="nobody") == []
    assert names(tagging='"team":"x","stage":"test"') == ["tagged-a"]
    assert names(tagging='"team":"y","stage":"test"') == []
    shared_oss_emulator.client("tagged-b").put_bucket_resource_group("rg-abcdefghij01")
    for group, expected in (("rg-abcdefghij01", ["tagged-b"]), ("rg-nobodys00000", [])):
        headers = {"x-oss-resource-group-id": group}
        found = shared_oss_emulator.service_client().list_buckets(prefix="tagged-", headers=headers).buckets
        assert [entry.name for entry in found] == expected
    page = shared_oss_emulator.service_client().list_buckets(prefix="tagged-", max_keys=2)
    assert (page.is_truncated, page.next_marker) == (True, "tagged-b")
    assert refusal(lambda: shared_oss_emulator.client("tagged-a").put_bucket_resource_group("nope")) == (
        400,
        "ResourceGroupIdPreCheckError",
    )


def test_bucket_tags_are_stored_deleted_and_checked(empty_bucket: oss2.Bucket) -> None:
    tagging = models.Tagging()
    tagging.tag_set.tagging_rule = {"a": "1", "b%@": "", "c": "3"}
    empty_bucket.put_bucket_tagging(tagging)
    assert empty_bucket.get_bucket_tagging().tag_set.tagging_rule == {"a": "1", "b%@": "", "c": "3"}
    empty_bucket.delete_bucket_tagging(params={"tagging": "a,c"})
    assert empty_bucket.get_bucket_tagging().tag_set.tagging_rule == {"b%@": ""}
    empty_bucket.delete_bucket_tagging()
    assert empty_bucket.get_bucket_tagging().tag_set.tagging_rule == {}
    for tags in ({"k" * 65: "v"}, {"k": "v" * 129}, {str(n): "" for n in range(21)}, {"aliyun-x": ""}):
        tagging.tag_set.tagging_rule = tags
        assert refusal(lambda: empty_bucket.put_bucket_tagging(tagging)) == (400, "InvalidTag")


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
def test_documents_of_another_structure_are_refused(
    shared_oss_emulator: EmulatedOss, put: str, body: str | None
) -> None:
    assert refusal(lambda: getattr(shared_oss_emulator.client(), put)(body or "nonsense")) == (400, "MalformedXML")


def test_a_logging_target_is_stored_and_must_exist(empty_bucket: oss2.Bucket) -> None:
    assert empty_bucket.get_bucket_logging().target_bucket == ""
    empty_bucket.put_bucket_logging(models.BucketLogging(BUCKET, "日志/"))
    got = empty_bucket.get_bucket_logging()
    assert (got.target_bucket, got.target_prefix) == (BUCKET, "日志/")
    wrong = models.BucketLogging("no-such-bucket", "")
    assert refusal(lambda: empty_bucket.put_bucket_logging(wrong)) == (400, "InvalidTargetBucketForLogging")
    empty_bucket.delete_bucket_logging()
    assert empty_bucket.get_bucket_logging().target_bucket == ""


def test_styles_are_listed_replaced_and_deleted(empty_bucket: oss2.Bucket) -> None:
    for name, content in (("b", "image/resize,w_200"), ("a", "image/resize,w_100"), ("b", "image/resize,w_300")):
        empty_bucket.put_bucket_style(name, content)
    assert empty_bucket.get_bucket_style("b").content == "image/resize,w_300"
    styles = [(style.name, style.content) for style in empty_bucket.list_bucket_style().styles]
    assert styles == [("a", "image/resize,w_100"), ("b", "image/resize,w_300")]
    empty_bucket.delete_bucket_style("a")
    assert refusal(lambda: empty_bucket.get_bucket_style("a")) == (404, "NoSuchStyle")
    assert refusal(lambda: empty_bucket.put_bucket_style("@", "x")) == (400, "InvalidArgument")
    assert refusal(lambda: empty_bucket.put_bucket_style("c", "")) == (400, "InvalidArgument")
    empty_bucket.delete_bucket_style("b")
    assert empty_bucket.list_bucket_style().styles == []


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


def test_inventories_are_listed_and_have_unique_names(empty_bucket: oss2.Bucket) -> None:
    assert refusal(empty_bucket.list_bucket_inventory_configurations) == (404, "NoSuchInventory")
    for name in ("weekly", "daily"):
        empty_bucket.put_bucket_inventory_configuration(inventory(name))
    got = empty_bucket.get_bucket_inventory_configuration("daily")
    assert (got.is_enabled, got.inventory_schedule.frequency, got.optional_fields) == (True, "Daily", ["Size", "ETag"])
    listed = empty_bucket.list_bucket_inventory_configurations()
    assert ([entry.inventory_id for entry in listed.inventory_configurations], listed.is_truncated) == (
        ["daily", "weekly"],
        False,
    )
    again, elsewhere = inventory("daily"), inventory("new", "no-such-bucket")
    assert refusal(lambda: empty_bucket.put_bucket_inventory_configuration(again)) == (409, "InventoryAlreadyExist")
    assert refusal(lambda: empty_bucket.put_bucket_inventory_configuration(elsewhere)) == (404, "NoSuchBucket")
    empty_bucket.delete_bucket_inventory_configuration("daily")
    assert refusal(lambda: empty_bucket.get_bucket_inventory_configuration("daily")) == (404, "NoSuchInventory")
    assert refusal(lambda: empty_bucket.delete_bucket_inventory_configuration("daily")) == (404, "NoSuchInventory")


def test_settings_without_a_document_are_stored_and_checked(empty_bucket: oss2.Bucket) -> None:
    assert empty_bucket.get_bucket_storage_capacity().storage_capacity == -1
    empty_bucket.set_bucket_storage_capacity(models.BucketUserQos(100))
    assert empty_bucket.get_bucket_storage_capacity().storage_capacity == 100
    wrong = models.BucketUserQos(-2)
    assert refusal(lambda: empty_bucket.set_bucket_storage_capacity(wrong)) == (400, "InvalidArgument")
    assert empty_bucket.get_bucket_request_payment().payer == "BucketOwner"
    empty_bucket.put_bucket_request_payment("Requester")
    assert empty_bucket.get_bucket_request_payment().payer == "Requester"
    assert refusal(empty_bucket.get_bucket_transfer_acceleration) == (404, "NoSuchTransferAccelerationConfiguration")
    empty_bucket.put_bucket_transfer_acceleration("true")
    assert empty_bucket.get_bucket_transfer_acceleration().enabled == "true"
    empty_bucket.put_bucket_https_config(models.BucketTlsVersion(True, ["TLSv1.2", "TLSv1.2", "TLSv1.3"]))
    assert empty_bucket.get_bucket_https_config().tls_version == ["TLSv1.2", "TLSv1.3"]
    for versions in ([], ["SSLv3"]):
        wrong = models.BucketTlsVersion(True, versions)
        assert refusal(partial(empty_bucket.put_bucket_https_config, wrong)) == (400, "MalformedXML")

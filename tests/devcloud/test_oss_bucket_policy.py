"""Bucket policies: which ones are valid, and which requests they allow and deny."""

import json
from base64 import urlsafe_b64encode
from functools import partial
from io import BytesIO

import oss2
import pytest
from oss2.exceptions import OssError
from oss_support import ACCOUNT, BUCKET, OTHER_KEY, ask, refusal
from PIL import Image

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def statement(effect: str, *actions: str, resource: str = "enforced/*", **parts: object) -> dict[str, object]:
    names = [f"oss:{action}" for action in actions]
    return {"Effect": effect, "Action": names, "Resource": [f"acs:oss:*:*:{resource}"], "Principal": ["*"], **parts}


def put_policy(bucket: oss2.Bucket, *statements: dict[str, object]) -> None:
    bucket.put_bucket_policy(json.dumps({"Version": "1", "Statement": statements}))


STATEMENT = {"Effect": "Allow", "Action": ["oss:GetObject"], "Resource": ["acs:oss:*:*:b/*"], "Principal": ["*"]}


POLICY = {"Version": "1", "Statement": [STATEMENT]}


def test_a_policy_is_read_back_until_it_is_deleted(empty_bucket: oss2.Bucket) -> None:
    assert refusal(empty_bucket.get_bucket_policy) == (404, "NoSuchBucketPolicy")
    empty_bucket.put_bucket_policy(json.dumps(POLICY))
    assert json.loads(empty_bucket.get_bucket_policy().policy) == POLICY
    empty_bucket.delete_bucket_policy()
    assert refusal(empty_bucket.get_bucket_policy) == (404, "NoSuchBucketPolicy")


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
def test_invalid_policies_are_refused(shared_oss_emulator: EmulatedOss, change: dict[str, object]) -> None:
    policy = json.dumps({"Version": "1", "Statement": [STATEMENT | change]})
    assert refusal(lambda: shared_oss_emulator.client().put_bucket_policy(policy)) == (400, "InvalidPolicyDocument")


def test_documents_that_are_not_policies_are_refused(shared_oss_emulator: EmulatedOss) -> None:
    bucket = shared_oss_emulator.client()
    for text in ("{", "[]", '{"Version": "1"}', '{"Version": "2", "Statement": [{}]}'):
        assert refusal(partial(bucket.put_bucket_policy, text)) == (
            400,
            "InvalidPolicyDocument",
        )


def test_policies_allow_what_acls_deny(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    bucket.put_bucket_acl("private")
    for key in ("public/a", "private/a"):
        bucket.put_object(key, b"x")
    assert ask(oss, "enforced/public/a").status_code == 403
    put_policy(bucket, statement("Allow", "GetObject", resource="enforced/public/*"))
    assert ask(oss, "enforced/public/a").text == "x"
    assert ask(oss, "enforced/public/a", "HEAD").status_code == 200
    for path, method in (("private/a", "GET"), ("public/a", "PUT"), ("public/a", "DELETE"), ("", "GET")):
        assert ask(oss, f"enforced/{path}", method).status_code == 403, (path, method)
    put_policy(bucket, statement("Allow", "ListObjects", resource="enforced"))
    assert "<Key>public/a</Key>" in ask(oss, "enforced").text
    assert ask(oss, "enforced/public/a").status_code == 403
    put_policy(bucket, statement("Allow", "GetObject", Principal=[ACCOUNT]))
    assert ask(oss, "enforced/public/a").status_code == 403


def test_a_denial_overrides_and_applies_to_the_owner(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    put_policy(bucket, statement("Allow", "*"), statement("Deny", "PutObject", "DeleteObject", resource="enforced/a*"))
    for act in (partial(bucket.put_object, "a.txt", b"y"), partial(bucket.delete_object, "a.txt")):
        with pytest.raises(OssError) as error:
            act()
        assert (error.value.status, error.value.code, error.value.ec) == (403, "AccessDenied", "0003-00000202")
    assert bucket.get_object("a.txt").read() == b"a"
    bucket.put_object("b.txt", b"y")
    put_policy(bucket, statement("Deny", "*", resource="*"))
    with pytest.raises(OssError):
        bucket.get_object("a.txt")
    bucket.delete_bucket_policy()  # owners cannot lock themselves out
    assert bucket.get_object("a.txt").read() == b"a"


def test_a_writer_can_only_copy_readable_objects(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    oss.client().put_object("secret", b"x")
    bucket.put_object_acl("a.txt", "private")
    bucket.put_object("b.txt", b"b")
    put_policy(bucket, statement("Allow", "PutObject"))
    for source, status in (("media-test/secret", 403), ("enforced/a.txt", 403), ("enforced/b.txt", 200)):
        assert ask(oss, "enforced/copy", "PUT", x_oss_copy_source=f"/{source}").status_code == status, source
    put_policy(bucket, statement("Deny", "GetObject"))
    with pytest.raises(OssError):
        bucket.copy_object(bucket.bucket_name, "b.txt", "c.txt")


def test_a_batch_is_refused_if_one_deletion_is_denied(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    bucket.put_bucket_acl("public-read-write")
    bucket.put_object("closed", b"x", headers={"x-oss-object-acl": "private"})
    with pytest.raises(OssError) as error:
        oss.anonymous_client("enforced").batch_delete_objects(["a.txt", "closed"])
    assert error.value.status == 403
    put_policy(bucket, statement("Deny", "DeleteObject", resource="enforced/a*"))
    with pytest.raises(OssError) as error:
        bucket.batch_delete_objects(["closed", "a.txt"])
    assert error.value.status == 403
    assert bucket.get_object("a.txt").read() == b"a"
    assert bucket.batch_delete_objects(["closed"]).deleted_keys == ["closed"]


def test_saveas_needs_the_permission_to_write(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    image = BytesIO()
    Image.new("RGB", (8, 8)).save(image, "PNG")
    bucket.put_object("image.png", image.getvalue())
    put_policy(bucket, statement("Deny", "PutObject", resource="enforced/closed*"))
    for key, status in (("closed.png", 403), ("open.png", 200)):
        saveas = f"image/resize,w_4|sys/saveas,o_{urlsafe_b64encode(key.encode()).decode()}"
        try:
            answered = bucket.process_object("image.png", saveas).status
        except OssError as error:
            answered = error.status
        assert (answered, bucket.object_exists(key)) == (status, status == 200)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"IpAddress": {"acs:SourceIp": ["10.0.0.0/8", "127.0.0.0/8"]}}, True),
        ({"IpAddress": {"acs:SourceIp": "10.0.0.1"}}, False),
        ({"NotIpAddress": {"acs:SourceIp": ["10.0.0.0/8"]}}, True),
        ({"StringLike": {"acs:SourceIp": ["127.*"]}}, True),
        ({"StringNotLike": {"acs:SourceIp": ["127.*"]}}, False),
        ({"Bool": {"acs:SecureTransport": [False]}}, True),
        ({"Bool": {"acs:SecureTransport": "true"}}, False),
        ({"StringEquals": {"acs:UserAgent": ["me"]}}, True),
        ({"DateLessThan": {"acs:CurrentTime": ["2020-01-01T00:00:00Z"]}}, False),
        ({"DateGreaterThan": {"acs:CurrentTime": ["2020-01-01T00:00:00Z"]}}, True),
        ({"Bool": {"acs:SecureTransport": "false"}, "StringLike": {"acs:Referer": ["https://*"]}}, False),
    ],
)
def test_a_statement_applies_only_if_its_condition_is_true(
    oss: EmulatedOss, bucket: oss2.Bucket, condition: dict[str, object], holds: bool
) -> None:
    bucket.put_bucket_acl("private")
    put_policy(bucket, statement("Allow", "GetObject", Condition=condition))
    assert ask(oss, "enforced/a.txt", user_agent="me").status_code == (200 if holds else 403)


def test_policy_status_is_public_and_public_access_can_be_blocked(oss: EmulatedOss, bucket: oss2.Bucket) -> None:
    def is_public() -> str:
        body = bucket._get_bucket_config("policyStatus").read().decode()
        return str(body.partition("<IsPublic>")[2].partition("<")[0])

    assert is_public() == "false"
    put_policy(bucket, statement("Allow", "GetObject"))
    assert is_public() == "true"
    bucket.put_bucket_public_access_block(True)
    assert ask(oss, "enforced/a.txt").status_code == 403
    assert bucket.get_object("a.txt").read() == b"a"


def test_another_account_needs_permission_and_pays(oss: EmulatedOss) -> None:
    owner, other = oss.client(), oss.client(key=OTHER_KEY)
    owner.put_object("k", b"x")
    with pytest.raises(oss2.exceptions.AccessDenied):
        other.get_object("k")
    statement = {
        "Effect": "Allow",
        "Action": ["oss:GetObject"],
        "Principal": [OTHER_KEY.account_id],
        "Resource": [f"acs:oss:*:*:{BUCKET}/*"],
    }
    owner.put_bucket_policy(json.dumps({"Version": "1", "Statement": [statement]}))
    assert other.get_object("k").read() == b"x"
    with pytest.raises(oss2.exceptions.AccessDenied):
        other.put_object("k", b"y")
    owner.put_bucket_request_payment("Requester")
    with pytest.raises(oss2.exceptions.AccessDenied):
        other.get_object("k")
    assert other.get_object("k", headers={"x-oss-request-payer": "requester"}).read() == b"x"
    assert owner.get_object("k").read() == b"x"

"""Server-side encryption: the default of a bucket, and the headers of objects."""

import oss2
from oss2 import models
from oss_support import refusal

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def test_an_encryption_rule_is_stored_and_checked(empty_bucket: oss2.Bucket) -> None:
    assert refusal(empty_bucket.get_bucket_encryption) == (404, "NoSuchServerSideEncryptionRule")
    for algorithm, key, data in (("AES256", None, None), ("SM4", None, None), ("KMS", "k", None), ("KMS", None, "SM4")):
        empty_bucket.put_bucket_encryption(models.ServerSideEncryptionRule(algorithm, key, data))
        got = empty_bucket.get_bucket_encryption()
        assert (got.sse_algorithm, got.kms_master_keyid, got.kms_data_encryption) == (algorithm, key, data)
    wrong = models.ServerSideEncryptionRule("DES")
    assert refusal(lambda: empty_bucket.put_bucket_encryption(wrong)) == (400, "InvalidEncryptionAlgorithmError")
    wrong = models.ServerSideEncryptionRule("AES256", "k")
    assert refusal(lambda: empty_bucket.put_bucket_encryption(wrong)) == (400, "InvalidArgument")
    empty_bucket.delete_bucket_encryption()
    assert refusal(empty_bucket.get_bucket_encryption) == (404, "NoSuchServerSideEncryptionRule")


def test_objects_have_encryption_headers(oss: EmulatedOss) -> None:
    bucket = oss.client()
    name = "x-oss-server-side-encryption"
    bucket.put_object("k", b"x", headers={name: "KMS"})
    head = bucket.head_object("k").headers
    assert (head[name], f"{name}-key-id" in head) == ("KMS", True)
    bucket.put_bucket_encryption(oss2.models.ServerSideEncryptionRule("SM4"))
    assert bucket.put_object("k", b"x").headers[name] == "SM4"
    assert refusal(lambda: bucket.put_object("k", b"x", headers={name: "DES"})) == (
        400,
        "InvalidEncryptionAlgorithmError",
    )

"""Archived objects and their restoration."""

import oss2
import pytest
from oss2.exceptions import OssError
from oss2.models import RestoreConfiguration, RestoreJobParameters
from oss_support import DAY_S, refusal

from devcloud.oss.testing import EmulatedOss

pytest_plugins = ["devcloud.oss.pytest_plugin"]


def test_an_archived_object_is_readable_while_restored(oss: EmulatedOss) -> None:
    bucket = oss.client()
    bucket.put_object("cold", b"x", headers={"x-oss-storage-class": "Archive"})
    assert refusal(lambda: bucket.get_object("cold")) == (403, "InvalidObjectState")
    assert bucket.restore_object("cold").status == 202
    assert 'ongoing-request="true"' in bucket.list_objects().object_list[0].restore_info
    with pytest.raises(oss2.exceptions.RestoreAlreadyInProgress):
        bucket.restore_object("cold")
    oss.clock.advance(61)
    assert bucket.head_object("cold").headers["x-oss-restore"].startswith('ongoing-request="false", expiry-date="')
    assert bucket.get_object("cold").read() == b"x"
    assert bucket.restore_object("cold").status == 200
    oss.clock.advance(DAY_S + 61)
    with pytest.raises(OssError):
        bucket.get_object("cold")


def test_days_and_tiers_of_a_restoration_are_checked(oss: EmulatedOss) -> None:
    bucket = oss.client()
    bucket.put_object("warm", b"x")
    with pytest.raises(oss2.exceptions.OperationNotSupported):
        bucket.restore_object("warm")
    bucket.put_object("cold", b"x", headers={"x-oss-storage-class": "ColdArchive"})
    with pytest.raises(oss2.exceptions.InvalidArgument):
        bucket.restore_object("cold", input=RestoreConfiguration(366))
    answer = bucket.restore_object("cold", input=RestoreConfiguration(2, RestoreJobParameters("Bulk")))
    assert answer.headers["x-oss-object-restore-priority"] == "Bulk"

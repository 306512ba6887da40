"""Object Storage Service on one machine: a front that speaks OSS's protocol over files and SQLite.

The official SDKs take it for the real one: signatures V1, V2 and V4 are verified, errors have OSS's codes. Path
style on an IP address or a plain host name (``http://127.0.0.1:9001/BUCKET/KEY``), virtual hosts otherwise.

Faults on demand: a fault for the target ``oss`` is matched on ``method``, ``bucket``, ``key`` and ``operation``
(the API's name: ``PutObject``, ``GetObject``, ``UploadPart``, …) of requests that are signed well. Its effects,
which may be combined:

==================================================  ===========================================================
effect                                              what happens
==================================================  ===========================================================
``{"status": 503, "code": "ServiceUnavailable"}``   that error instead of the work; ``message`` is optional
``{"drop": true}``                                  the work is done, the connection closed without an answer
``{"truncateBytes": n}``                            of the announced body n bytes come, then the connection ends
``{"delayS": x}``                                   the work begins x seconds later by the emulators' clock
``{"crc": "wrong"}``                                the answer carries a wrong ``x-oss-hash-crc64ecma``
==================================================  ===========================================================
"""

from devcloud.oss.oss_emulator import OssEmulator

__all__ = ["OssEmulator"]

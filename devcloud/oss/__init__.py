"""An emulator of Object Storage Service (OSS) on one machine, with files and SQLite as its storage.

The official SDKs work with it as with the real service: it verifies signatures V1, V2 and V4, and its errors have
OSS's codes. On an IP address or a plain host name the bucket is in the path (``http://127.0.0.1:9001/BUCKET/KEY``),
otherwise in the host name.

The modules, from the request to the bytes on disk: ``oss_emulator`` (the application), ``oss_routes`` (which operation
a request asks for), ``access`` (signatures, policies, ACLs), ``operations`` (PutObject, GetObject, …), ``documents``
(the configuration of buckets), ``http`` (requests, headers, XML), ``processing`` (``x-oss-process``) and ``storages``.

Faults on demand: a fault for the target ``oss`` is matched on ``method``, ``bucket``, ``key`` and ``operation``
(the API's name: ``PutObject``, ``GetObject``, ``UploadPart``, …) of requests with a valid signature. Its effects,
which may be combined:

==================================================  ===========================================================
effect                                              what happens
==================================================  ===========================================================
``{"status": 503, "code": "ServiceUnavailable"}``   the answer is that error; ``message`` is optional
``{"drop": true}``                                  the request is executed, the connection closes without answer
``{"truncateBytes": n}``                            only n bytes of the body are sent, then the connection ends
``{"delayS": x}``                                   execution begins x seconds later by the emulators' clock
``{"crc": "wrong"}``                                the answer carries a wrong ``x-oss-hash-crc64ecma``
==================================================  ===========================================================
"""

from devcloud.oss.oss_emulator import OssEmulator

__all__ = ["OssEmulator"]

"""Read and overwrite one key: python oss_stress.py ENDPOINT BUCKET SECONDS SEED. Prints reads, writes and errors."""

import json
import random
import sys
import time

import oss2
from fastcrc import crc64


def version(chance: random.Random) -> bytes:
    """Return a body whose kilobytes are all the same."""
    return chance.randbytes(1024) * chance.randrange(1, 1000)


def main(endpoint: str, bucket: str, seconds: str, seed: str) -> None:
    chance = random.Random(int(seed))
    target = oss2.Bucket(oss2.AuthV4("id", "secret"), endpoint, bucket, region="cn-hangzhou")
    target.put_object("a", version(chance))
    reads, writes, faults = 0, 0, []
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        try:
            if chance.random() < 0.3:
                target.put_object("a", version(chance))
                writes += 1
                continue
            answer = target.get_object("a")
            body = answer.read()
        except oss2.exceptions.OssError as error:
            faults.append(repr(error))
            continue
        reads += 1
        whole = body[:1024] * (answer.content_length // 1024)
        if body != whole or crc64.xz(body) != answer.server_crc:
            faults.append(f"torn: {len(body)} of {answer.content_length} bytes")
    print(json.dumps([reads, writes, faults]))


if __name__ == "__main__":
    main(*sys.argv[1:])

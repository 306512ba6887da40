"""The media probe on broken files: it returns their facts or refuses them, and nothing else happens.

``make test`` tries the same mutants each time; ``make fuzz`` makes thousands of others. A failure names the seed, and
``ARGS="--fuzz-seed N"`` makes the same mutants again.
"""

import base64
import io
import os
import resource
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from shared.adapters.media_info import WALL_S, MediaInfoProbe
from shared.adapters.media_info_process import MEMORY_BYTES
from shared.domain.errors import WrongMediaError
from shared.domain.media import sniff_format
from tests.fuzz.media_files import FRAMES, SIDE, MediaFile, make_all
from tests.fuzz.media_mutants import mutate

_PROBE = MediaInfoProbe()
_BATCH = 20
_FEW, _MANY = 60, 5000
_LIMIT_S = 2 * WALL_S  # to start, and to read


@pytest.fixture(scope="module")
def files() -> Mapping[str, MediaFile]:
    return make_all()


def check_good(file: MediaFile) -> None:
    facts = _PROBE.probe(io.BytesIO(file.data), file.format)
    assert (facts.format, facts.width, facts.height, facts.codec) == (file.format, *SIDE, file.codec)
    if file.codec:
        assert facts.duration == pytest.approx(FRAMES / 10, abs=0.11)


def check_mutant(data: bytes, format_: str) -> bool:
    """Probe the file and return whether it was refused."""
    began = time.monotonic()
    try:
        _PROBE.probe(io.BytesIO(data), format_)
        refused = False
    except WrongMediaError:
        refused = True
    except BaseException as error:
        error.add_note(f"{format_}: {base64.b64encode(data).decode()}")
        raise
    assert time.monotonic() - began < _LIMIT_S, f"{format_}: {base64.b64encode(data).decode()}"
    return refused


def test_every_good_file_is_read_right(files: Mapping[str, MediaFile]) -> None:
    for file in files.values():
        assert sniff_format(file.data).name == file.format
        check_good(file)


@pytest.mark.timeout(0)  # the long run takes minutes
def test_a_mutant_is_read_or_refused_and_the_next_good_file_is_read_right(
    files: Mapping[str, MediaFile], pytestconfig: pytest.Config, capfd: pytest.CaptureFixture[str]
) -> None:
    long = pytestconfig.getoption("--fuzz-minutes", default=None) is not None
    given = pytestconfig.getoption("--fuzz-seed", default=None)
    seed = given if given is not None else secrets.randbelow(10**6) if long else 1
    with capfd.disabled():
        if long:
            print(f"media mutants of --fuzz-seed {seed}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    random, refused = Random(seed), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number in range(0, _MANY if long else _FEW, _BATCH):
            batch = random.choices(list(files.values()), k=_BATCH)
            mutants = [mutate(file.data, random) for file in batch]
            try:
                refused += sum(pool.map(check_mutant, mutants, [file.format for file in batch]))
                check_good(random.choice(batch))
            except BaseException as error:
                error.add_note(f"--fuzz-seed {seed}, mutants {number} to {number + _BATCH}")
                raise
    assert refused > 0, "nothing was wrong with any of them"
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    # The peak of a child includes the memory of this process at the moment of the fork.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert used <= max(before * 1024, own, MEMORY_BYTES)

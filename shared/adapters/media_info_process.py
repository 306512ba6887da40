"""The process that reads one file with MediaInfo, within limits that it cannot lift, and then ends.

``media_info.py`` starts this script with the path of the library and the file's size. The process has no environment
and no open file except its socket (0). After it has loaded the library it cannot open files, because the media file may
be an attack.

The process asks for bytes with a line that contains an offset. The answer is a length (4 bytes, big-endian) and the
bytes; at the end of the file the length is 0. The last line contains the facts as MediaInfo writes them, separated by
tabs. The script uses ctypes and nothing heavier, so that the process costs about as much as reading the file.
"""

import ctypes
import os
import resource
import sys

CPU_S = 2
MEMORY_BYTES = 256 * 1024 * 1024
_CHANNEL = 0
_GENERAL, _VIDEO, _IMAGE = 0, 1, 5  # MediaInfo's numbers for kinds of streams
_FINISHED = 8
_NOWHERE = 2**64 - 1


def _limit() -> None:
    if sys.platform == "linux":
        # The function that started this process may be killed while the process is busy with a file.
        set_parent_death_signal, sigkill = 1, 9
        ctypes.CDLL(None).prctl(set_parent_death_signal, sigkill)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(
        resource.RLIMIT_CPU, (CPU_S, CPU_S + 1)
    )  # SIGXCPU at the first limit tells the parent the reason
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _load(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    handle, number, text = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_wchar_p
    kind, size = ctypes.c_int, ctypes.c_size_t
    for name, result, *arguments in (
        ("New", handle),
        ("Open_Buffer_Init", size, handle, number, number),
        ("Open_Buffer_Continue", size, handle, ctypes.c_char_p, size),
        ("Open_Buffer_Continue_GoTo_Get", number, handle),
        ("Open_Buffer_Finalize", size, handle),
        ("Count_Get", size, handle, kind, size),
        ("Get", text, handle, kind, size, text, kind, kind),
    ):
        function = getattr(library, f"MediaInfo_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def _ask(offset: int) -> bytes:
    os.write(_CHANNEL, b"%d\n" % offset)
    return _receive(int.from_bytes(_receive(4)))


def _receive(length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = os.read(_CHANNEL, length - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _read(library: ctypes.CDLL, handle: int, size: int) -> None:
    """Give MediaInfo the parts of the file that it asks for; after a jump, continue at the new offset."""
    offset = 0
    library.MediaInfo_Open_Buffer_Init(handle, size, offset)
    while data := _ask(offset):
        if library.MediaInfo_Open_Buffer_Continue(handle, data, len(data)) & _FINISHED:
            break
        offset += len(data)
        wanted = library.MediaInfo_Open_Buffer_Continue_GoTo_Get(handle)
        if wanted != _NOWHERE:
            offset = wanted
            library.MediaInfo_Open_Buffer_Init(handle, size, offset)
    library.MediaInfo_Open_Buffer_Finalize(handle)


def _facts(library: ctypes.CDLL, handle: int) -> str:
    """Return "image", "video" or nothing, and the facts of the first picture; unknown values are empty."""

    def get(kind: int, name: str) -> str:
        as_text, by_name = 1, 0
        return str(library.MediaInfo_Get(handle, kind, 0, name, as_text, by_name) or "")

    def has(kind: int) -> bool:
        every_one = 2**64 - 1
        return bool(library.MediaInfo_Count_Get(handle, kind, every_one))

    picture = _IMAGE if has(_IMAGE) else _VIDEO
    kind = "video" if has(_VIDEO) else "image" if has(_IMAGE) else ""
    duration = get(_GENERAL, "Duration") or get(picture, "Duration")
    rest = [get(picture, name) for name in ("Format", "FrameRate")]
    return "\t".join([kind, get(picture, "Width"), get(picture, "Height"), duration, *rest])


def _main() -> None:
    _limit()
    library = _load(sys.argv[1])
    handle = library.MediaInfo_New()
    os.dup2(1, 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    _read(library, handle, int(sys.argv[2]))
    os.write(_CHANNEL, f"{_facts(library, handle)}\n".encode(errors="replace"))
    os._exit(0)


if __name__ == "__main__":
    _main()

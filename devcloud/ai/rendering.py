"""Real media files: PNG, JPEG and WebP stills and H.264 videos, rendered in threads and kept on disk."""

import hashlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av

from devcloud.ai.landscapes import Scene, Subject

FRAMES_PER_SECOND = 24

_WORKERS = 2


def render_image(subject: Subject, path: Path) -> None:
    """Write the scene as an image in the format of the suffix of ``path``."""
    # The fastest PNG compression: these pictures are small at any level. The other formats ignore the level.
    Scene(subject).frame(0).save(path, compress_level=1)


class RenderingStoppedError(Exception):
    """The gallery was closed before the video was finished."""


def render_video(subject: Subject, duration_s: int, path: Path, stop: threading.Event) -> None:
    """Write the scene as an MP4 (H.264, yuv420p, index first) of exactly ``duration_s`` seconds.

    Setting ``stop`` ends it at the next frame with ``RenderingStoppedError``.
    """
    scene = Scene(subject)
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        # One thread: with more, x264's output depends on how many there are.
        stream = container.add_stream(
            "libx264", rate=FRAMES_PER_SECOND, options={"preset": "ultrafast", "crf": "21", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = subject.width, subject.height, "yuv420p"
        for number in range(duration_s * FRAMES_PER_SECOND):
            if stop.is_set():
                raise RenderingStoppedError
            picture = scene.frame(number / FRAMES_PER_SECOND)
            frame = av.VideoFrame.from_image(picture)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@dataclass(frozen=True)
class Media:
    """A rendered file and the MD5 of its bytes in hexadecimal."""

    path: Path
    md5: str


class Gallery:
    """The rendered files of one folder. Each file is rendered only once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="render")
        self._running: dict[str, Future[Media]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def render(self, name: str, subject: Subject, duration_s: int) -> Future[Media]:
        """Return the file ``name``, rendered if it is missing: a video if ``duration_s`` is not 0, else a still."""
        with self._lock:
            if name not in self._running:
                self._running[name] = self._workers.submit(self._make, name, subject, duration_s)
            return self._running[name]

    def _make(self, name: str, subject: Subject, duration_s: int) -> Media:
        path = self._folder / name
        if not path.exists():
            # Renamed at the end, so that an incomplete file after a kill is never used.
            unfinished = path.with_name(f"unfinished-{name}")
            try:
                if duration_s:
                    render_video(subject, duration_s, unfinished, self._stop)
                else:
                    render_image(subject, unfinished)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
        # OSS's ETag of an object is the MD5 of its bytes.
        return Media(path, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest().upper())

    def close(self) -> None:
        """Stop rendering at once. A missing file is rendered at the next request for it."""
        self._stop.set()
        self._workers.shutdown(cancel_futures=True)

"""An OSS emulator in a separate process, which a test can kill: python oss_server.py DATA_DIR. Prints its port."""

import sys
import threading
from pathlib import Path

from oss_support import running_oss

with running_oss(Path(sys.argv[1])) as oss:
    print(oss.port, flush=True)
    threading.Event().wait()

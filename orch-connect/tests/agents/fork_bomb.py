#!/usr/bin/env python3
"""A fork bomb with a fuse. Every process of it forks as fast as it can, ignores SIGTERM, and has a
session of its own. No more than FUSE are ever made: each takes a byte out of one pipe before it forks.
They end by themselves after a minute, in case they get away.
"""

import os
import signal
import sys
import time

FUSE = int(sys.argv[1])

end = time.monotonic() + 60
signal.signal(signal.SIGTERM, signal.SIG_IGN)
fuse, fill = os.pipe()
os.write(fill, b"x" * FUSE)
os.set_blocking(fuse, False)
while time.monotonic() < end:
    try:
        os.read(fuse, 1)
    except BlockingIOError:
        time.sleep(0.05)
        continue
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        time.sleep(0.001)  # Refused; the byte is gone.

#!/usr/bin/env python3
"""Twenty pairs of processes in sessions of their own, all of which ignore SIGTERM; whenever a child
is killed, its parent starts another. They end by themselves after a minute, in case they get away.
"""

import os
import signal
import time

end = time.monotonic() + 60
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(20):
    if os.fork() == 0:
        os.setsid()
        while time.monotonic() < end:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            os.waitpid(child, 0)
        os._exit(0)
time.sleep(60)

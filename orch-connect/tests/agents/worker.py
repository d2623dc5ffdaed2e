#!/usr/bin/env python3
"""Uses what it is told to, in a grandchild that has left its session.

    worker.py CPU_MS MEMORY_MIB [ignore] [orphan]

The grandchild holds the memory and burns the processor time, and the program waits for it, prints its
answer and ends. With "orphan" its parent is gone by then. With "ignore", none of them listens to SIGTERM; else SIGTERM makes a file "asked" and
ends the program.
"""

import os
import signal
import sys
import time

cpu_ms, memory_mib = int(sys.argv[1]), int(sys.argv[2])


def asked(*_):
    open("asked", "w").close()
    os._exit(0)


if "ignore" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, asked)

done, doing = os.pipe()
if os.fork() == 0:
    os.setsid()
    grandchild = os.fork()
    if grandchild != 0:
        os.close(doing)
        if "orphan" not in sys.argv:
            os.waitpid(grandchild, 0)
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.close(done)
    held = [os.urandom(1 << 20) for _ in range(memory_mib)]
    until = time.process_time() + cpu_ms / 1000
    while time.process_time() < until:
        pass
    os._exit(0)
os.close(doing)
os.read(done, 1)
print("worked")

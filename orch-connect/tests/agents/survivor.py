#!/usr/bin/env python3
"""Does what it can to outlive its task: forks twice, makes a session of its own, ignores SIGTERM,
and keeps the pipes open. With "leave" the program itself ends well once the other runs; with "stay"
it stays; with "jsonl" it answers the first message and then waits."""

import os
import signal
import sys
import time

mode = sys.argv[1]
if mode == "jsonl":
    sys.stdin.readline()
ready, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.write(tell, b"x")
        time.sleep(600)
    os._exit(0)
os.wait()
os.read(ready, 1)
if mode == "jsonl":
    print('{"type":"ack"}', flush=True)
if mode != "leave":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
print("left")

#!/usr/bin/env python3
"""An agent in mode "jsonl" that answers each message with its content in brackets."""

import json
import sys


def say(kind, **fields):
    print(json.dumps({"type": kind, **fields}), flush=True)


for line in sys.stdin:
    heard = json.loads(line)
    if heard["type"] == "message":
        say("reply", message=heard["id"], content="[" + heard["content"] + "]")
        say("usage", input_tokens=len(heard["content"]), output_tokens=1)
        say("ack", message=heard["id"])
    elif heard["type"] == "stop":
        break

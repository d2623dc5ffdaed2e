#!/usr/bin/env python3
"""An agent in mode "jsonl" that works with others: it asks one agent for its opinion, asks for
permission before it writes a file, and tells another agent what came of it.

Setting: asks_permission = true
"""

import json
import sys


def say(kind, **fields):
    print(json.dumps({"type": kind, **fields}), flush=True)


def hear():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def request(kind, **fields):
    """Says a line with an id, and waits for the line that answers it."""
    request.n += 1
    say(kind, id=request.n, **fields)
    while True:
        heard = hear()
        if heard["type"] == "stop":
            sys.exit(0)
        if heard.get("id") == request.n:
            return heard


request.n = 0


def handle(message):
    opinion = request("ask", to="expert", content=message["content"], timeout_ms=5000)
    if opinion["type"] == "error":
        say("fail", error="no opinion: " + opinion["error"], transient=opinion["transient"])
        return
    allowed = request("tool", tool="write", access="write", paths=["/notes/review.md"],
                      arguments={"bytes": len(opinion["content"])})
    verdict = "noted" if allowed["decision"] == "allow" else "not noted: " + allowed["reason"]
    request("send", to="author", content=verdict, priority="high")
    say("reply", content=opinion["content"] + " (" + verdict + ")")
    say("ack", message=message["id"])


while True:
    heard = hear()
    if heard["type"] == "stop":
        break
    if heard["type"] == "message":
        handle(heard)

"""Durable steps a second, and bytes on disk for each: LangGraph with its SQLite checkpointer beside orch
with a journal. They take turns on one disk; the ratio is taken within a round. See README.md."""

import argparse
import json
import operator
import os
import statistics
import subprocess
import tempfile
import threading
import time
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

TEXT = "x" * 300
BENCH = ["cargo", "bench", "--quiet", "-p", "orch-runtime", "--bench", "durable", "--"]


class State(TypedDict):
    text: str
    left: int


def graph(saver):
    """Two nodes that pass a text on to each other, as the two agents do."""
    builder = StateGraph(State)
    after = lambda other: lambda state: other if state["left"] > 0 else END
    for node, other in [("a", "b"), ("b", "a")]:
        builder.add_node(node, lambda state: {"text": state["text"], "left": state["left"] - 1})
        builder.add_conditional_edges(node, after(other), [other, END])
    builder.add_edge(START, "a")
    return builder.compile(checkpointer=saver)


def langgraph(folder, chains, steps, durability):
    path = os.path.join(folder, "checkpoints")
    with SqliteSaver.from_conn_string(path) as saver:
        saver.setup()
        compiled = graph(saver)

        def chain(number):
            config = {"configurable": {"thread_id": str(number)}, "recursion_limit": steps + 2}
            compiled.invoke({"text": TEXT, "left": steps}, config, durability=durability)

        threads = [threading.Thread(target=chain, args=[number]) for number in range(chains)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        found = saver.get({"configurable": {"thread_id": "0"}})
        assert found["channel_values"]["left"] == 0, found
    # Closed, so that the WAL is in the file, as on the other side.
    return {"rate": chains * steps / seconds, "bytes": os.path.getsize(path)}


class Chat(TypedDict):
    turns: Annotated[list[str], operator.add]


def chat(calls, turn_bytes):
    """What a chat takes on disk that grows by `turn_bytes` with each of so many model calls."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "checkpoints")
        with SqliteSaver.from_conn_string(path) as saver:
            builder = StateGraph(Chat)
            turn = lambda state: {"turns": [f"{len(state['turns'])} " + "x" * turn_bytes]}
            more = lambda state: "turn" if len(state["turns"]) < calls else END
            builder.add_node("turn", turn)
            builder.add_edge(START, "turn")
            builder.add_conditional_edges("turn", more, ["turn", END])
            config = {"configurable": {"thread_id": "0"}, "recursion_limit": calls + 2}
            compiled = builder.compile(checkpointer=saver)
            compiled.invoke({"turns": []}, config, durability="sync")
        size = os.path.getsize(path)
    print(f"a chat of {calls} calls, {calls * turn_bytes:,} bytes in the end: {size:,} bytes on disk")


def orch(folder, chains, steps, durability):
    words = ["steps", folder, str(chains), str(steps), durability]
    ran = subprocess.run(BENCH + words, check=True, capture_output=True, text=True)
    return json.loads(ran.stdout.splitlines()[-1])


CONTENDERS = {
    "orch, sync": lambda *work: orch(*work, "sync"),
    "orch, os": lambda *work: orch(*work, "os"),
    "langgraph, durability sync": lambda *work: langgraph(*work, "sync"),
    "langgraph, durability async": lambda *work: langgraph(*work, "async"),
}


def compare(chains, steps, rounds):
    rates = {name: [] for name in CONTENDERS}
    sizes = {}
    for number in range(rounds):
        names = list(CONTENDERS)
        for name in names[number % 4 :] + names[: number % 4]:
            with tempfile.TemporaryDirectory() as folder:
                told = CONTENDERS[name](folder, chains, steps)
            rates[name].append(told["rate"])
            sizes[name] = told["bytes"] / (chains * steps)
    print(f"{chains} chains of {steps} steps, {rounds} rounds: median [least, most]")
    for name, all_rates in rates.items():
        median = statistics.median(all_rates)
        span = f"[{min(all_rates):,.0f}, {max(all_rates):,.0f}]"
        print(f"  {name:28} {median:8,.0f} {span} steps a second, {sizes[name]:6,.0f} bytes a step")
    ratios = [a / b for a, b in zip(rates["orch, sync"], rates["langgraph, durability sync"])]
    print(f"  orch / langgraph, both sync: {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bench", help="the benchmark that cargo built, instead of asking cargo")
    arguments = parser.parse_args()
    if arguments.bench:
        BENCH[:] = [arguments.bench]
    chat(1_000, 800)
    for n_chains in [1, 16]:
        compare(n_chains, max(arguments.steps // n_chains, 20), arguments.rounds)

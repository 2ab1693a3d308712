# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The rules that the recorded calls must keep. Each gives the breaches it finds, in words; pure.

They read calls only, so they hold for whatever made them; what they cannot see (a view read too early, a stale
address) shows as wrong audio or a DoubleError.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from anacrusis.benchmarks.device_double.calls import Call

Rule = Callable[[Sequence[Call]], list[str]]

WAITS = {"cuStreamSynchronize", "cuEventSynchronize", "cuCtxSynchronize"}
ALLOCATIONS = {"cuMemAlloc", "cuMemAllocHost"}
FREES = {"cuMemFree", "cuMemFreeHost"}
# All that a cycle over a captured graph may call.
IN_A_CYCLE = {"cuCtxSetCurrent", "cuGraphLaunch", "cuStreamSynchronize", "cuEventElapsedTime"}
WARM_UPS = 2


# -- over everything from opening to closing ------------------------------------------------------------------


def warm_before_capture(calls: Sequence[Call]) -> list[str]:
    """A context that is captured ran outside a capture at least twice, and its stream was waited for since."""
    runs: Counter[int] = Counter()
    unwaited: dict[int, int] = {}  # context -> stream it last ran on
    found = []
    for call in calls:
        if call.name == "execute_async_v3":
            stream = call.detail["stream"]
            if not call.capturing:
                runs[call.subject] += 1
                unwaited[call.subject] = stream
            elif runs[call.subject] < WARM_UPS:
                found.append(f"context {call.subject} is captured after {runs[call.subject]} runs")
            elif call.subject in unwaited:
                found.append(f"context {call.subject} is captured before its runs were waited for")
        elif call.name == "cuStreamSynchronize" and not call.failed:
            unwaited = {context: stream for context, stream in unwaited.items() if stream != call.subject}
    return found


def one_capture_a_context(calls: Sequence[Call]) -> list[str]:
    """A context is captured in one graph, and not enqueued or given addresses after that."""
    captured_in: dict[int, int] = {}
    period, found = 0, []  # of being captured or not, in turn
    for call in calls:
        period += call.name in ("cuStreamBeginCapture", "cuStreamEndCapture")
        if call.name not in ("execute_async_v3", "set_tensor_address", "set_device_memory"):
            continue
        if captured_in.get(call.subject, period) != period:
            found.append(f"{call.name} on context {call.subject} after it was captured")
        elif call.name == "execute_async_v3" and call.capturing:
            captured_in[call.subject] = period
    return found


def quiet_capture(calls: Sequence[Call]) -> list[str]:
    """Nothing is allocated, freed or waited for on a thread that captures."""
    loud = WAITS | ALLOCATIONS | FREES
    return [f"{call.name} during a capture" for call in calls if call.capturing and call.name in loud]


def results_heeded(calls: Sequence[Call]) -> list[str]:
    """After a call failed in a capture, the capture is ended and its graph is never made executable."""
    failed: str | None = None
    spoiled: set[object] = set()
    found = []
    for call in calls:
        if call.name == "cuStreamEndCapture":
            if failed is not None:
                spoiled.add(call.detail)
            failed = None
        elif failed is not None and call.capturing and call.name in ("execute_async_v3", "cuEventRecordWithFlags"):
            found.append(f"{call.name} after {failed} failed in the same capture")
        elif call.name == "cuGraphInstantiate" and call.detail in spoiled:
            found.append("a graph with a failed enqueue is made executable")
        if call.failed and call.capturing:
            failed = call.name
    if failed is not None:
        found.append(f"a capture is left open after {failed} failed")
    return found


def no_default_stream(calls: Sequence[Call]) -> list[str]:
    """Everything is enqueued on a stream of ours."""
    streams = {c.subject for c in calls if c.name == "cuStreamCreateWithPriority"}
    used = [(c.name, c.detail["stream"]) for c in calls if c.name == "execute_async_v3"]
    used += [(c.name, c.subject) for c in calls if c.name.endswith("Async") or c.name == "cuGraphLaunch"]
    return [f"{name} on stream {stream:#x}" for name, stream in used if stream not in streams]


def graphs_go_first(calls: Sequence[Call]) -> list[str]:
    """While an executable graph lives, nothing that it has baked in goes: contexts, memory, streams, events.

    Whose graph holds what is told by the stream: a pipeline's captures, events and copies are on its own.
    """
    memory = {c.subject: (c.subject, c.subject + c.detail) for c in calls if c.name in ALLOCATIONS and not c.failed}
    holds: dict[object, set[tuple[str, int]]] = {}
    live: dict[int, set[tuple[str, int]]] = {}
    building: dict[int, set[tuple[str, int]]] = {}
    found = []
    goes = {
        "context destroyed": "context",
        "cuEventDestroy": "event",
        "cuStreamDestroy": "stream",
        "cuMemFree": "memory",
        "cuMemFreeHost": "memory",
    }
    for call in calls:
        if call.name == "cuStreamBeginCapture":
            building[call.subject] = {("stream", call.subject)}
        elif call.name == "execute_async_v3" and call.capturing:
            held = building.get(call.detail["stream"], set())
            held.add(("context", call.subject))
            addresses = [*call.detail["addresses"].values(), call.detail["scratch"][0]]
            for base, (start, end) in memory.items():
                if any(start <= address < end for address in addresses):
                    held.add(("memory", base))
        elif call.name == "cuEventRecordWithFlags":
            building.get(call.subject, set()).add(("event", call.detail))
        elif call.name == "cuStreamEndCapture":
            holds[call.detail] = building.pop(call.subject, set())
        elif call.name == "cuGraphInstantiate" and not call.failed:
            live[call.subject] = holds.get(call.detail, set())
        elif call.name == "cuGraphExecDestroy":
            live.pop(call.subject, None)
        elif call.name in goes:
            what = (goes[call.name], call.subject)
            found += [f"{call.name} under live graph {graph:#x}" for graph, held in live.items() if what in held]
    return found


def everything_goes(calls: Sequence[Call]) -> list[str]:
    """What was made was given back, for a run that ended with everything closed."""
    pairs = {
        "cuMemAlloc": "cuMemFree",
        "cuMemAllocHost": "cuMemFreeHost",
        "cuStreamCreateWithPriority": "cuStreamDestroy",
        "cuEventCreate": "cuEventDestroy",
        "cuGraphInstantiate": "cuGraphExecDestroy",
        "cuDevicePrimaryCtxRetain": "cuDevicePrimaryCtxRelease",
        "create_execution_context": "context destroyed",
        "deserialize_cuda_engine": "engine destroyed",
    }
    done = Counter(call.name for call in calls if not call.failed)
    return [f"{done[make]} {make}, {done[free]} {free}" for make, free in pairs.items() if done[make] != done[free]]


WHOLE: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        warm_before_capture,
        one_capture_a_context,
        quiet_capture,
        results_heeded,
        no_default_stream,
        graphs_go_first,
    )
}


# -- over cycles that ran on captured graphs ------------------------------------------------------------------


def only_launch_and_wait(calls: Sequence[Call]) -> list[str]:
    """A cycle allocates, frees, enqueues, captures and re-addresses nothing."""
    return [f"{call.name} in a cycle" for call in calls if call.name not in IN_A_CYCLE]


def one_wait_a_launch(calls: Sequence[Call]) -> list[str]:
    """Launch, wait, launch, wait."""
    order = [call.name for call in calls if call.name == "cuGraphLaunch" or call.name in WAITS]
    wanted = ["cuGraphLaunch", "cuStreamSynchronize"] * (len(order) // 2 + 1)
    if not order or len(order) % 2 or order != wanted[: len(order)]:
        return [f"launches and waits are {order}"]
    return []


CYCLES: dict[str, Rule] = {rule.__name__: rule for rule in (only_launch_and_wait, one_wait_a_launch)}


def breaches(rules: dict[str, Rule], calls: Sequence[Call]) -> dict[str, list[str]]:
    """Rule -> what broke it; empty where all is kept."""
    return {name: found for name, rule in rules.items() if (found := rule(calls))}

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Bounds on a pickle, found from its opcodes before anything is built from it.

The unpickler written in C trusts three things that a file may lie about: extension codes skip `find_class`,
a memo index is an allocation of that size, and hashing nested tuples recurses without a limit (two names of
one tuple in a tuple, forty times over, also never end). The opcodes are counted too, as one byte of pickle
can be 200 bytes of empty container.
"""

from __future__ import annotations

import pickletools

_MAX_OPCODES = 1 << 22  # a full training checkpoint has about 100,000
_MAX_TUPLE_DEPTH = 200
_MAX_TUPLE_ITEMS = 1 << 16  # of a tuple, its inner tuples written out

_PUT = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GET = frozenset({"GET", "BINGET", "LONG_BINGET"})
_EXTENSION = frozenset({"EXT1", "EXT2", "EXT4"})
_KEEPS_FIRST = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD", "READONLY_BUFFER"})
_COMBINES = frozenset(
    {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "INST", "OBJ"}
)
_LEAF = (1, 0)


def scan(data: bytes) -> None:
    """Walk the opcodes with a stack of (items written out, tuple depth); raise where a bound is passed.

    Lists, dicts and sets count as leaves: they cannot be hashed, so nothing recurses into them.
    """
    stack: list[tuple[int, int] | None] = []  # None: a mark
    memo: dict[int, tuple[int, int]] = {}
    for number, (opcode, arg, _) in enumerate(pickletools.genops(data)):
        if number >= _MAX_OPCODES:
            raise ValueError(f"more than {_MAX_OPCODES} opcodes")
        code = opcode.name
        if code in _PUT or code == "MEMOIZE":
            index = len(memo) if code == "MEMOIZE" else arg
            if not isinstance(index, int) or not 0 <= index <= len(data):
                raise ValueError("a memo index beyond the pickle")
            memo[index] = _top(stack)
        elif code in _GET:
            if arg not in memo:
                raise ValueError("a memo entry that was never stored")
            stack.append(memo[arg])
        elif code == "MARK":
            stack.append(None)
        elif code == "DUP":
            stack.append(_top(stack))
        elif code == "POP":
            if not stack:
                raise ValueError("its stack is empty where a value is due")
            stack.pop()
        elif code in _EXTENSION:
            raise ValueError("it uses the extension registry, which no checkpoint needs")
        else:
            taken = _take(stack, opcode.stack_before)
            if code in _COMBINES:
                items = 1 + sum(item[0] for item in taken)
                depth = 1 + max((item[1] for item in taken), default=0)
                if items > _MAX_TUPLE_ITEMS or depth > _MAX_TUPLE_DEPTH:
                    raise ValueError("tuples nested too deep or too wide")
                stack.append((items, depth))
            elif code in _KEEPS_FIRST:
                stack.append(taken[0])
            else:
                stack.extend(_LEAF for _ in opcode.stack_after)


def _top(stack: list[tuple[int, int] | None]) -> tuple[int, int]:
    if not stack or (top := stack[-1]) is None:
        raise ValueError("its stack is empty where a value is due")
    return top


def _take(stack: list[tuple[int, int] | None], before: list[pickletools.StackObject]) -> list[tuple[int, int]]:
    """Pop what an opcode takes: down to the mark if it wants one, and the fixed operands under it."""
    taken: list[tuple[int, int]] = []
    fixed = len(before)
    if pickletools.markobject in before:
        while stack and (top := stack.pop()) is not None:
            taken.append(top)
        fixed = before.index(pickletools.markobject)
    for _ in range(fixed):
        taken.append(_top(stack))
        stack.pop()
    return taken[::-1]

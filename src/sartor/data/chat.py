"""Conversations in a cell: a list of messages, each with a role and what is said."""

from __future__ import annotations

import json
from typing import Any

from sartor.data.table import Table
from sartor.errors import BadInput, one_line

ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
"""Other names that data give the roles."""
SPELLINGS = (("role", "content"), ("from", "value"))
"""The keys of a message, as the field writes them; the second are ShareGPT's."""
ANSWERS = "assistant"
Message = dict[str, str]


def conversations(table: Table, name: str) -> list[list[Message] | None]:
    """Each cell as a list of {"role": ..., "content": ...}; raises `BadInput` at the first that is none."""
    found: list[list[Message] | None] = []
    for cell, line in zip(table.columns[name], table.lines, strict=True):
        found.append(None if cell is None or cell == "" else _conversation(cell, f"{table.source}:{line}"))
    return found


def _conversation(cell: Any, where: str) -> list[Message]:
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            raise _bad("the conversation is a text and no JSON", where) from None
    if isinstance(cell, dict) or not hasattr(cell, "__iter__") or not len(list(cell)):
        raise _bad("the conversation is no list of messages", where)
    return [_message(one, number, where) for number, one in enumerate(cell, 1)]


def _message(one: Any, number: int, where: str) -> Message:
    for role, content in SPELLINGS:
        if isinstance(one, dict) and role in one and content in one:
            who, said = one[role], one[content]
            if not isinstance(who, str) or not who:
                raise _bad(f"the role of message {number} is {one_line(repr(who))[:40]}", where)
            if not isinstance(said, str):
                raise _bad(f"the content of message {number} is {type(said).__name__} and no text", where)
            return {"role": ROLES.get(who, who), "content": said}
    shown = f"its keys are {', '.join(map(str, one))}" if isinstance(one, dict) else f"it is {type(one).__name__}"
    raise _bad(f"message {number} has no role and content ({one_line(shown)[:80]})", where)


def _bad(said: str, where: str) -> BadInput:
    fix = 'write [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]'
    return BadInput("MESSAGES_SHAPE", said, fix=fix, where=where)

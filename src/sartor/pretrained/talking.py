"""Texts and conversations as words, and which of them are to be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sartor.data.chat import ANSWERS, Message
from sartor.errors import BadInput, one_line

Ids = list[int]
Marked = tuple[Ids, Ids]
"""Words, and 1 for each that is to be said."""


def heard(tokenizer: Any, kind: str, value: Any) -> Marked:
    """A row to learn from or to be scored by: a whole text with its end, or a conversation, whose answers count."""
    if kind == "messages":
        return _conversation(tokenizer, value or [])
    ids = [*_start(tokenizer), *_ids(tokenizer, value or ""), *_end(tokenizer)]
    return ids, [1] * len(ids)


def asked(tokenizer: Any, kind: str, value: Any) -> Ids:
    """A row to go on from: a text without its end, or a conversation up to where its next answer begins."""
    if kind == "messages":
        return _ids(tokenizer, _written(tokenizer, value or [], opening=True))
    return [*_start(tokenizer), *_ids(tokenizer, value or "")] or _end(tokenizer) or [0]


def _conversation(tokenizer: Any, messages: Sequence[Message]) -> Marked:
    """The template is written out message by message, so that it is known which words an answer is, whatever it is."""
    ids, marks, done = Ids(), Ids(), ""
    for k, message in enumerate(messages):
        if message["role"] != ANSWERS:
            continue
        opened = _written(tokenizer, messages[:k], opening=True)
        whole = _written(tokenizer, messages[: k + 1], opening=False)
        if not opened.startswith(done) or not whole.startswith(opened):
            said = "the chat template writes a conversation anew when it grows: its answers cannot be told apart"
            fix = "use a template whose text only grows, or write each conversation as a `text`"
            raise BadInput("CHAT_TEMPLATE", said, fix=fix)
        for text, mark in ((opened[len(done) :], 0), (whole[len(opened) :], 1)):
            part = _ids(tokenizer, text)
            ids, marks, done = ids + part, marks + [mark] * len(part), whole
    return ids, marks


def _written(tokenizer: Any, messages: Sequence[Message], opening: bool) -> str:
    if not messages:
        return ""
    if not getattr(tokenizer, "chat_template", None):
        said = "the model has no chat template, which says how messages are written"
        fix = "use a model that was made for conversations, or write each of them as a `text`"
        raise BadInput("CHAT_TEMPLATE", said, fix=fix)
    try:
        text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=opening)
    except Exception as error:  # a template is a program of its own: it may refuse roles, or their order
        shown = one_line(str(error))[:200]
        roles = ", ".join(message["role"] for message in messages)[:80]
        fix = "write the messages in the order that the model's template wants"
        raise BadInput("MESSAGES_ORDER", f"the chat template refuses the roles {roles} ({shown})", fix=fix) from None
    return text


def _ids(tokenizer: Any, text: str) -> Ids:
    found: Ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return found


def _start(tokenizer: Any) -> Ids:
    """The word that begins a text; where there is none of its own, the one that ends the text before."""
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [] if start is None else [int(start)]


def _end(tokenizer: Any) -> Ids:
    return [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]

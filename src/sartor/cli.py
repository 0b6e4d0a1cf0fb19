"""argv -> one verb -> a printed result and an exit code. The only place that prints.

stdout carries the result and nothing else; errors and progress go to stderr.
Exit codes: 0 done, 1 our bug, 2 bad input, 3 environment, 4 a stated gate failed, 130 and 143 for signals.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from sartor.command import process
from sartor.command.words import Call, parse
from sartor.engine import launch
from sartor.errors import Interrupted, SartorError


def main() -> None:
    """The `sartor` command."""
    argv = sys.argv[1:]
    process.quiet_libraries(argv)
    code = run(argv)
    if code == 0:
        launch.leave()
    sys.exit(code)


def run(argv: Sequence[str]) -> int:
    """One command, printed; returns its exit code and raises nothing."""
    as_json = "--json" in argv
    try:
        with process.signals() as came:
            call = parse(argv)
            return 0 if call is None else _perform(call, came)
    except (Exception, KeyboardInterrupt) as error:
        return _fail(process.as_ours(error, argv), as_json)


def _perform(call: Call, came: list[int]) -> int:
    from sartor.command.calls import answer
    from sartor.command.screen import Screen

    screen = Screen(sys.stderr, quiet="quiet" in call.switches or not launch.first())
    try:
        with process.muffled():
            given = answer(call, screen.show)
    finally:
        screen.close()
    if "json" in call.switches:
        from sartor.report.json_report import dumps, envelope

        printed = dumps(envelope(call.verb, given.result))
    else:
        printed = given.brief if "quiet" in call.switches else given.text
    if came:
        _print(Interrupted(came[0], kept=process.KEPT).sentence(), sys.stderr)
    if launch.first():
        _print(printed, sys.stdout)
    return 128 + came[0] if came else given.code


def _fail(error: SartorError, as_json: bool) -> int:
    if not launch.speaks():
        return error.exit_code
    if as_json:
        from sartor.report.json_report import dumps, failure

        _print(dumps(failure(error)), sys.stdout)
    _print(error.sentence(), sys.stderr)
    return error.exit_code


def _print(text: str, stream: TextIO) -> None:
    """Write at once; a reader that has gone away (`| head`) is no error."""
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # or the interpreter complains when it closes

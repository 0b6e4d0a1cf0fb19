"""The command line: words, switches, exit codes, and which stream carries what."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sartor import __version__
from sartor.command import calls, process
from sartor.command.calls import Answer, Show
from sartor.command.manual import VERBS
from sartor.command.screen import Screen, duration, line
from sartor.command.words import Call, parse
from sartor.engine.progress import Progress
from sartor.errors import BadInput, GateFailed, Interrupted
from sartor.settings import SETTINGS

Run = Callable[..., Any]
RESULT = Answer({"x": 1}, "the text", "the gist")


def answering(monkeypatch: pytest.MonkeyPatch, do: Callable[[Call, Show], Answer], verb: str = "doctor") -> None:
    monkeypatch.setitem(calls._RUN, verb, do)


def process_of(*words: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    start = (
        [sys.executable, "-c", f"{code}\nfrom sartor.cli import main\nmain()"]
        if code
        else [sys.executable, "-m", "sartor"]
    )
    return subprocess.run(
        [*start, *words], capture_output=True, text=True, env=os.environ | environment, timeout=120, check=False
    )


# words


def test_help_names_every_verb(sartor: Run) -> None:
    done = sartor("--help")
    assert done.code == 0
    assert done.err == ""
    assert set(re.findall(r"^  ([a-z]+) ", done.out, re.M)) >= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_names_every_option_and_ends_in_examples_that_parse(sartor: Run, verb: str) -> None:
    import shlex

    done = sartor(verb, "--help")
    assert done.code == 0
    assert all(SETTINGS[name].flag in done.out for name in VERBS[verb].settings if name in SETTINGS)
    shown = done.out.split("Examples:\n")[1].strip().splitlines()
    assert [example.strip() for example in shown] == list(VERBS[verb].examples)
    Path("run.yaml").write_text("data: reviews.csv\n", "utf-8")
    for example in VERBS[verb].examples:
        assert parse(shlex.split(example)[1:]) is not None


def test_version(sartor: Run) -> None:
    done = sartor("--version")
    assert (done.code, done.out) == (0, f"sartor {__version__}\n")


def test_words_become_a_call(sartor: Run) -> None:
    call = parse(
        ["position", "a.csv", "--text", "q", "--text", "d", "--kind", "age=number", "--budget=2m", "--dry-run"]
    )
    assert call is not None
    assert call.arguments == {"data": "a.csv"}
    assert call.words == {"text": ("q", "d"), "kind": (("age", "number"),), "budget": 120.0}
    assert call.switches == {"dry_run"}


def test_the_data_may_stand_in_the_configuration(sartor: Run) -> None:
    Path("run.yaml").write_text("data: reviews.csv\nseed: 4\n", "utf-8")
    call = parse(["evaluate", "bundle", "--config", "run.yaml"])
    assert call is not None
    assert call.arguments == {"bundle": "bundle", "data": "reviews.csv"}
    moved = parse(["check", "other.csv", "--config", "run.yaml"])
    assert moved is not None
    assert (moved.arguments, moved.words) == ({"data": "other.csv"}, {"seed": 4})


def test_each_setting_is_one_flag_of_some_verb() -> None:
    used = {name for verb in VERBS.values() for name in (*verb.settings, *verb.arguments)}
    assert set(SETTINGS) <= used


SENTENCES = {
    (): "error[CLI_VERB_MISSING]: no verb is given. Fix: run `sartor --help`; a first step is `sartor check DATA`.",
    ("chek", "x"): "error[CLI_VERB_UNKNOWN]: no verb is called 'chek'. Fix: did you mean 'check'? "
    "Known: check, compare, compress, doctor, evaluate, finetune, init, position, predict, show.",
    ("--versoin",): "error[CLI_VERB_MISSING]: '--versoin' stands where a verb should. Fix: did you mean '--version'?.",
    ("--json", "check"): "error[CLI_VERB_MISSING]: '--json' stands where a verb should. "
    "Fix: write the verb first: sartor VERB [OPTIONS].",
    ("position",): "error[CLI_ARGUMENT_MISSING]: DATA is missing. Fix: write sartor position DATA, "
    "such as `sartor position reviews.csv --target stars --budget 10m --out runs/reviews`.",
    ("compare", "a"): "error[CLI_ARGUMENT_MISSING]: B is missing. Fix: write sartor compare A B DATA, "
    "such as `sartor compare runs/lora/bundle runs/full/bundle test.csv`.",
    ("show", "a", "b"): "error[CLI_EXTRA]: what follows is too much: b. "
    "Fix: quote paths with spaces, and give each option its name.",
    ("doctor", "--quite"): "error[CLI_OPTION_UNKNOWN]: doctor has no option '--quite'. "
    "Fix: did you mean '--quiet'? Known: --help, --json, --quiet.",
    ("check", "x", "--method", "lora"): "error[CLI_OPTION_UNKNOWN]: check has no option '--method'. "
    "Fix: it belongs to: finetune.",
    (
        "finetune",
        "x",
        "--learning-rate",
        "1e-4",
    ): "error[CLI_OPTION_UNKNOWN]: finetune has no option '--learning-rate'. "
    "Fix: write --set plan.learning_rate=VALUE.",
    ("finetune", "x", "--epochs", "3"): "error[CLI_OPTION_UNKNOWN]: finetune has no option '--epochs'. "
    "Fix: write --set plan.num_train_epochs=VALUE.",
    ("position", "x", "--budget"): "error[CLI_VALUE_MISSING]: --budget has no value. Fix: write --budget 10m.",
    ("position", "x", "--target", "--seed", "3"): "error[CLI_VALUE_MISSING]: --target has no value. "
    "Fix: write --target stars.",
    ("position", "x", "--set"): "error[CLI_VALUE_MISSING]: --set has no value. Fix: write --set plan.seed=3.",
    ("check", "x", "--json=1"): "error[CLI_VALUE_EXTRA]: --json takes no value. Fix: write --json alone.",
    ("check", "x", "--seed", "ten"): "error[CLI_TYPE]: --seed: 'ten' is not a whole number. "
    "Fix: write it in digits, such as 3.",
    ("check", "x", "--seed", "-1"): "error[CLI_RANGE]: --seed: '-1' is negative. Fix: give at least 0.",
    ("check", "x", "--seed", "１０"): "error[CLI_TYPE]: --seed: '１０' is not a whole number. "
    "Fix: write it in digits, such as 3.",
    ("check", "x", "--seed", "1_0"): "error[CLI_TYPE]: --seed: '1_0' is not a whole number. "
    "Fix: write it in digits, such as 3.",
    ("position", "x", "--max-size-mb", "1,5"): "error[CLI_TYPE]: --max-size-mb: '1,5' is not a number. "
    "Fix: use a point: 1.5.",
    ("position", "x", "--max-size-mb", "big"): "error[CLI_TYPE]: --max-size-mb: 'big' is not a number. "
    "Fix: write a number such as 0.5 or 20.",
    ("position", "x", "--max-size-mb", "nan"): "error[CLI_RANGE]: --max-size-mb: 'nan' is out of range. "
    "Fix: give a finite number above 0.",
    ("position", "x", "--max-latency-ms", "inf"): "error[CLI_RANGE]: --max-latency-ms: 'inf' is out of range. "
    "Fix: give a finite number above 0.",
    ("position", "x", "--max-memory-mb", "0"): "error[CLI_RANGE]: --max-memory-mb: '0' is out of range. "
    "Fix: give a finite number above 0.",
    ("position", "x", "--budget", "10"): "error[CLI_DURATION]: --budget: '10' has no unit. Fix: write 10s, 10m or 10h.",
    ("position", "x", "--budget", "soon"): "error[CLI_DURATION]: --budget: 'soon' is not a duration. "
    "Fix: write a number and a unit, such as 90s, 10m or 1h.",
    ("position", "x", "--budget", "-5m"): "error[CLI_RANGE]: --budget: '-5m' is out of range. "
    "Fix: give between 1s and 30d.",
    (
        "position",
        "x",
        "--budget",
        "0s",
    ): "error[CLI_RANGE]: --budget: '0s' is out of range. Fix: give between 1s and 30d.",
    ("position", "x", "--budget", "1e9h"): "error[CLI_RANGE]: --budget: '1e9h' is out of range. "
    "Fix: give between 1s and 30d.",
    ("check", "x", "--seed", "1", "--seed", "2"): "error[CLI_DUPLICATE]: --seed: it is given twice, '1' and '2'. "
    "Fix: keep one.",
    (
        "check",
        "x",
        "--text",
        "a",
        "--text",
        "a",
    ): "error[CLI_DUPLICATE]: --text: 'a' is given twice. Fix: list it once.",
    (
        "check",
        "x",
        "--kind",
        "a=text",
        "--kind",
        "a=id",
    ): "error[CLI_DUPLICATE]: --kind: column 'a' is given two kinds, text and id. Fix: keep one.",
    ("check", "x", "--config", "a.yaml", "--config", "b.yaml"): "error[CLI_DUPLICATE]: --config: it is given twice, "
    "'a.yaml' and 'b.yaml'. Fix: keep one.",
    ("check", "x", "--json", "--quiet"): "error[CLI_CONFLICT]: --quiet and --json exclude each other. Fix: choose one.",
    ("position", "x", "--resume", "--overwrite", "--out", "o"): "error[CLI_CONFLICT]: --resume and --overwrite exclude "
    "each other. Fix: choose one.",
    ("position", "x", "--resume"): "error[CLI_CONFLICT]: --resume does not say which run. "
    "Fix: name its folder with --out.",
    ("position", "x", "--set", "plan.seed"): "error[CLI_SET]: --set: 'plan.seed' is not KEY=VALUE. "
    "Fix: write --set plan.seed=3.",
    ("position", "x", "--set", "taget=y"): "error[CFG_KEY_UNKNOWN]: --set taget: there is no setting 'taget'. "
    "Fix: did you mean 'target'? Known: ",
    ("position", "x", "--set", "plan.sed=3"): "error[CFG_KEY_UNKNOWN]: --set plan.sed: plan has no key 'sed'. "
    "Fix: did you mean 'seed'? Known: ",
    ("check", "x", "--target", "a", "--set", "target=b"): "error[CLI_DUPLICATE]: --set target: it is given twice, "
    "'a' and 'b'. Fix: keep one.",
    ("check", ""): "error[CLI_PATH_EMPTY]: DATA: the path is empty. Fix: give a file or folder.",
    ("check", "x", "--test", " "): "error[CLI_PATH_EMPTY]: --test: the path is empty. Fix: give a file or folder.",
    ("check", "a\nb.csv"): "error[CLI_PATH_BAD]: DATA: the path 'a\\nb.csv' holds control characters. "
    "Fix: rename the file.",
    ("check", "x", "--target", ""): "error[CLI_VALUE_EMPTY]: --target: the value is empty. "
    "Fix: give a name or leave it out.",
    ("check", "x", "--target", "a\x1b[2J"): "error[CLI_VALUE_BAD]: --target: 'a\\x1b[2J' holds control characters. "
    "Fix: give a plain name.",
    (
        "check",
        "x",
        "--kind",
        "age",
    ): "error[CLI_TYPE]: --kind: 'age' is not COLUMN=KIND. Fix: write for example age=number; "
    "kinds: text, category, number, boolean, date, image, audio, id, labels, tokens, tags, items, boxes, messages.",
    ("finetune", "x", "--save", "chnged"): "error[CLI_CHOICE]: --save: 'chnged' is not one of: merged, changed. "
    "Fix: did you mean 'changed'? Known: changed, merged.",
    ("check", "x", "--kind", "age=numbr"): "error[CLI_CHOICE]: --kind: no kind of column is called 'numbr'. "
    "Fix: did you mean 'number'? Known: audio, boolean, boxes, category, date, id, image, items, labels, "
    "messages, number, tags, "
    "text, "
    "tokens.",
    ("finetune", "x", "--method", "lroa"): "error[PART_UNKNOWN]: --method: no method is called 'lroa'. "
    "Fix: did you mean 'lora'? Known: ",
    ("finetune", "x", "--method", "lora:rr=8"): "error[PART_SETTING]: --method: lora has no setting 'rr'. "
    "Fix: did you mean 'r'? Known: last, lora_alpha, lora_dropout, r, target_modules, use_dora, use_rslora.",
    ("finetune", "x", "--method", "lora:r=big"): "error[VALUE]: --method: lora.r is 'big', not a whole number. "
    "Fix: write it in digits, such as 16.",
    ("finetune", "x", "--backbone", "minilmm"): "error[PART_UNKNOWN]: --backbone: no backbone is called 'minilmm'. "
    "Fix: did you mean 'minilm'? Known: ",
    ("position", "x", "--task", "clasification"): "error[PART_UNKNOWN]: --task: no task is called 'clasification'. "
    "Fix: did you mean 'classification'? Known: ",
    (
        "finetune",
        "x",
        "--objective",
        "supervise",
    ): "error[PART_UNKNOWN]: --objective: no objective is called 'supervise'. Fix: did you mean 'supervised'? Known: ",
    (
        "show",
        "lroa",
    ): "error[SHOW_UNKNOWN]: there is no shelf, part or bundle 'lroa'. Fix: did you mean 'lora'? Known: ",
}


@pytest.mark.parametrize("words", SENTENCES, ids=" ".join)
def test_sentence(sartor: Run, tree: Run, words: tuple[str, ...]) -> None:
    Path("x").write_text("text,label\n", "utf-8")
    before = tree()
    done = sartor(*words)
    expected = SENTENCES[words]
    begun = expected.endswith("Known: ")  # the list of parts grows
    assert (done.err[: len(expected)] if begun else done.err) == (expected if begun else expected + "\n")
    assert (done.code, done.err.count("\n"), tree()) == (2, 1, before)
    assert done.out == "" or "--json" in words


def test_with_json_an_error_is_one_object_on_stdout(sartor: Run) -> None:
    done = sartor("check", "x.csv", "--json", "--seed", "ten")
    assert done.code == 2
    told = json.loads(done.out)
    assert told["ok"] is False
    assert {"code": "CLI_TYPE", "where": "--seed"}.items() <= told["error"].items()
    assert done.err.startswith("error[CLI_TYPE]: --seed: ")


# answers


def test_an_answer_is_text_or_the_gist_or_json(sartor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, lambda call, show: RESULT)
    assert sartor("doctor").out == "the text\n"
    assert sartor("doctor", "--quiet").out == "the gist\n"
    assert json.loads(sartor("doctor", "--json").out) == {"ok": True, "schema": "sartor.doctor/1", "result": {"x": 1}}


def test_what_libraries_print_does_not_reach_the_terminal(sartor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def chatter(call: Call, show: Show) -> Answer:
        print("loading")
        print("deprecated", file=sys.stderr)
        return RESULT

    answering(monkeypatch, chatter)
    done = sartor("doctor")
    assert (done.out, done.err) == ("the text\n", "")


def test_a_gate_that_failed_is_exit_4(sartor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def gate(call: Call, show: Show) -> Answer:
        raise GateFailed("LIMIT", "no candidate is below 1 MB", fix="raise --max-size-mb")

    answering(monkeypatch, gate)
    done = sartor("doctor")
    assert (done.code, done.err) == (4, "error[LIMIT]: no candidate is below 1 MB. Fix: raise --max-size-mb.\n")


NO_MEMORY = (
    "error[MEMORY]: the memory of this machine does not suffice. "
    "Fix: close other programs, or give fewer rows or a smaller batch."
)
ENVIRONMENT = {
    MemoryError(): NO_MEMORY,
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."): NO_MEMORY,
    ValueError("I/O error: No space left on device (os error 28)"): "error[DISK_FULL]: the disk is full. "
    "Fix: free some space.",
    OSError(
        28, "No space left on device", "runs/x"
    ): "error[DISK_FULL]: runs/x: the disk is full. Fix: free some space.",
}


@pytest.mark.parametrize("error", ENVIRONMENT, ids=repr)
def test_what_the_machine_lacks_is_exit_3(sartor: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(call: Call, show: Show) -> Answer:
        raise error

    answering(monkeypatch, fail)
    done = sartor("doctor")
    assert (done.code, done.out, done.err) == (3, "", ENVIRONMENT[error] + "\n")


def test_a_bug_of_ours_is_written_down_and_not_thrown_at_the_user(
    sartor: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(call: Call, show: Show) -> Answer:
        raise ZeroDivisionError("in the middle")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    answering(monkeypatch, broken)
    done = sartor("doctor")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    found = re.fullmatch(
        r"error\[BUG\]: Sartor failed \(ZeroDivisionError\); this is a bug\. "
        r"Fix: report it with the file (\S+\.txt)\.\n",
        done.err,
    )
    assert found
    report = Path(found[1]).read_text("utf-8")
    assert "in the middle" in report
    assert "Traceback" in report
    assert "command: sartor doctor" in report


def test_a_comparison_is_shown_as_what_changes_from_a_to_b() -> None:
    sides = {"x": {"accuracy": {"value": 0.9}}, "y": {"accuracy": {"value": 0.8}}}
    result = {
        "a": "x",
        "b": "y",
        "rows": 9,
        "metric": "accuracy",
        "difference": 0.1,
        "low": 0.02,
        "high": 0.18,
        "p": 0.01,
    }
    shown = calls.second_against_first({**result, "verdict": "better", "metrics": sides})
    assert (shown["difference"], shown["low"], shown["high"], shown["verdict"]) == (-0.1, -0.18, -0.02, "A is better")
    assert shown["metrics"] == {"accuracy": {"a": {"value": 0.9}, "b": {"value": 0.8}}}


# signals


def test_ctrl_c_is_exit_130(sartor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(call: Call, show: Show) -> Answer:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        return RESULT

    answering(monkeypatch, stopped)
    before = signal.getsignal(signal.SIGINT)
    done = sartor("doctor")
    assert (done.code, done.out) == (130, "")
    assert done.err.startswith("error[INTERRUPTED]: stopped by Ctrl-C. Fix: run the same command again with --resume")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_verb_that_was_stopped_may_still_state_what_it_found(sartor: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def anytime(call: Call, show: Show) -> Answer:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except Interrupted:
            return RESULT
        return Answer({}, "not stopped", "")

    answering(monkeypatch, anytime)
    done = sartor("doctor")
    assert (done.code, done.out) == (143, "the text\n")
    assert done.err.startswith("error[INTERRUPTED]: stopped by SIGTERM. Fix: ")


SLEEPS = """
import time
from sartor.command import calls
def sleep(call, show):
    print('{"began": true}', file=open(1, 'w', closefd=False), flush=True)
    time.sleep(60)
calls._RUN["doctor"] = sleep
"""


def test_sigterm_to_the_process_is_exit_143() -> None:
    words = [sys.executable, "-c", SLEEPS + "\nfrom sartor.cli import main\nmain()", "doctor"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 143
        assert running.stderr.read().startswith("error[INTERRUPTED]: stopped by SIGTERM.")


def test_a_reader_that_went_away_is_no_error() -> None:
    long = (
        "from sartor.command import calls\ncalls._RUN['doctor'] = lambda c, s: calls.Answer({}, 'x' * 10_000_000, '')"
    )
    words = [sys.executable, "-c", long + "\nfrom sartor.cli import main\nmain()", "doctor"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.read(10)
        running.stdout.close()
        assert running.wait(30) == 0
        assert running.stderr.read() == ""


# the process


@pytest.mark.parametrize(
    "words",
    [("--help",), ("position", "--help"), ("adpat",), ("finetune", "x", "--method", "lara"), ("check", "none.csv")],
    ids=" ".join,
)
def test_help_and_mistakes_import_no_torch(words: tuple[str, ...]) -> None:
    code = (
        "import atexit, sys\n"
        "heavy = ('torch', 'transformers', 'sklearn', 'scipy', 'pandas', 'rich')\n"
        "atexit.register(lambda: sys.stderr.write(' '.join(['HEAVY', *(n for n in heavy if n in sys.modules)])))"
    )
    done = process_of(*words, code=code)
    assert done.stderr.rsplit("HEAVY", 1)[1] == ""
    assert done.returncode in (0, 2)


def test_the_network_is_off_unless_the_words_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    for words, expected in {("check", "x.csv"): "1", ("check", "hf:a/b"): None}.items():
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        with warnings.catch_warnings():
            for name in process._QUIET:
                monkeypatch.setenv(name, os.environ.get(name, "1"))
            process.quiet_libraries(words)
        assert os.environ.get("HF_HUB_OFFLINE") == expected
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")


def test_python_m_sartor_is_the_command() -> None:
    done = process_of("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sartor {__version__}\n", "")


def test_a_terminal_of_ascii_shows_every_character() -> None:
    done = process_of("check", "größe.csv", "--seed", "é", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert (
        done.stderr == "error[CLI_TYPE]: --seed: '\\xe9' is not a whole number. Fix: write it in digits, such as 3.\n"
    )


# progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_progress_line() -> None:
    assert line(Progress("race", 12, 40, 80, "lora\x1b[2J leads")) == "race 12/40, 1m 20s left: lora [2J leads"
    assert line(Progress("read")) == "read"
    assert line(Progress("read", 5)) == "read 5"
    assert [duration(s) for s in (0.4, 59.6, 61, 3600, 7260)] == ["0s", "1m 00s", "1m 01s", "1h 00m", "2h 01m"]


def test_a_terminal_gets_one_line_that_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    screen = Screen(stream, quiet=False)
    for i in range(3):
        screen.show(Progress("race", i, 3))
    screen.close()
    assert "race 2/3" in stream.getvalue()
    assert "\x1b[2K" in stream.getvalue()  # the line is cleared before the next


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    screen = Screen(stream, quiet=False)
    screen.show(Progress("race", 1, 3))
    screen.close()
    assert not re.search(r"\x1b\[3[0-9]|\x1b\[38", stream.getvalue())


def test_elsewhere_a_plain_line_comes_at_most_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = StringIO()
    screen = Screen(stream, quiet=False)
    for second in range(0, 35):
        now[0] = float(second)
        screen.show(Progress("race", second, 35))
    assert stream.getvalue() == "race 10/35\nrace 20/35\nrace 30/35\n"


def test_quiet_shows_no_progress() -> None:
    stream = Terminal()
    Screen(stream, quiet=True).show(Progress("race"))
    assert stream.getvalue() == ""


# output folders


def test_the_default_folder_is_new(sartor: Run) -> None:
    from sartor.command.output import default_folder

    assert default_folder("data/reviews.jsonl.gz") == "runs/reviews"
    Path("runs/reviews").mkdir(parents=True)
    Path("runs/reviews-2").mkdir()
    assert default_folder("data/reviews.jsonl.gz") == "runs/reviews-3"
    assert default_folder("example:docstrings") == "runs/docstrings"
    assert default_folder("hf:owner/name") == "runs/name"


def _folders() -> None:
    Path("data.csv").write_text("text,label\n", "utf-8")
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine", "utf-8")
    Path("parts").mkdir()
    Path("parts/dev.csv").write_text("text,label\n", "utf-8")
    Path("old/bundle/sartor").mkdir(parents=True)
    Path("old/bundle/sartor/manifest.json").write_text("{}", "utf-8")


OUTPUTS = {
    ("--out", "full"): "error[OUT_EXISTS]: full: the output folder exists and is not empty. "
    "Fix: choose another --out, or add --overwrite or --resume.",
    ("--out", "old"): "error[OUT_EXISTS]: old: the output folder exists and is not empty. "
    "Fix: choose another --out, or add --overwrite or --resume.",
    ("--out", "full", "--overwrite"): "error[OUT_FOREIGN]: full: the folder was not written by Sartor. "
    "Fix: choose another --out.",
    (
        "--out",
        "data.csv",
    ): "error[OUT_NOT_DIR]: data.csv: this is a file, not a folder. Fix: choose a folder with --out.",
    ("--out", "data.csv/run"): "error[OUT_NOT_DIR]: data.csv/run: 'data.csv' is a file, not a folder. "
    "Fix: choose another --out.",
    ("--out", ".", "--overwrite"): "error[OUT_HOLDS_DATA]: .: the folder holds the input 'data.csv'. "
    "Fix: choose another --out.",
    ("--test", "parts", "--out", "parts/run"): "error[OUT_INSIDE_DATA]: parts/run: the output lies inside the input "
    "'parts'. Fix: choose another --out.",
    (
        "--test",
        "parts/dev.csv",
        "--out",
        "parts",
    ): "error[OUT_HOLDS_DATA]: parts: the folder holds the input 'dev.csv'. Fix: choose another --out.",
}


@pytest.mark.parametrize("verb", ["finetune", "position"])
@pytest.mark.parametrize("words", OUTPUTS, ids=" ".join)
def test_output_folder(sartor: Run, tree: Run, verb: str, words: tuple[str, ...]) -> None:
    _folders()
    before = tree()
    done = sartor(verb, "data.csv", *words)
    assert (done.code, done.out, done.err) == (2, "", OUTPUTS[words] + "\n")
    assert tree() == before


@pytest.mark.parametrize("verb", ["finetune", "position"])
def test_an_unwritable_output_folder(sartor: Run, tmp_path: Path, verb: str) -> None:
    _folders()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    out = "/proc/sartor" if os.access(closed, os.W_OK) else str(closed / "run")  # root may write anywhere but there
    done = sartor(verb, "data.csv", "--out", out)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(
        rf"error\[OUT_UNWRITABLE\]: {out}: nothing can be written here \(.+\)\. "
        r"Fix: choose another --out, or change its permissions\.\n",
        done.err,
    )


def test_an_output_file(sartor: Run, tree: Run) -> None:
    from sartor.command.output import check_file

    _folders()
    before = tree()
    expected = {
        ("full", False): "error[OUT_IS_DIR]: full: this is a folder. Fix: name a file inside it.",
        ("data.csv", True): "error[OUT_IS_DATA]: data.csv: the output is also an input. Fix: choose another --out.",
        ("full/notes.txt", False): "error[OUT_EXISTS]: full/notes.txt: the output file exists. "
        "Fix: choose another --out, or add --overwrite.",
        (
            "data.csv/x",
            False,
        ): "error[OUT_NOT_DIR]: data.csv: 'data.csv' is a file, not a folder. Fix: choose another --out.",
    }
    for (out, overwrite), sentence in expected.items():
        with pytest.raises(BadInput) as raised:
            check_file(out, ["data.csv"], overwrite=overwrite)
        assert str(raised.value) == sentence
    check_file("full/notes.txt", ["data.csv"], overwrite=True)
    assert tree() == before


PIECES = [
    "check",
    "position",
    "show",
    "--json",
    "--quiet",
    "--set",
    "--seed",
    "--kind",
    "--config",
    "--help",
    "--",
    "-",
    "-x",
]
PIECES += [
    "=",
    "3",
    "",
    " ",
    "lora",
    "none.csv",
    "a=b",
    "plan.seed=1",
    "--seed=",
    "--set=plan.=",
    "\x1b[2J",
    "é",
    "--budget=5m",
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(PIECES), max_size=6))
def test_any_words_are_help_or_one_sentence(sartor: Run, tree: Run, words: list[str]) -> None:
    done = sartor(*words)
    assert done.code in (0, 2)
    assert done.code == 0 or re.fullmatch(r"error\[[A-Z_]+\]: [^\n]+\. Fix: [^\n]+\.\n", done.err), done.err
    assert (done.out + done.err).replace("\n", "").isprintable()
    assert tree() == {}

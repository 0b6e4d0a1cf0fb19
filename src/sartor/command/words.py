"""argv -> a call. Click splits the words and prints the help; every complaint becomes one of our sentences."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from sartor import __version__
from sartor.command.manual import VERBS, Verb
from sartor.errors import BadInput, did_you_mean, nearest
from sartor.settings import SETTINGS, resolve
from sartor.spelling import Given, path

SWITCHES = {
    "json": "Print one JSON object.",
    "quiet": "Print only the essential.",
    "dry_run": "Say what would be done; write nothing.",
    "resume": "Go on with what lies in --out.",
    "overwrite": "Replace what an earlier run left in --out.",
}
_CONFLICTS = (("quiet", "json"), ("resume", "overwrite"))


@dataclass(frozen=True)
class Call:
    """What was asked for. `words` are the settings that were given, by name; `switches` the flags that are on.

    arguments   name -> path, or the paths of several
    began       when it was read (time.monotonic), because a budget begins there
    """

    verb: str
    arguments: dict[str, Any]
    words: dict[str, Any]
    switches: frozenset[str]
    argv: tuple[str, ...]
    began: float


def parse(argv: Sequence[str]) -> Call | None:
    """The call that `argv` makes, or None where it asked for help or the version, which is then printed."""
    if not argv:
        raise BadInput(
            "CLI_VERB_MISSING", "no verb is given", fix="run `sartor --help`; a first step is `sartor check DATA`"
        )
    if argv[0].startswith("-"):
        _group(argv)
        return None
    if argv[0] not in VERBS:
        raise BadInput("CLI_VERB_UNKNOWN", f"no verb is called '{argv[0]}'", fix=did_you_mean(argv[0], VERBS))
    return _verb(VERBS[argv[0]], argv)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _group(argv: Sequence[str]) -> None:
    """`sartor --help` and `sartor --version`."""
    try:
        _overview().make_context("sartor", list(argv), help_option_names=["-h", "--help"])
    except click.exceptions.Exit:
        return
    except click.UsageError:
        pass
    close = nearest(argv[0].lstrip("-"), ("help", "version"))
    fix = f"did you mean '--{close}'?" if close else "write the verb first: sartor VERB [OPTIONS]"
    raise BadInput("CLI_VERB_MISSING", f"'{argv[0]}' stands where a verb should", fix=fix)


def _overview() -> click.Group:
    def show_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked:
            click.echo(f"sartor {__version__}")
            context.exit()

    version = click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Show the version."
    )
    return click.Group(
        "sartor",
        commands={verb.name: click.Command(verb.name, short_help=verb.summary) for verb in VERBS.values()},
        params=[version],
        help="Fits large models to your data, and tells you by measurement which fit is right.",
        epilog=_examples("sartor check reviews.csv", "sartor position reviews.csv --budget 5m", "sartor VERB --help"),
    )


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _verb(verb: Verb, argv: Sequence[str]) -> Call | None:
    _check_swallowed(verb, argv)
    command = click.Command(verb.name, params=_params(verb), help=verb.summary, epilog=_examples(*verb.examples))
    try:
        context = command.make_context(f"sartor {verb.name}", list(argv[1:]), help_option_names=["-h", "--help"])
    except click.exceptions.Exit:
        return None
    except click.UsageError as error:
        raise _sentence(verb, error) from None
    return _call(verb, context.params, argv)


def _params(verb: Verb) -> list[click.Parameter]:
    found: list[click.Parameter] = [
        click.Argument([name], required=False, metavar=_metavar(verb, name), nargs=-1 if name in verb.several else 1)
        for name in verb.arguments
    ]
    for setting in (SETTINGS[name] for name in verb.settings if name in SETTINGS):
        words = [setting.flag, setting.name]
        found.append(click.Option(words, multiple=True, metavar=setting.metavar, help=setting.help))
    if verb.settings:
        found.append(
            click.Option(["--config"], multiple=True, metavar="FILE", help="Settings from a YAML or JSON file.")
        )
        plan = "; plan.NAME reaches every field of the plan" if "plan" in verb.settings else ""
        tasks = "; tasks.NAME.SETTING is for one data set of several" if "tasks" in verb.settings else ""
        text = f"Any setting by name{plan}{tasks}."
        found.append(click.Option(["--set", "assigned"], multiple=True, metavar="KEY=VALUE", help=text))
    for name in (*verb.switches, "json", "quiet"):
        found.append(click.Option([flag(name), name], is_flag=True, help=SWITCHES[name]))
    return found


def _call(verb: Verb, params: dict[str, Any], argv: Sequence[str]) -> Call:
    began = time.monotonic()
    flags = {name: params[name] for name in verb.settings if name in SETTINGS}
    switches = frozenset(name for name in SWITCHES if params.get(name))
    for one, other in _CONFLICTS:
        if {one, other} <= switches:
            raise BadInput("CLI_CONFLICT", f"{flag(one)} and {flag(other)} exclude each other", fix="choose one")
    config = _only(params.get("config", ()))
    arguments = {name: _paths(params[name], name) for name in verb.arguments if params[name] not in (None, ())}
    words: dict[str, Any] = {}
    if verb.settings:
        words = resolve((*verb.settings, "data"), flags, params["assigned"], config, os.environ)
    configured = words.pop("data", None)
    if "data" in verb.arguments and configured is not None:
        arguments.setdefault("data", configured)
    _check_arguments(verb, arguments, words)
    return Call(verb.name, arguments, words, switches, tuple(argv), began)


def _paths(given: Any, name: str) -> Any:
    """A path, or the tuple of several."""
    found = tuple(path(text, Given(text, name.upper())) for text in ((given,) if isinstance(given, str) else given))
    return found[0] if len(found) == 1 else found


def _metavar(verb: Verb, name: str) -> str:
    return name.upper() + ("..." if name in verb.several else "")


def _only(paths: Sequence[str]) -> str | None:
    if len(set(paths)) > 1:
        raise BadInput(
            "CLI_DUPLICATE", f"it is given twice, '{paths[0]}' and '{paths[1]}'", fix="keep one", where="--config"
        )
    return path(paths[0], Given(paths[0], "--config")) if paths else None


def _check_swallowed(verb: Verb, argv: Sequence[str]) -> None:
    """An option that is followed by another option: its value was forgotten."""
    known = _flags(verb)
    switches = {flag(name) for name in SWITCHES} | {"--help"}
    for one, following in itertools.pairwise(argv):
        if one in known and one not in switches and following in known:
            raise _missing_value(one)


def _check_arguments(verb: Verb, arguments: dict[str, Any], words: dict[str, Any]) -> None:
    for name in verb.arguments:
        if name not in arguments and not (
            name == "data" and any("data" in own for own in words.get("tasks", {}).values())
        ):
            usage = " ".join(("sartor", verb.name, *(a.upper() for a in verb.arguments)))
            raise BadInput(
                "CLI_ARGUMENT_MISSING", f"{name.upper()} is missing", fix=f"write {usage}, such as `{verb.examples[0]}`"
            )


def _flags(verb: Verb) -> list[str]:
    settings = [SETTINGS[name].flag for name in verb.settings if name in SETTINGS]
    switches = [flag(name) for name in (*verb.switches, "json", "quiet")]
    return [*settings, *switches, *(("--config", "--set") if verb.settings else ()), "--help"]


def _sentence(verb: Verb, error: click.UsageError) -> BadInput:
    """Click's complaint as one of ours."""
    if isinstance(error, click.NoSuchOption):
        return _unknown_option(verb, error.option_name)
    if isinstance(error, click.BadOptionUsage):
        if "does not take a value" in error.message:
            return BadInput(
                "CLI_VALUE_EXTRA", f"{error.option_name} takes no value", fix=f"write {error.option_name} alone"
            )
        return _missing_value(error.option_name)
    if "extra argument" in error.message:
        return BadInput(
            "CLI_EXTRA", _extra(error.message), fix="quote paths with spaces, and give each option its name"
        )
    return BadInput("CLI_USAGE", error.format_message(), fix=f"see `sartor {verb.name} --help`")


def _missing_value(option: str) -> BadInput:
    setting = SETTINGS.get(option.lstrip("-").replace("-", "_"))
    example = {"--config": "run.yaml", "--set": "plan.seed=3"}.get(option, setting.example if setting else "VALUE")
    return BadInput("CLI_VALUE_MISSING", f"{option} has no value", fix=f"write {option} {example}")


def _unknown_option(verb: Verb, option: str) -> BadInput:
    name = option.lstrip("-").replace("-", "_")
    elsewhere = [v.name for v in VERBS.values() if option in _flags(v)]
    if elsewhere:
        fix = f"it belongs to: {', '.join(elsewhere)}"
    elif "plan" in verb.settings and (field := _plan_field(name)):
        fix = f"write --set plan.{field}=VALUE"
    else:
        fix = did_you_mean(option, _flags(verb))
    return BadInput("CLI_OPTION_UNKNOWN", f"{verb.name} has no option '{option}'", fix=fix)


def _plan_field(name: str) -> str | None:
    """The plan's field of this name, or the one that the name is a part of (`epochs` of `num_train_epochs`)."""
    from sartor.recipe import Plan

    known = Plan.known()
    return name if name in known else next((f for f in known if len(name) > 3 and name in f), None)


def _extra(message: str) -> str:
    """Click's "Got unexpected extra argument (x)" from its parenthesis on."""
    return f"what follows is too much: {message.partition('(')[2].rstrip(').')}"

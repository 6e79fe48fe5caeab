"""The command lines of both programs: their commands, their options, and whether they parse."""

import shlex

import click

from materializer.cli import program as materializer
from serve.__main__ import program as server

PROGRAMS = ("materializer", "feature-server")


def _names(command: click.Command) -> set[str]:
    context = click.Context(command, help_option_names=["-h", "--help"])
    params = command.get_params(context)
    return {
        name
        for one in params
        if isinstance(one, click.Option)
        for name in (*one.opts, *one.secondary_opts)
    }


# Command, with its program in front -> its options.
OPTIONS: dict[str, set[str]] = {
    "materializer": _names(materializer),
    **{f"materializer {name}": _names(one) for name, one in materializer.commands.items()},
    "feature-server": _names(server),
}


def parse(line: str) -> None:
    """Parse a line of shell that calls one of the programs; it must be understood."""
    program, *arguments = shlex.split(line.removesuffix("&"), comments=True)
    if program == "feature-server":
        server.make_context(program, arguments)
        return
    with click.Context(materializer, info_name=program) as context:
        name, command, rest = materializer.resolve_command(context, arguments)
        assert command is not None
        command.make_context(name, rest, parent=context)

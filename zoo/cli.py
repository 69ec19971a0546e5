"""The command line: parse, run a command, turn errors into lines and exit codes.

Each file in `zoo/commands` is a command: its docstring's first line is its help, `add_arguments` its flags, `run` its
handler. Only the command that is called is imported, so that `zoo --help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from zoo import __version__
from zoo.errors import Stopped, ZooError

COMMANDS = Path(__file__).parent / "commands"
# What a shell reports for a process that Ctrl-C or a closed pipe ended: 128 plus the signal's number.
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parse(words or ["--help"])
    try:
        return options.run(options)
    except ZooError as error:
        from zoo.system import launch

        if options.debug:
            traceback.print_exc()
        if launch.claims_error_output():
            for line in error.lines:
                print(f"error: {line}", file=sys.stderr)
        return error.exit_code
    except Stopped as stopped:
        if os.environ.get("RANK", "0") == "0":
            print(stopped, file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has left (`zoo list | head`); nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def console() -> None:
    """Run the console script `zoo`."""
    sys.exit(main())


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; overrides may follow an option too, which argparse alone does not take."""
    parser = build_parser(words[:1])
    options, rest = parser.parse_known_args(words)
    if any(word.startswith("-") for word in rest) or (rest and not hasattr(options, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def build_parser(called: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Build the parser of all commands, with the flags of those in `called` only (None: of all)."""
    parser = _Parser(prog="zoo", description="Fine-tune any timm backbone by name, from a YAML recipe.")
    parser.add_argument("--version", action="version", version=f"zoo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, about in command_help().items():
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        if called is None or name in called:
            module = importlib.import_module(f"zoo.commands.{name}")
            module.add_arguments(command)
            command.add_argument("--debug", action="store_true", help="show the traceback of an error")
            command.set_defaults(run=module.run)
    return parser


def command_help() -> dict[str, str]:
    """Read each command's line of help from the first line of its file, without importing it."""
    found = {}
    for path in sorted(COMMANDS.glob("[!_]*.py")):
        with open(path, encoding="utf-8") as file:
            found[path.stem] = file.readline().partition(": ")[2].strip().rstrip('."')
    return found


class _Parser(argparse.ArgumentParser):
    """argparse with errors in this project's form: one line, exit code 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"error: command line: {message} ('{self.prog} --help' shows the options)\n")

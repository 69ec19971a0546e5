"""The command line: parse it, run a command, turn errors into lines and exit codes.

Each file in `zoo/commands` is a command: its docstring's first line is its help, `add_arguments` adds its flags, and `run`
is its handler. Only the command that is called is imported, so that `zoo --help` answers at once.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from zoo import __version__
from zoo.errors import LostProcess, Stopped, ZooError, nearest, unusable

# The folder with a file for each command.
COMMANDS = Path(__file__).parent / "commands"
# Common names of options in other programs that are spelled unlike ours.
USUAL_NAMES = {"learning_rate": "optim.lr", "model": "backbone.name", "arch": "backbone.name", "workers": "train.threads"}
# Seconds that a process waits before it reports the loss of another process.
LOST_SECONDS = 1.0
# Exit code after Ctrl-C, as shells report it: 128 plus the number of SIGINT.
EXIT_INTERRUPTED = 130
# Exit code after a closed pipe: 128 plus the number of SIGPIPE.
EXIT_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if os.name == "nt":
        print("error: zoo: needs Linux or macOS (on Windows, install it inside WSL 2)", file=sys.stderr)
        return ZooError.exit_code
    options = parse(words or ["--help"])
    try:
        return options.run(options)
    except ZooError as error:
        return report(error, options)
    except Stopped as stopped:
        if os.environ.get("RANK", "0") == "0":
            print(stopped, file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has ended (`zoo list | head`), so nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        if error.filename is None:
            raise
        return report(unusable(error), options)


def report(error: ZooError, options: argparse.Namespace) -> int:
    """Print an error, one line for each mistake; return its exit code. Call it while the exception is being handled."""
    from zoo.system import launch

    if options.debug:
        traceback.print_exc()
    if isinstance(error, LostProcess):
        # The lost process knows the reason, so let it report first.
        time.sleep(LOST_SECONDS)
    if launch.claims_error_output():
        for line in error.lines:
            print(f"error: {line}", file=sys.stderr)
    return error.exit_code


def console(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the program with its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files and classes may have characters that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = main(arguments)
    # Exclude all objects from garbage collection: at exit, collecting those of torch would take two more seconds.
    gc.freeze()
    sys.exit(code)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; overrides may also follow a flag, which argparse alone does not support."""
    parser = build_parser(words[:1])
    # A flag before the command is always unknown: the flags of the command are then not added to the parser.
    options, rest = parser.parse_known_args(words, argparse.Namespace(parser=parser))
    for word in rest:
        if word.startswith("-"):
            options.parser.error(f"unknown flag {word.partition('=')[0]}{_did_you_mean(word, words, options)}")
    if rest and not hasattr(options, "overrides"):
        options.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def _did_you_mean(word: str, words: Sequence[str], options: argparse.Namespace) -> str:
    """Return a hint with the flag or option that was probably meant by an unknown flag, or '' if none is similar.

    Args:
        word: the flag, possibly with `=` and its value.
        words: the whole command line.
        options: the parsed arguments: the command's parser, and `overrides` if the command takes options of a recipe.
    """
    flag, _, value = word.partition("=")
    name = flag.lstrip("-").replace("-", "_")
    flags = {known[2:].replace("-", "_"): [known] for known in re.findall(r"--[a-z-]+", options.parser.format_usage())}
    close = nearest(name, flags, 1)
    if not hasattr(options, "overrides"):
        return f", did you mean {flags[close[0]][0]}?" if close else ""
    following = [*words, ""][words.index(word) + 1]
    value = value or ("…" if not following or following.startswith("-") or "=" in following else following)
    by_section: dict[str, list[str]] = {}
    by_name: dict[str, list[str]] = {}
    for option in recipe_options():
        # A section's name suggests its first option: `--optim` suggests `optim.name`.
        by_section.setdefault(option.partition(".")[0], [f"{option}={value}"])
        by_name.setdefault(option.rpartition(".")[2], []).append(f"{option}={value}")
    usual = {name: [f"{option}={value}"] for name, option in USUAL_NAMES.items()}
    near = usual | by_section | by_name | flags
    close = [name] if name in near else nearest(name, near, 1)
    return f", did you mean {' or '.join(near[close[0]])}?" if close else ""


def recipe_options() -> Iterator[str]:
    """Return the dotted name of every option of a recipe once, such as `train.epochs`, in the order of a recipe."""
    from zoo.recipe.recipe import Recipe
    from zoo.section import Section, Shorthand, lists_sections, sections_of

    def below(section: type[Section], above: str) -> Iterator[str]:
        for name, field in section.model_fields.items():
            sections = [] if lists_sections(field.annotation) else sections_of(field.annotation)
            for option in sections:
                yield from below(option, f"{above}{name}.")
            # A section with a short form takes a plain value too, such as `image_size=224`.
            if name != "kind" and (not sections or any(isinstance(mark, Shorthand) for mark in field.metadata)):
                yield f"{above}{name}"

    return iter(dict.fromkeys(below(Recipe, "")))


def build_parser(called: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Build the parser of all commands; flags are added only for the commands in `called`, or for all if it is None."""
    parser = _Parser(prog="zoo", description="Fine-tune any timm backbone by name, from a YAML recipe.")
    parser.add_argument("--version", action="version", version=f"zoo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, about in command_help().items():
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        if called is None or name in called:
            module = importlib.import_module(f"zoo.commands.{name}")
            module.add_arguments(command)
            command.add_argument("--debug", action="store_true", help="show the traceback of an error")
            command.set_defaults(run=module.run, parser=command)
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

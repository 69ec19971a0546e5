"""Read and write YAML with the scalars of version 1.2, record the line of every key, and apply `section.key=value` overrides."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from zoo.errors import ZooError

Key = tuple[str | int, ...]

# Maximum number of values in a document. Aliases can make a small file stand for a huge tree; no recipe comes near this number.
MAX_NODES = 10_000
# Maximum number of levels in a document; a recipe has four.
MAX_DEPTH = 32
# Maximum number of digits of a whole number. Python reads at most 4,300; more than this are out of every range anyway.
MAX_DIGITS = 400
# Maximum number of characters of a value that an error shows.
SHOWN_LETTERS = 80
# Characters per line of written YAML.
LINE_WIDTH = 110


class _Loader(yaml.SafeLoader):
    """PyYAML's scanner with the scalars of YAML 1.2 (so `3e-4` is a number and `no` is a word)."""


# PyYAML looks up a scalar's pattern by its first character. The patterns are the core schema of YAML 1.2.2, section 10.3.2.
_Loader.yaml_implicit_resolvers = {}
_PATTERNS: dict[str, re.Pattern[str]] = {}
for _tag, _pattern, _first in [
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
]:
    _PATTERNS[_tag] = re.compile(rf"^(?:{_pattern})$")
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _PATTERNS[_tag], _first)


@dataclass(frozen=True, order=True)
class Place:
    """The place where a key was written. Places sort in the order in which errors are reported.

    Attributes:
        depth: 0 in the recipe itself, 1 in its base, 2 in the base of its base.
        line: line number, counted from 1.
        file: name of the file in error messages.
    """

    depth: int
    line: int
    file: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class Source:
    """The plain values of a recipe and where each was written.

    Attributes:
        path: name of the file in error messages.
        tree: the values.
        places: the place of each key, in the file or in one of its bases.
        overridden: keys set on the command line.
    """

    path: str
    tree: dict[str, Any] = field(default_factory=dict)
    places: dict[Key, Place] = field(default_factory=dict)
    overridden: set[Key] = field(default_factory=set)

    def place(self, key: Key) -> Place | None:
        """Return the place of a key or of its nearest parent that has one; None if there is none."""
        return next((self.places[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self.places), None)

    def where(self, key: Key) -> str:
        """Return `FILE:LINE` of a key or its nearest parent, '' if the command line set it, or the file if nothing is known."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.overridden:
                return ""
            if key[:length] in self.places:
                return str(self.places[key[:length]])
        return self.path

    def mark_overridden(self, key: Key) -> None:
        """Record that the command line set a key, and drop the places of all keys below it."""
        self.overridden.add(key)
        for other in [other for other in self.places if len(other) > len(key) and other[: len(key)] == key]:
            del self.places[other]


def read(path: Path) -> Source:
    """Read a recipe file.

    Raises:
        ZooError: the file cannot be read, or is not a YAML mapping of plain values.
    """
    name = str(path)
    if path.is_dir():
        todo = f"give the path of a YAML file, or to train on the images in it: folder/example {shlex.quote(f'data.root={name}')}"
        raise ZooError(name, "is a directory", todo)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ZooError(name, "no such recipe", "'zoo recipe --list' shows the shipped ones") from None
    except UnicodeDecodeError as error:
        raise ZooError(name, f"not UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except OSError as error:
        raise ZooError(name, f"cannot be read: {error.strerror}", "check its permissions") from None
    source = Source(name)
    value = parse(text, name, source.places)
    if not isinstance(value, dict):
        found = describe(value)
        raise ZooError(f"{name}:1", f"expected a mapping at top level, found {found}", "write 'backbone: {name: …}'")
    source.tree = value
    return source


def parse(text: str, name: str, places: dict[Key, Place] | None = None) -> Any:
    """Parse one YAML document into plain values.

    Args:
        text: the document.
        name: name of the source in error messages.
        places: filled with the place of every key. Without it, errors name no line (an override is a single line).

    Raises:
        ZooError: the text is not YAML, or has more than one document, a tag, a duplicate key or too many values.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark and places is not None else name
        problem = error.problem or error.context or "cannot be parsed"
        if "'\\t'" in problem:
            raise ZooError(place, "not valid YAML: tab used for indentation", "use spaces") from None
        raise ZooError(place, f"not valid YAML: {problem}", "check brackets, quotes and indentation") from None
    except yaml.YAMLError as error:
        raise ZooError(name, f"not valid YAML: {error}", "save it as UTF-8 text") from None
    except RecursionError:
        raise ZooError(name, "not valid YAML: nested too deeply", "a recipe has two or three levels") from None
    return None if node is None else _Builder(name, {} if places is None else places, places is not None).build(node, ())


@dataclass
class _Builder:
    """Builds plain values from PyYAML's nodes, and records the place of each key."""

    name: str
    places: dict[Key, Place]
    lines: bool
    count: int = 0

    def _place(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}" if self.lines else self.name

    def build(self, node: yaml.Node, key: Key) -> Any:
        """Return the plain value of the node at `key`."""
        self.count += 1
        place = self._place(node)
        if self.count > MAX_NODES or len(key) > MAX_DEPTH:
            raise ZooError(place, "too many or too deeply nested values", "write the values out, without aliases")
        self.places.setdefault(key, Place(0, node.start_mark.line + 1, self.name))
        short = node.tag.removeprefix("tag:yaml.org,2002:")
        if short not in ("null", "bool", "int", "float", "str", "map", "seq"):
            tag = "!!" + short if short != node.tag else node.tag
            raise ZooError(place, f"tag '{tag}' not allowed", "write plain values")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*key, index)) for index, item in enumerate(node.value)]
        if any("\ud800" <= letter <= "\udfff" for letter in node.value):
            raise ZooError(place, "half of a surrogate pair is not text", "write the character itself")
        if short in _PATTERNS and not _PATTERNS[short].match(node.value):
            raise ZooError(place, f"{describe(node.value)} does not match its tag '!!{short}'", "write plain values")
        return _scalar(short, node.value)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        """Return the mapping of a node; reject duplicate keys, of which PyYAML would silently keep the last."""
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ZooError(self._place(key_node), "a key must be a plain word", "write 'key: value'")
            child = (*key, key_node.value)
            if key_node.value in values:
                what = f"duplicate key '{dotted(child)}'" + (f", first on line {self.places[child].line}" if self.lines else "")
                raise ZooError(self._place(key_node), what, "keep one")
            self.places[child] = Place(0, key_node.start_mark.line + 1, self.name)
            values[key_node.value] = self.build(value_node, child)
        return values


def _scalar(kind: str, text: str) -> Any:
    """Return the value of a scalar whose text fits its kind."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        base = 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10
        return int(text, base) if len(text) < MAX_DIGITS else float("inf")
    if kind == "float":
        return float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
    return text


def apply_overrides(
    source: Source, overrides: Sequence[str], short_forms: Mapping[str, Callable[[Any], Any]] | None = None
) -> None:
    """Set `section.key=value` pairs in the tree; the values are read as YAML.

    Changing the `kind` of a section clears its other keys from the file, which belong to the old kind.

    Args:
        source: the recipe's values, changed in place.
        overrides: the pairs.
        short_forms: for each section whose short form is not a kind, the function that expands the short form to a mapping.

    Raises:
        ZooError: an override is not of the form `section.key=value`, or its value is not YAML.
    """
    for override, before in zip(overrides, ["", *overrides], strict=False):
        name, equals, text = override.partition("=")
        key: Key = tuple(name.split("."))
        if not equals or not all(key):
            todo = "a value with spaces needs quotes: 'data.root=my photos'" if "=" in before else "e.g. optim.lr=5.0e-4"
            raise ZooError("command line", f"'{override}': expected section.key=value", todo)
        if " #" in text and text[0] not in "'\"[{":
            raise ZooError(name, f"YAML would take the end of '{text}' for a comment", f"write {name}='\"{text}\"'")
        value = parse(text, name)
        parent: dict[str, Any] = source.tree
        section = name.partition(".")[0]
        if section != name and section in parent and short_forms and section in short_forms:
            parent[section] = short_forms[section](parent[section])
        for depth, part in enumerate(key[:-1], start=1):
            child = parent.get(str(part))
            if not isinstance(child, dict):
                if not isinstance(child, str):
                    source.overridden.add(key[:depth])
                # Keep an existing short form (`schedule: linear`) as the `kind`.
                parent[str(part)] = {"kind": child} if isinstance(child, str) else {}
            parent = parent[str(part)]
        if key[-1] == "kind" and parent.get("kind", value) != value:
            for other in [other for other in parent if (*key[:-1], other) not in source.overridden]:
                del parent[other]
            source.mark_overridden(key[:-1])
        parent[str(key[-1])] = value
        source.mark_overridden(key)


def dotted(key: Key) -> str:
    """Return a key in the notation of overrides: `optim.lr`."""
    return ".".join(str(part) for part in key)


def describe(value: Any) -> str:
    """Return a short description of a value for an error."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= SHOWN_LETTERS else text[: SHOWN_LETTERS - 3] + "…"


def write(values: Any) -> str:
    """Return plain values as YAML that reads back to the same values."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=LINE_WIDTH, default_flow_style=None)


def write_value(value: Any) -> str:
    """Return a single value as YAML in one line."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"), default_flow_style=True)
    return text.removesuffix("...\n").strip()


class _Dumper(yaml.SafeDumper):
    """PyYAML's writer with the scalars of YAML 1.2: it quotes a word only if the loader would read it back as another value."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
_Dumper.add_representer(
    float,
    lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", _float_text(value)),
)


def _float_text(value: float) -> str:
    """Return a number with a decimal point: Python writes `1e-05`, which some YAML readers take for a word."""
    text = repr(value)
    return text if "." in text or "e" not in text else text.replace("e", ".0e")

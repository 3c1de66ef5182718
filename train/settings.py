"""Nested frozen dataclasses as plain values and back, and changes of single fields by dotted name.

    plain = to_plain(config)                                      # dicts, lists, numbers, text, None: fit for JSON
    config = from_plain(TrainConfig, plain)
    config = with_settings(config, ["optim.lr=1e-4", "dual.order=second", "ema=none"])

Every field is checked against its declared type; every message names the field in full. A dataclass that may be one of
several is written with its name under `kind`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from harmonize.errors import UsageError

Config = TypeVar("Config")

KIND = "kind"


def to_plain(value: Any) -> Any:
    """Dataclasses as dicts with their class under `kind`, tuples as lists; other values as they are."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            KIND: type(value).__name__,
            **{item.name: to_plain(getattr(value, item.name)) for item in fields(value)},
        }
    if isinstance(value, tuple):
        return [to_plain(one) for one in value]
    return value


def from_plain(of: type[Config], plain: Any, where: str = "") -> Config:
    """The dataclass that `to_plain` wrote, checked.

    Raises:
        UsageError: a field is unknown, missing, or not of its type, or the class refuses the values.
    """
    found: Config = _value(of, plain, where)
    return found


def with_settings(config: Config, settings: Sequence[str]) -> Config:
    """The config with fields changed, each given as dotted.name=value.

    Values are written as true or false, numbers, text, none, or a,b,c for several. All are set before anything is
    checked, so that fields which must agree can be changed together.

    Raises:
        UsageError: no such field (the message says which are alike), or see `from_plain`.
    """
    plain = to_plain(config)
    for setting in settings:
        name, is_given, text = setting.partition("=")
        if not is_given:
            raise UsageError(f"--set {setting}: expected name=value", fix="such as --set optim.lr=1e-4")
        *parents, last = name.strip().split(".")
        place: Any = plain
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place or last == KIND:
            raise _unknown(name, plain)
        if isinstance(place[last], dict) and text != "none":
            raise UsageError(
                f"--set {name}: expected one of its fields", fix=f"such as {_names_under(place[last], name)}"
            )
        place[last] = _Text(text)
    return from_plain(type(config), plain)


class _Text(str):
    """A value from a command line, whose type the field decides."""


def _value(of: Any, plain: Any, where: str) -> Any:
    if get_origin(of) in (Union, UnionType):
        return _one_of(get_args(of), plain, where)
    if is_dataclass(of) and isinstance(of, type):
        return _dataclass(of, plain, where)
    if get_origin(of) is tuple:
        item = get_args(of)
        items = ([] if plain == "" else plain.split(",")) if isinstance(plain, _Text) else plain
        if not isinstance(items, list | tuple):
            raise _wrong(where, "a list", plain)
        kinds = [item[0]] * len(items) if item[1:] == (...,) else list(item)
        if len(kinds) != len(items):
            raise _wrong(where, f"{len(kinds)} values", plain)
        if isinstance(plain, _Text):
            items = [_Text(one) for one in items]
        return tuple(_value(kind, one, f"{where}[{i}]") for i, (kind, one) in enumerate(zip(kinds, items, strict=True)))
    if get_origin(of) is Literal:
        if plain not in get_args(of):
            raise _wrong(where, " or ".join(map(str, get_args(of))), plain)
        return next(one for one in get_args(of) if one == plain)
    return _scalar(of, plain, where)


def _one_of(kinds: tuple[Any, ...], plain: Any, where: str) -> Any:
    if plain is None or (isinstance(plain, _Text) and plain == "none"):
        if NoneType not in kinds:
            raise _wrong(where, "a value", plain)
        return None
    others = [kind for kind in kinds if kind is not NoneType]
    if len(others) == 1:
        return _value(others[0], plain, where)
    name = plain.get(KIND) if isinstance(plain, Mapping) else None
    chosen = next((kind for kind in others if getattr(kind, "__name__", None) == name), None)
    if chosen is None:
        raise _wrong(where, f"{KIND} to be " + " or ".join(kind.__name__ for kind in others), name)
    return _value(chosen, plain, where)


def _dataclass(of: Any, plain: Any, where: str) -> Any:
    if not isinstance(plain, Mapping):
        raise _wrong(where, f"the fields of {of.__name__}", plain)
    types, given = get_type_hints(of), {item.name: item for item in fields(of)}
    for name in plain:
        if name not in given and name != KIND:
            raise _unknown(_join(where, name), dict.fromkeys(given), where)
    if plain.get(KIND, of.__name__) != of.__name__:
        raise _wrong(where, of.__name__, plain[KIND])
    values = {}
    for name, item in given.items():
        if name in plain:
            values[name] = _value(types[name], plain[name], _join(where, name))
        elif item.default is MISSING and item.default_factory is MISSING:
            raise _wrong(_join(where, name), "a value", "none")
    try:
        return of(**values)
    except UsageError as error:
        raise UsageError(f"{where or of.__name__}: {error}", **error.fields) from error


def _scalar(of: Any, plain: Any, where: str) -> Any:
    value = plain
    if isinstance(plain, _Text) and of is not str:
        try:
            value = {"true": True, "false": False}[plain.lower()] if of is bool else of(plain)
        except (KeyError, ValueError) as error:
            raise _wrong(where, _NAMES[of], f"{plain!s}") from error
    if of is float and type(value) is int:
        value = float(value)
    if of is str and isinstance(value, str):
        return str(value)
    if type(value) is not of:
        raise _wrong(where, _NAMES[of], plain)
    if of is float and not math.isfinite(value):
        raise _wrong(where, "a finite number", plain)
    return value


_NAMES: Mapping[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _wrong(where: str, expected: str, found: object) -> UsageError:
    return UsageError(f"{where or 'config'}: expected {expected}, found {found}", field=where)


def _dotted(plain: Any, where: str = "") -> Iterator[str]:
    for name, value in plain.items():
        if name != KIND:
            yield _join(where, name)
            if isinstance(value, dict):
                yield from _dotted(value, _join(where, name))


def _unknown(name: str, plain: Any, where: str = "") -> UsageError:
    known = list(_dotted(plain, where))
    last = name.rpartition(".")[2]
    alike = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    alike += [one for one in known if one not in alike and difflib.get_close_matches(last, [one.rpartition(".")[2]])]
    return UsageError(
        f"{name}: there is no such field",
        fix=f"did you mean {' or '.join(alike[:3])}?" if alike else f"choose one of {', '.join(known[:40])}",
        field=name,
        alike=alike[:3],
    )


def _names_under(plain: Any, where: str) -> str:
    return ", ".join(list(_dotted(plain, where))[:3])

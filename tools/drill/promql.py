"""The part of PromQL that the alerts use, evaluated over samples: enough to see a rule fire, no more.

Not as in Prometheus: `rate` and `increase` do not extrapolate to the ends of their window.
"""

import itertools
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from tools.drill.samples import Labels, Matches, Samples, Vector

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:e\d+)?(?![\w]))|(?P<duration>\d+[smhd])|(?P<name>[a-zA-Z_][\w:]*)"
    r'|(?P<string>"(?:[^"\\]|\\.)*")|(?P<sign>[=!]~|[=!<>]=|[-+*/(){}\[\],=<>]))'
)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LEVELS: Sequence[Sequence[str]] = (
    ("or",),
    ("and", "unless"),
    ("==", "!=", "<=", ">=", "<", ">"),
    ("+", "-"),
    ("*", "/"),
)
"""Operators from the loosest to the tightest."""

_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else float("nan"),
}
_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_AGGREGATED: dict[str, Callable[[list[float]], float]] = {"sum": sum, "max": max, "min": min, "count": len}


class PromqlError(ValueError):
    """The expression is wrong, or uses what is not supported."""


def evaluate(expression: str, samples: Samples) -> Vector | float:
    """Return the value of an expression at the time of the last scrape.

    Raises:
        PromqlError: it can't be read.
    """
    parser = _Parser(_tokens(expression), samples)
    value = parser.binary(0)
    if parser.tokens:
        raise PromqlError(f"unexpected {parser.tokens[0][1]!r} in {expression}")
    return value


def _tokens(expression: str) -> list[tuple[str, str]]:
    found, position, text = [], 0, expression.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise PromqlError(f"{text[position:]!r} can't be read")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


class _Parser:
    """Evaluates while it reads."""

    def __init__(self, tokens: list[tuple[str, str]], samples: Samples) -> None:
        self.tokens = tokens
        self._samples = samples

    def binary(self, level: int) -> Any:
        """Read operators of this level and all tighter ones."""
        if level == len(_LEVELS):
            return self._operand()
        left = self.binary(level + 1)
        while (sign := self._take(*_LEVELS[level])) is not None:
            on = self._labels() if self._take("on") else None
            left = _combined(sign, left, self.binary(level + 1), on=on)
        return left

    def _operand(self) -> Any:
        if self._take("("):
            value = self.binary(0)
            self._expect(")")
            return value
        kind, text = self._next()
        if kind == "number":
            return float(text)
        if kind != "name":
            raise PromqlError(f"unexpected {text!r}")
        if text in _AGGREGATED:
            return self._aggregated(_AGGREGATED[text])
        if self._peek() == "(":
            return self._call(text)
        matches, _ = self._matchers()
        return self._samples.instant(text, matches)

    def _aggregated(self, function: Callable[[list[float]], float]) -> Vector:
        by = self._labels() if self._take("by") else frozenset()
        self._expect("(")
        vector = self.binary(0)
        self._expect(")")
        groups: dict[Labels, list[float]] = {}
        for labels, value in vector.items():
            groups.setdefault(_only(labels, by), []).append(value)
        return {labels: float(function(values)) for labels, values in groups.items()}

    def _call(self, function: str) -> Any:
        self._expect("(")
        if function == "time":
            value: Any = self._samples.now
        elif function in {"rate", "increase"}:
            value = self._growth(per_second=function == "rate")
        elif function == "absent":
            value = self._absent()
        elif function == "histogram_quantile":
            _, share = self._next()
            self._expect(",")
            value = _quantiles(float(share), self.binary(0))
        else:
            raise PromqlError(f"there is no {function} here")
        self._expect(")")
        return value

    def _growth(self, *, per_second: bool) -> Vector:
        _, name = self._next()
        matches, _ = self._matchers()
        self._expect("[")
        _, duration = self._next()
        self._expect("]")
        seconds = int(duration[:-1]) * _SECONDS[duration[-1]]
        grown = {}
        for labels, points in self._samples.range(name, matches, seconds).items():
            if len(points) > 1:
                values = [value for _, value in points]
                # A counter that has become smaller began anew at zero.
                steps = [new - old if new >= old else new for old, new in itertools.pairwise(values)]
                grown[labels] = sum(steps) / (points[-1][0] - points[0][0] if per_second else 1)
        return grown

    def _absent(self) -> Vector:
        _, name = self._next()
        matches, equal = self._matchers()
        return {} if self._samples.instant(name, matches) else {equal: 1.0}

    def _matchers(self) -> tuple[Matches, Labels]:
        """Read `{label="value", ...}`; return the predicate, and the labels that have to be equal."""
        wanted: list[tuple[str, str, str]] = []
        if self._take("{"):
            while not self._take("}"):
                _, label = self._next()
                _, sign = self._next()
                _, text = self._next()
                wanted.append((label, sign, text[1:-1].replace("\\\\", "\\")))
                self._take(",")
        equal = frozenset((label, text) for label, sign, text in wanted if sign == "=")
        return lambda labels: all(
            _fits(labels.get(label, ""), sign, text) for label, sign, text in wanted
        ), equal

    def _labels(self) -> frozenset[str]:
        self._expect("(")
        names = set()
        while not self._take(")"):
            names.add(self._next()[1])
            self._take(",")
        return frozenset(names)

    def _peek(self) -> str | None:
        return self.tokens[0][1] if self.tokens else None

    def _take(self, *texts: str) -> str | None:
        if self.tokens and self.tokens[0][0] != "string" and self.tokens[0][1] in texts:
            return self.tokens.pop(0)[1]
        return None

    def _next(self) -> tuple[str, str]:
        if not self.tokens:
            raise PromqlError("it ends too early")
        return self.tokens.pop(0)

    def _expect(self, text: str) -> None:
        if self._take(text) is None:
            raise PromqlError(f"{text!r} is missing before {self._peek()!r}")


def _fits(value: str, sign: str, text: str) -> bool:
    if sign in {"=", "!="}:
        return (value == text) is (sign == "=")
    return (re.fullmatch(text, value) is not None) is (sign == "=~")


def _only(labels: Labels, names: frozenset[str]) -> Labels:
    return frozenset(pair for pair in labels if pair[0] in names)


def _combined(sign: str, left: Any, right: Any, *, on: frozenset[str] | None) -> Any:
    if sign in _COMPARED:
        return _filtered(_COMPARED[sign], left, right)
    if sign in _ARITHMETIC:
        return _calculated(_ARITHMETIC[sign], left, right)
    theirs = {_key(labels, on) for labels in right}
    if sign == "or":
        mine = {_key(labels, on) for labels in left}
        return {**left, **{labels: value for labels, value in right.items() if _key(labels, on) not in mine}}
    return {
        labels: value for labels, value in left.items() if (_key(labels, on) in theirs) is (sign == "and")
    }


def _key(labels: Labels, on: frozenset[str] | None) -> Labels:
    return labels if on is None else _only(labels, on)


def _filtered(holds: Callable[[float, float], bool], left: Vector, right: Any) -> Vector:
    if isinstance(right, float):
        return {labels: value for labels, value in left.items() if holds(value, right)}
    return {
        labels: value for labels, value in left.items() if labels in right and holds(value, right[labels])
    }


def _calculated(function: Callable[[float, float], float], left: Any, right: Any) -> Any:
    if isinstance(left, float) and isinstance(right, float):
        return function(left, right)
    if isinstance(right, float):
        return {labels: function(value, right) for labels, value in left.items()}
    if isinstance(left, float):
        return {labels: function(left, value) for labels, value in right.items()}
    return {labels: function(value, right[labels]) for labels, value in left.items() if labels in right}


def _quantiles(share: float, buckets: Vector) -> Vector:
    """Return a quantile of each histogram, linear within its bucket, as Prometheus does."""
    histograms: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bound = float(dict(labels)["le"])
        rest = frozenset(pair for pair in labels if pair[0] != "le")
        histograms.setdefault(rest, []).append((bound, count))
    return {labels: _quantile(share, sorted(pairs)) for labels, pairs in histograms.items()}


def _quantile(share: float, pairs: list[tuple[float, float]]) -> float:
    total = pairs[-1][1]
    if not total:
        return float("nan")
    rank, below, counted = share * total, 0.0, 0.0
    for bound, count in pairs:
        if count >= rank:
            if bound == float("inf"):
                return below
            return below + (bound - below) * (rank - counted) / (count - counted or 1)
        below, counted = bound, count
    return below

"""Finds a text in a network of rules, and what it means, in polynomial time.

It is Earley's algorithm over networks. An item says that a rule, begun at one place of the text,
has come to a state at another; each is kept once, with the cheapest way that leads to it. So no
grammar needs more than the cube of the text's length, left recursion ends, and what is ambiguous
has the same meaning always: the least garbage, then the heaviest, then the first alternatives.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from .expansion import GrammarError, Json
from .network import GARBAGE_COST, Network
from .semantics import RuleScope, Script, bounded_copy

MAX_WORK = 50_000
"""Steps of one match, a few microseconds each: what people say takes some hundreds."""


class Budget:
    """The work that may be done yet, by one match or by several that belong together."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_WORK) -> None:
        self.left = left


class _Key(NamedTuple):
    """An item's place in the chart."""

    at: int
    state: int
    origin: int


@dataclass(slots=True)
class _Item:
    """How an item was reached: from another one, by a tag, a rule, or words."""

    cost: float
    before: _Key | None
    tag: Script | None = None
    rule: _Key | None = None


class Chart:
    """All that can be made of a text by a network. GrammarError: it would take too much work.

    ``budget`` is that of all readings of the text; what this one takes is taken from it.
    """

    def __init__(self, network: Network, text: str, budget: Budget) -> None:
        self._network = network
        self._states = network.states
        self._text = text
        self._budget = budget
        self._items: dict[_Key, _Item] = {}
        self._agendas: dict[int, deque[_Key]] = {}
        # By a rule's start, and where it began: who waits for it, and where it has ended.
        self._waiting: dict[tuple[int, int], dict[tuple[_Key, int], None]] = {}
        self._ended: dict[tuple[int, int], dict[_Key, None]] = {}
        self._offer(_Key(0, network.start, 0), _Item(0.0, None))
        for at in range(len(text) + 1):
            agenda = self._agendas.get(at, ())
            while agenda:
                self._advance(agenda.popleft())

    @property
    def end(self) -> _Key | None:
        """The item that says that all of the text has matched."""
        key = _Key(len(self._text), self._network.end, 0)
        return key if key in self._items else None

    def more(self) -> bool:
        """Whether more text could follow."""
        last = len(self._text)
        reached = (self._states[key.state] for key in self._items if key.at == last)
        return any(state.words or state.garbage is not None for state in reached)

    def _offer(self, key: _Key, item: _Item) -> None:
        """A way to an item: taken if it is the first or the cheapest.

        It is never dearer than the items that it comes from, so a cheaper way cannot lead through
        the item itself: the ways back from an item always end.
        """
        self._budget.left -= 1
        if self._budget.left < 0:
            raise GrammarError("matching takes too much work: make the grammar less ambiguous")
        known = self._items.get(key)
        if known is None or item.cost < known.cost:
            self._items[key] = item
            self._agendas.setdefault(key.at, deque()).append(key)

    def _advance(self, key: _Key) -> None:
        cost = self._items[key].cost
        state = self._states[key.state]
        for to, more, tag in state.free:
            self._offer(_Key(key.at, to, key.origin), _Item(cost + more, key, tag))
        for start, to in state.calls:
            self._call(key, start, to)
        if state.ends is not None:
            self._end(key, state.ends)
        for length in state.lengths:
            self._take(key, cost, length)
        if state.garbage is not None and (end := self._word_end(key.at)) is not None:
            self._offer(_Key(end, state.garbage, key.origin), _Item(cost + GARBAGE_COST, key))

    def _call(self, key: _Key, start: int, to: int) -> None:
        self._waiting.setdefault((start, key.at), {})[key, to] = None
        self._offer(_Key(key.at, start, key.at), _Item(0.0, None))
        for ended in self._ended.get((start, key.at), ()):
            self._resume(key, to, ended)

    def _end(self, key: _Key, start: int) -> None:
        self._ended.setdefault((start, key.origin), {})[key] = None
        for waiting, to in list(self._waiting.get((start, key.origin), ())):
            self._resume(waiting, to, key)

    def _resume(self, waiting: _Key, to: int, ended: _Key) -> None:
        cost = self._items[waiting].cost + self._items[ended].cost
        self._offer(_Key(ended.at, to, waiting.origin), _Item(cost, waiting, rule=ended))

    def _take(self, key: _Key, cost: float, length: int) -> None:
        end = key.at + length
        found = self._states[key.state].words.get(self._text[key.at : end])
        if not found or end > len(self._text):
            return
        if self._text[end : end + 1] == " ":
            end += 1
        elif end < len(self._text) and not self._network.joined:
            return
        for to, more in found:
            self._offer(_Key(end, to, key.origin), _Item(cost + more, key))

    def _word_end(self, at: int) -> int | None:
        """Where the next word begins, if one begins here; keys are one each."""
        if at >= len(self._text) or (
            self._network.mode == "voice" and at and self._text[at - 1] != " "
        ):
            return None
        if self._network.mode == "dtmf":
            return at + 1
        space = self._text.find(" ", at)
        return len(self._text) if space < 0 else space + 1

    def value(self, end: _Key) -> Json:
        """What the rule that ends there means. GrammarError: a tag cannot be run.

        Rules that were matched within others come first, each once, however often the grammar
        can take it.
        """
        values: dict[_Key, Json] = {}
        pending = [end]
        while pending:
            steps = self._steps(pending[-1])
            missing = [item.rule for item in steps if item.rule and item.rule not in values]
            if missing:
                pending.extend(missing)
            else:
                key = pending.pop()
                values[key] = self._run(key, steps, values)
        return bounded_copy(values[end])

    def _steps(self, end: _Key) -> list[_Item]:
        """How an item was reached, from its rule's start, leaving out what only took words."""
        steps = []
        at: _Key | None = end
        while at is not None:
            item = self._items[at]
            if item.tag or item.rule:
                steps.append(item)
            at = item.before
        return steps[::-1]

    def _text_of(self, key: _Key) -> str:
        return self._text[key.origin : key.at].strip()

    def _run(self, key: _Key, steps: list[_Item], values: dict[_Key, Json]) -> Json:
        """Run a rule's tags; without any it means what the last rule in it means, or else its
        text (SISR 1.0, section 3)."""
        scope = RuleScope(self._text_of(key))
        tags = 0
        for item in steps:
            if item.tag:
                item.tag.run(scope)
                tags += 1
            elif item.rule:
                start = self._states[item.rule.state].ends
                name = self._network.names[-1 if start is None else start]
                scope.matched(name, values[item.rule], self._text_of(item.rule))
        if tags:
            return scope.out
        return scope.latest()[0] if scope.rules else scope.text

"""Looks in a compiled script for what cannot go well, though each step by itself is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..grammar.expansion import GrammarError
from ..grammar.model import Grammar
from ..grammar.text import normalize
from .compiled import Compiled
from .model import (
    Ask,
    CallFlow,
    FilePrompt,
    Goto,
    HandOver,
    HangUp,
    Http,
    Record,
    Return,
    Script,
    Step,
    Stream,
    Transfer,
)
from .nearest import suggestion
from .place import Place
from .problems import Problem, Problems
from .variables import check_variables
from .walk import WAITS, leads_to, parts, reachable, ways

END = None
"""The end of a flow, as the target of a way."""
Graph = dict[str, list[str | None]]
MOST_COMPARISONS = 20_000
"""So many words of handlers are tried at grammars; a script that has more is told so."""


def check(compiled: Compiled) -> tuple[Problem, ...]:
    """All that is wrong with a script beyond its shape."""
    script = compiled.script
    assert script is not None
    problems = Problems()
    live = _check_reach(script, problems)
    steps = [step for id_, step in script.steps.items() if id_ in live]
    _check_arguments(script, steps, problems)
    _check_ends(script, steps, problems)
    _check_left(script, steps, problems)
    _Loops(script, live, problems).check()
    _check_recursion(script, live, problems)
    _check_files(script, problems)
    _check_handlers(compiled, script.locale, steps, problems)
    check_variables(compiled, live, problems)
    return tuple(problems.found)


def _handler_entries(script: Script) -> Iterator[str | None]:
    flows = (handler.flow for handler in script.handlers.values())
    yield from (script.flows[flow].entry for flow in flows if flow is not None)


def _check_reach(script: Script, problems: Problems) -> set[str]:
    """The steps that are ever reached; what is not is told once for each stretch."""
    live = reachable(script, [script.flows[script.start].entry, *_handler_entries(script)])
    dead = [step for id_, step in script.steps.items() if id_ not in live]
    used = {script.steps[id_].flow for id_ in live}
    for flow in script.flows.values():
        if flow.name not in used:
            cause = f"nothing leads to the flow `{flow.name}`"
            problems.warning("unused-flow", flow.place, cause, "Go there, or take it out")
    behind = {way.to for step in dead for way in ways(step)}
    for step in dead:
        if step.flow in used and step.id not in behind:
            cause = "this step is never reached"
            remedy = "What stands before it always leads elsewhere"
            problems.warning("unreachable", step.place, cause, remedy)
    return live


def _check_arguments(script: Script, steps: Iterable[Step], problems: Problems) -> None:
    """Arguments are those that the flow has, and flows that have some are called."""
    begins = [("the script starts", script.start, script.flows[script.start].place)]
    for handler in script.handlers.values():
        if handler.flow is not None:
            begins.append((f"the handler `{handler.name}` goes", handler.flow, handler.place))
    for what, flow, place in begins:
        if script.flows[flow].parameters:
            cause = f"{what} at `{flow}`, which has parameters"
            problems.error("arguments", place, cause, "Only `call` gives arguments")
    for step in steps:
        if isinstance(step, Goto) and script.flows[step.to_flow].parameters:
            cause = f"`{step.to_flow}` has parameters, which `goto` does not give"
            problems.error("arguments", step.place, cause, "Take `call`")
        elif isinstance(step, CallFlow):
            _check_call(script, step, problems)


def _check_call(script: Script, step: CallFlow, problems: Problems) -> None:
    wanted = script.flows[step.to_flow].parameters
    given = [name for name, _ in step.arguments]
    for name, expression in step.arguments:
        if name not in wanted:
            cause = f"`{step.to_flow}` has no parameter `{name}`{suggestion(name, wanted)}"
            problems.error("arguments", expression.place, cause)
    missing = [name for name in wanted if name not in given]
    if missing:
        cause = f"`{step.to_flow}` needs `{'`, `'.join(missing)}`"
        problems.error("arguments", step.place, cause, "Give it in `with:`")


def _check_ends(script: Script, steps: Iterable[Step], problems: Problems) -> None:
    """Where a call would end without a word: nobody said what is done when something fails."""
    unanswered = not {"silence", "no_match"} <= script.handlers.keys()
    unhandled = "error" not in script.handlers
    for step in steps:
        if isinstance(step, Ask) and step.retries.then is None and unanswered:
            cause = "nothing says what is done when this is not answered: the call just ends"
            remedy = "Give `retries: {then: ...}`, or handlers `silence` and `no_match`"
            problems.warning("dead-end", step.place, cause, remedy)
        branch = isinstance(step, Http | Transfer | Stream) and not step.has_failed_branch
        if unhandled and (branch or isinstance(step, Record)):
            cause = "nothing says what is done when this fails: the call just ends"
            remedy = "Give a handler `error`" + (", or `failed` here" if branch else "")
            problems.warning("dead-end", step.place, cause, remedy)


def _check_left(script: Script, steps: Iterable[Step], problems: Problems) -> None:
    """When the person has left, nobody answers."""
    handler = script.handlers.get("hang_up")
    for step in steps:
        if (
            handler is not None
            and step.flow == handler.flow
            and isinstance(step, (*WAITS, HandOver))
        ):
            cause = "this waits for somebody who has left: the conversation ends here"
            remedy = "The handler `hang_up` can set variables and ask web services"
            problems.warning("nobody-there", step.place, cause, remedy)


class _Loops:
    """Loops that nobody can leave: neither the person, nor by a condition."""

    def __init__(self, script: Script, live: set[str], problems: Problems) -> None:
        self._script = script
        self._steps = {id_: script.steps[id_] for id_ in live}
        self._problems = problems
        self._within: dict[str, set[str]] = {}

    def check(self) -> None:
        """Look for loops, and for those that are there for somebody who says nothing."""
        looping = self._loops(self._whole_graph(), lambda step: not self._has(step, WAITS))
        for loop in looping:
            first = min((self._steps[id_] for id_ in loop), key=lambda step: step.place)
            cause = "this goes round without end: nothing in it waits, and nothing leads out"
            remedy = "Give it a condition that ends it, or a question"
            self._problems.error("endless-loop", first.place, cause, remedy)
        for loop in self._loops(self._silent_graph(), lambda step: True):
            questions = [id_ for id_ in loop if self._has(self._steps[id_], (Ask,))]
            if questions:
                first = min((self._steps[id_] for id_ in questions), key=lambda step: step.place)
                cause = "somebody who says nothing is asked for ever"
                remedy = "Let `retries: {then: ...}` lead out of the loop, or count its rounds"
                self._problems.error("endless-retries", first.place, cause, remedy)

    def _loops(self, graph: Graph, counts: Callable[[Step], bool]) -> Iterator[list[str]]:
        """Circles of the graph without a way out, if all of their steps count."""
        for ring in rings(graph):
            inside = set(ring)
            leaves = any(to not in inside for id_ in ring for to in graph[id_])
            ends = any(self._has(self._steps[id_], (HangUp, HandOver)) for id_ in ring)
            if not leaves and not ends and all(counts(self._steps[id_]) for id_ in ring):
                yield ring

    def _has(self, step: Step, kinds: tuple[type[Step], ...]) -> bool:
        """Whether a step is of a kind, or calls a flow that has one."""
        if not isinstance(step, CallFlow):
            return isinstance(step, kinds)
        flow = step.to_flow
        if flow not in self._within:
            self._within[flow] = reachable(self._script, [self._script.flows[flow].entry])
        return any(isinstance(self._script.steps[id_], kinds) for id_ in self._within[flow])

    def _whole_graph(self) -> Graph:
        graph: Graph = {}
        for id_, step in self._steps.items():
            graph[id_] = [way.to for way in ways(step)]
            if isinstance(step, Goto):
                graph[id_].append(self._script.flows[step.to_flow].entry)
        return graph

    def _silent_graph(self) -> Graph:
        """The ways of somebody who answers nothing."""
        graph = self._whole_graph()
        silence = self._script.handlers.get("silence")
        flow = None if silence is None else silence.flow
        given_up = END if flow is None else self._script.flows[flow].entry
        for id_, step in self._steps.items():
            if isinstance(step, Ask):
                # A handler is entered once at a time: within its own flow it is the end.
                otherwise = END if step.flow == flow else given_up
                graph[id_] = [step.retries.then or otherwise]
        return graph


def rings(graph: Graph) -> Iterator[list[str]]:
    """The strongly connected parts of a graph that have a circle (Tarjan, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, rest = work[-1]
            child = next((to for to in rest if to is not None and to in graph), None)
            if child is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    ring = [stack.pop()]
                    while ring[-1] != node:
                        ring.append(stack.pop())
                    on_stack.difference_update(ring)
                    if len(ring) > 1 or node in graph[node]:
                        yield ring
            elif child not in index:
                index[child] = low[child] = len(index)
                stack.append(child)
                on_stack.add(child)
                work.append((child, iter(graph[child])))
            elif child in on_stack:
                low[node] = min(low[node], index[child])


def _check_recursion(script: Script, live: set[str], problems: Problems) -> None:
    """Flows that call themselves on every way before they end."""
    ending: set[str] = set()
    while True:
        more = {name for name in script.flows if _can_end(script, name, ending)} - ending
        if not more:
            break
        ending |= more
    for id_ in sorted(live):
        step = script.steps[id_]
        if isinstance(step, CallFlow) and step.to_flow not in ending:
            within = reachable(script, [script.flows[step.to_flow].entry])
            if id_ in within:
                cause = f"`{step.to_flow}` calls itself on every way, without end"
                remedy = "Put the call behind a condition"
                problems.error("endless-recursion", step.place, cause, remedy)


def _can_end(script: Script, name: str, ending: set[str]) -> bool:
    """Whether a flow comes to an end, by what is known of others so far."""
    waiting, seen = [script.flows[name].entry], set()
    while waiting:
        id_ = waiting.pop()
        if id_ is None:
            return True
        if id_ in seen:
            continue
        seen.add(id_)
        step = script.steps[id_]
        if isinstance(step, Return | HangUp | HandOver):
            return True
        flow = leads_to(step)
        if isinstance(step, Goto) and flow in ending:
            return True
        if flow is None or (isinstance(step, CallFlow) and flow in ending):
            waiting += [way.to for way in ways(step)]
    return False


def _check_files(script: Script, problems: Problems) -> None:
    """Sound files that are named outright are there."""
    for step in script.steps.values():
        for part in parts(step):
            if not isinstance(part, FilePrompt) or part.path.constant is None:
                continue
            path = Path(script.base) / part.path.constant
            if not path.is_file():
                what = "is a folder" if path.is_dir() else "is not there"
                cause = f"the sound file `{part.path.constant}` {what}"
                remedy = f"It is looked for in {script.base}"
                problems.error("missing-prompt", part.path.place, cause, remedy)


def _check_handlers(
    compiled: Compiled, locale: str, steps: Iterable[Step], problems: Problems
) -> None:
    """What opens a handler opens no other one, and is no answer to a question."""
    phrases: dict[str, str] = {}
    keys: dict[str, str] = {}
    for name, words in compiled.words.items():
        for phrase, place in words.phrases:
            heard = normalize(phrase, "voice", locale)
            if heard:
                _check_taken(heard, name, phrases, place, problems)
        if words.key is not None:
            _check_taken(words.key[0], name, keys, words.key[1], problems)
    _compare(compiled, steps, problems)


def _compare(compiled: Compiled, steps: Iterable[Step], problems: Problems) -> None:
    """Try what opens handlers at the grammars of all questions."""
    fits = _Fits()
    for step in steps:
        for name, words in compiled.words.items() if isinstance(step, Ask) else ():
            assert isinstance(step, Ask)
            for phrase, _ in words.phrases:
                if fits.whole(step.input.speech, phrase):
                    _collides(step, name, f"`{phrase}`", problems)
            if words.key is not None:
                _check_key(step, name, words.key[0], fits, problems)
        if fits.asked > MOST_COMPARISONS:
            cause = "the questions from here on were not compared with the handlers' phrases"
            remedy = f"There are more than {MOST_COMPARISONS} to compare: take fewer phrases"
            problems.warning("too-large", step.place, cause, remedy)
            return


def _check_taken(
    word: str, name: str, known: dict[str, str], place: Place, problems: Problems
) -> None:
    other = known.setdefault(word, name)
    if other != name:
        cause = f"`{word}` opens the handler `{other}` already"
        problems.error("collision", place, cause, "Take something else")


def _check_key(step: Ask, name: str, key: str, fits: _Fits, problems: Problems) -> None:
    if fits.whole(step.input.digits, key):
        _collides(step, name, f"the key {key}", problems)
    elif fits.begin(step.input.digits, key):
        cause = f"the key {key} opens the handler `{name}`, and answers to this may begin with it"
        remedy = "Take another key for the handler, such as *"
        problems.warning("key-prefix", step.place, cause, remedy)


def _collides(step: Ask, name: str, word: str, problems: Problems) -> None:
    cause = f"{word} is an answer to this, and opens the handler `{name}` as well"
    problems.error("collision", step.place, cause, "Take something else for one of them")


class _Fits:
    """What fits grammars; scripts have the same ones again and again, so that it is kept."""

    def __init__(self) -> None:
        self.asked = 0
        self._known: dict[tuple[str, str], bool] = {}

    def whole(self, grammar: Grammar | None, text: str) -> bool:
        """Whether a text fits."""
        return grammar is not None and self._ask(grammar, text, lambda: bool(grammar.match(text)))

    def begin(self, grammar: Grammar | None, keys: str) -> bool:
        """Whether something that begins with these keys fits."""
        return grammar is not None and self._ask(
            grammar, f"{keys}...", lambda: grammar.progress(keys)[1]
        )

    def _ask(self, grammar: Grammar, text: str, ask: Callable[[], bool]) -> bool:
        known = self._known.get((grammar.id, text))
        if known is None:
            self.asked += 1
            try:
                known = ask()
            except GrammarError:
                known = False
            self._known[grammar.id, text] = known
        return known

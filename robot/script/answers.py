"""Compiles what is taken for an answer: grammars for speech and for keys, and their timing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import cast

from ..grammar import amounts, builders, dates, srgs_abnf, srgs_xml, times
from ..grammar.expansion import GrammarError, Mode
from ..grammar.model import Grammar
from ..grammar.text import normalize
from .forms import Form, Reader
from .model import By, Input, Json, Timing
from .nearest import suggestion
from .place import Place
from .prompting import inside
from .source import Entry, Items, Node, Scalar, Table

ANSWER_KEYS = ("listen", "timing", "confidence", "finish_key")
TIMING = ("no_input", "between_digits", "end_of_speech", "longest")
TYPES = (
    "digits",
    "number",
    "scale",
    "yes_no",
    "date",
    "time",
    "amount",
    "choices",
    "grammar",
    "text",
)
BARE_TYPES = ("digits", "number", "yes_no", "date", "time", "text")
MOST_GRAMMAR_BYTES = 1 << 20
OPTION = ("key", "phrases", "value", "then")
LISTEN = ("both", "speech", "digits")
BY = ("mrcp", "local", "stream")
KEYS = frozenset("0123456789*#ABCD")
HIGHEST_NUMBER = 999_999
MOST_OPTIONS = 200


@dataclass(frozen=True, slots=True)
class Words:
    """How one thing can be answered: phrases and a key, each with its place."""

    name: str
    phrases: tuple[tuple[str, Place], ...] = ()
    key: tuple[str, Place] | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a menu. ``then`` is its branch as it was written."""

    name: str
    value: Json
    words: Words
    then: Node | None


class AnswerReader:
    """Reads answers. Files of grammars are in ``folder``, and are kept in ``files``."""

    def __init__(self, reader: Reader, locale: str, folder: Path) -> None:
        self._reader = reader
        self._problems = reader.problems
        self._locale = locale
        self._folder = folder
        self.files: dict[str, bytes] = {}

    def answer(self, form: Form) -> Input:
        """What ``answer`` of a question says."""
        node = form.get("answer")
        if node is None:
            return Input()
        kind, value = self._kind(node)
        if kind is None:
            return Input()
        if kind == "text":
            return self._finished(form, Input(free=True))
        if kind == "choices":
            options = self._options(value or node, branches=False)
            return self._finished(form, self._of_words(form, options, node.place))
        if kind == "grammar":
            return self._finished(form, self._of_files(value or node))
        return self._finished(form, self._of_type(form, kind, value, node))

    def yes_no(self, form: Form) -> Input:
        """What ``confirm`` takes."""
        return self._finished(form, self._built(form, "yes_no", (), form.place))

    def options(self, form: Form) -> tuple[Input, tuple[Option, ...]]:
        """What ``choose`` takes, and where it leads."""
        node = form.get("options")
        options = () if node is None else self._options(node, branches=True)
        if not options:
            return Input(), ()
        return self._finished(
            form, self._of_words(form, options, form.place_of("options"))
        ), options

    def handler(self, name: str, form: Form) -> tuple[Input | None, Words]:
        """What opens a handler at any question."""
        words = self._words(name, form, ())
        if not words.phrases and words.key is None:
            return None, words
        option = Option(name, name, words, None)
        return self._of_words(Form(Table(form.place), form.what), (option,), form.place), words

    def by(self, form: Form) -> By | None:
        """Who recognizes."""
        node = form.get("by")
        found = None if node is None else self._reader.one_of(node, BY, "`by`")
        return cast(By | None, found)

    def keys(self, node: Node) -> str | None:
        """Keys of a telephone."""
        text = self._reader.text(node, "keys", 16)
        if text is None or set(text) <= KEYS:
            return text
        cause = f"`{text}` are no keys of a telephone"
        self._problems.error("wrong-value", node.place, cause, "There are 0 to 9, * and #")
        return None

    # Types.

    def _kind(self, node: Node) -> tuple[str | None, Node | None]:
        """The type of an answer, and what it says more closely."""
        if isinstance(node, Scalar):
            text = self._reader.one_of(node, TYPES, "`answer`")
            if text is not None and text not in BARE_TYPES:
                cause = f"`answer: {text}` does not say enough"
                remedy = f"Write it as `answer: {{{text}: ...}}`"
                self._problems.error("wrong-value", node.place, cause, remedy)
                return None, None
            return text, None
        if isinstance(node, Table) and len(node.entries) == 1:
            entry = next(iter(node.entries.values()))
            if entry.key in TYPES:
                return entry.key, entry.value
            near = suggestion(entry.key, TYPES)
            cause = f"there is no type of answer `{entry.key[:60]}`{near}"
            remedy = "" if near else f"There are: {', '.join(TYPES)}"
            self._problems.error("wrong-value", entry.place, cause, remedy)
            return None, None
        self._reader.wrong(node, "one type of answer", f"There are: {', '.join(TYPES)}")
        return None, None

    def _of_type(self, form: Form, kind: str, value: Node | None, node: Node) -> Input:
        if kind == "digits":
            return self._digits(form, value, node)
        if kind in ("number", "scale"):
            low, high = self._range(value, kind, 0, HIGHEST_NUMBER)
            return self._built(form, kind, (low, high), node.place)
        if kind == "amount" and value is not None:
            currency = self._reader.text(value, "a currency", 3)
            return self._built(form, kind, (currency,), node.place) if currency else Input()
        if value is not None and not (isinstance(value, Scalar) and value.value is None):
            cause = f"`{kind}` takes nothing more"
            self._problems.error("wrong-value", value.place, cause, f"Write `answer: {kind}`")
        return self._built(form, kind, (), node.place)

    def _digits(self, form: Form, value: Node | None, node: Node) -> Input:
        least, most = 1, 20
        if isinstance(value, Scalar):
            least = most = self._reader.integer(value, "`digits`", 1, 64) or 1
        elif value is not None:
            least, most = self._range(value, "digits", 1, 64, usual=(1, 20))
        key = self._reader.optional(form, "finish_key", self.keys)
        end = "#" if key is None else key
        if len(end) > 1:
            place = form.place_of("finish_key")
            self._problems.error("wrong-value", place, "`finish_key` is one key")
            end = "#"
        return self._built(form, "digits", (least, most, end), node.place)

    def _range(
        self,
        node: Node | None,
        what: str,
        least: int,
        most: int,
        usual: tuple[int, int] | None = None,
    ) -> tuple[int, int]:
        low, high = usual or (least, most)
        form = None if node is None else self._reader.form(node, ("min", "max"), f"`{what}`")
        if form is None:
            return low, high

        def bound(key: str, otherwise: int) -> int:
            found = self._reader.optional(
                form, key, lambda item: self._reader.integer(item, f"`{key}`", least, most)
            )
            return otherwise if found is None else found

        low, high = bound("min", low), bound("max", high)
        if low > high:
            cause = f"`min` is {low}, more than `max`, which is {high}"
            self._problems.error("wrong-value", form.place, cause)
            return high, low
        return low, high

    def _built(self, form: Form, kind: str, given: tuple[int | str, ...], place: Place) -> Input:
        """Grammars of a builder, for the ways of answering that are open."""
        made: dict[Mode, Grammar] = {}
        for mode in self._modes(form):
            try:
                made[mode] = _build(kind, given, self._locale, mode)
            except GrammarError as error:
                remedy = "Take `listen: digits`, or give phrases by `choices`"
                self._problems.error(
                    "grammar", place, str(error), remedy if mode == "voice" else ""
                )
        return Input(made.get("voice"), made.get("dtmf"))

    def _modes(self, form: Form) -> tuple[Mode, ...]:
        node = form.get("listen")
        found = None if node is None else self._reader.one_of(node, LISTEN, "`listen`")
        if found == "speech":
            return ("voice",)
        return ("dtmf",) if found == "digits" else ("voice", "dtmf")

    # Words of the author's.

    def _options(self, node: Node, *, branches: bool) -> tuple[Option, ...]:
        options = []
        for entry in self._reader.entries(node, "options", MOST_OPTIONS):
            option = self._option(entry, branches=branches)
            if option is not None:
                options.append(option)
        self._check_collisions([option.words for option in options])
        return tuple(options)

    def _option(self, entry: Entry, *, branches: bool) -> Option | None:
        name = entry.key
        if not name.replace("_", "").replace("-", "").isalnum() or len(name) > 60:
            cause = f"`{name[:60]}` cannot be the name of an option"
            remedy = "Take one word for it, and give what people say in `phrases:`"
            self._problems.error("name", entry.place, cause, remedy)
            return None
        node = entry.value
        if not isinstance(node, Table):
            return Option(name, name, self._short_words(entry), None)
        known = OPTION if branches else OPTION[:-1]
        form = self._reader.form(node, known, f"the option `{name}`")
        if form is None:
            return None
        words = self._words(name, form, _own_phrase(entry))
        return Option(name, self._option_value(form, name), words, form.get("then"))

    def _short_words(self, entry: Entry) -> Words:
        """How an option is answered that has a key alone, or phrases alone, or nothing."""
        node = entry.value
        if isinstance(node, Scalar) and node.value is None:
            return Words(entry.key, _own_phrase(entry))
        if isinstance(node, Scalar) and set(node.text) <= KEYS:
            return Words(entry.key, _own_phrase(entry), (node.text, node.place))
        return Words(entry.key, self._phrases(node))

    def _option_value(self, form: Form, name: str) -> Json:
        node = form.get("value")
        if node is None:
            return name
        if not isinstance(node, Scalar):
            self._reader.wrong(node, "a text, a number or a truth value")
            return name
        return node.value

    def _words(self, name: str, form: Form, own: tuple[tuple[str, Place], ...]) -> Words:
        node, key = form.get("phrases"), form.get("key")
        phrases = own if node is None else self._phrases(node)
        typed = None if key is None else self.keys(key)
        return Words(name, phrases, None if typed is None or key is None else (typed, key.place))

    def _phrases(self, node: Node) -> tuple[tuple[str, Place], ...]:
        items = self._reader.items(node, "phrases", 200) if isinstance(node, Items) else (node,)
        found = ((self._reader.text(item, "a phrase", 200), item.place) for item in items)
        return tuple((text, place) for text, place in found if text is not None)

    def _check_collisions(self, all_words: Iterable[Words]) -> None:
        """Two options that are answered by the same words or keys cannot be told apart."""
        phrases: dict[str, str] = {}
        keys: dict[str, str] = {}
        for words in all_words:
            for phrase, place in words.phrases:
                heard = normalize(phrase, "voice", self._locale)
                other = phrases.setdefault(heard, words.name) if heard else words.name
                if other != words.name:
                    cause = f"`{phrase}` is said for `{other}` already"
                    self._problems.error("collision", place, cause, "Take another phrase")
            if words.key is not None:
                self._check_key(words.key, words.name, keys)

    def _check_key(self, key: tuple[str, Place], name: str, keys: dict[str, str]) -> None:
        typed, place = key
        if typed in keys:
            cause = f"the key {typed} is that of `{keys[typed]}` already"
            self._problems.error("collision", place, cause, "Take another key")
            return
        longer = [known for known in keys if known.startswith(typed) or typed.startswith(known)]
        if longer:
            cause = f"the keys {typed} and {longer[0]} (`{keys[longer[0]]}`) begin alike"
            remedy = "The shorter one is taken only after a pause: make them the same length"
            self._problems.warning("key-prefix", place, cause, remedy)
        keys[typed] = name

    def _of_words(self, form: Form, options: tuple[Option, ...], place: Place) -> Input:
        made: dict[Mode, Grammar] = {}
        rows = [
            (
                option.value,
                tuple(phrase for phrase, _ in option.words.phrases),
                option.words.key[0] if option.words.key else None,
            )
            for option in options
        ]
        for mode in self._modes(form):
            if not any(row[2] if mode == "dtmf" else row[1] for row in rows):
                continue
            try:
                made[mode] = builders.choices(rows, self._locale, mode)
            except GrammarError as error:
                self._problems.error("grammar", place, str(error))
        if not made and options:
            cause = "nothing can be answered here"
            self._problems.error("grammar", place, cause, "Give phrases, or keys")
        return Input(made.get("voice"), made.get("dtmf"))

    # Grammars in files.

    def _of_files(self, node: Node) -> Input:
        if isinstance(node, Scalar):
            grammar = self._file(node)
            if grammar is None:
                return Input()
            return Input(speech=grammar) if grammar.mode == "voice" else Input(digits=grammar)
        form = self._reader.form(node, ("speech", "digits"), "`grammar`")
        if form is None:
            return Input()
        return Input(
            self._reader.optional(form, "speech", lambda item: self._file(item, "voice")),
            self._reader.optional(form, "digits", lambda item: self._file(item, "dtmf")),
        )

    def _file(self, node: Node, mode: Mode | None = None) -> Grammar | None:
        name = self._reader.text(node, "the name of a grammar's file")
        if name is None:
            return None
        try:
            data = self._read(name)
            read = srgs_abnf.read if data.startswith(b"#ABNF") else srgs_xml.read
            grammar = read(data, locale=self._locale)
        except OSError as error:
            cause = f"the grammar `{name}` cannot be read: {error.strerror or error}"
            self._problems.error("missing-file", node.place, cause)
            return None
        except GrammarError as error:
            self._problems.error("grammar", node.place, f"`{name}`: {error}")
            return None
        if mode is not None and grammar.mode != mode:
            cause = f"`{name}` is a grammar for {'keys' if mode == 'voice' else 'speech'}"
            self._problems.error("grammar", node.place, cause)
        return grammar

    def _read(self, name: str) -> bytes:
        if not inside(name):
            raise OSError(None, "it lies outside of the script's folder")
        with (self._folder / name).open("rb") as file:
            data = file.read(MOST_GRAMMAR_BYTES + 1)
        if len(data) > MOST_GRAMMAR_BYTES:
            raise OSError(None, "it has more than 1 MiB")
        self.files[name] = data
        return data

    # What is common to all.

    def _finished(self, form: Form, input_: Input) -> Input:
        """The input with its timing and confidence."""
        confidence = self._reader.optional(
            form, "confidence", lambda node: self._reader.number(node, "`confidence`", 0, 1)
        )
        if confidence is not None:
            input_ = replace(input_, min_confidence=confidence)
        node = form.get("timing")
        given = None if node is None else self._reader.form(node, TIMING, "`timing`")
        return input_ if given is None else replace(input_, timing=self._timing(given))

    def _timing(self, form: Form) -> Timing:
        usual = Timing()

        def time(key: str, usual_ms: int, most_ms: int) -> int:
            read: Callable[[Node], int | None] = lambda node: self._reader.duration_ms(  # noqa: E731
                node, f"`{key}`", 100, most_ms
            )
            found = self._reader.optional(form, key, read)
            return usual_ms if found is None else found

        return Timing(
            time("no_input", usual.no_input_ms, 120_000),
            time("between_digits", usual.inter_digit_ms, 60_000),
            time("end_of_speech", usual.complete_ms, 10_000),
            time("longest", usual.max_speech_ms, 300_000),
        )


def _own_phrase(entry: Entry) -> tuple[tuple[str, Place], ...]:
    """An option is said by its own name, where no phrases are given."""
    return ((entry.key.replace("_", " ").replace("-", " "), entry.place),)


def _digits(least: int, most: int, end: str, locale: str, mode: Mode) -> Grammar:
    return builders.digits(least, most, locale, mode, end or None)


_BUILDERS: dict[str, Callable[..., Grammar]] = {
    "digits": _digits,
    "number": builders.number,
    "scale": builders.scale,
    "date": dates.date,
    "time": times.time,
    "amount": amounts.amount,
    "yes_no": builders.yes_no,
}


@lru_cache(maxsize=256)
def _build(kind: str, given: tuple[int | str, ...], locale: str, mode: Mode) -> Grammar:
    """A grammar of a builder; scripts ask for the same ones again and again."""
    return _BUILDERS[kind](*given, locale, mode)

"""JSGF for pocketsphinx: the same sentences as the grammar has, in the words of a dictionary."""

from __future__ import annotations

import itertools
import re

import pytest
from ringwheel.robot.grammar import jsgf
from ringwheel.robot.grammar.builders import choices, digits, number, yes_no
from ringwheel.robot.grammar.builtins import builtin
from ringwheel.robot.grammar.model import (
    Alternatives,
    Grammar,
    GrammarError,
    Repeat,
    Rule,
    RuleRef,
    Sequence,
    Special,
    Words,
)


def voice(*rules):
    return Grammar("voice", "en", rules[0][0], tuple(Rule(name, made) for name, made in rules))


def sentences(text, most=2_000):
    """All sentences of a JSGF text without loops, by an expansion that shares no code with ours."""
    rules = dict(re.findall(r"(?:public )?<(r\d+)> = (.*);", text))

    def alternatives(tokens):
        found = sequence(tokens)
        while tokens and tokens[0] == "|":
            tokens.pop(0)
            found = found + sequence(tokens)
        return found

    def sequence(tokens):
        found = [()]
        while tokens and tokens[0] not in {"|", ")", "]"}:
            token = tokens.pop(0)
            if token in {"(", "["}:
                inner = alternatives(tokens)
                tokens.pop(0)
                part = [*inner, ()] if token == "[" else inner
            elif token.startswith("/") or token == "<NULL>":
                part = [()]
            elif token.startswith("<"):
                part = rule(token[1:-1])
            else:
                part = [(token,)]
            found = [a + b for a, b in itertools.islice(itertools.product(found, part), most)]
        return found

    def rule(name):
        return alternatives(re.findall(r"[()\[\]|]|/[\d.]+/|<\w+>|[^\s()\[\]|]+", rules[name]))

    root = re.search(r"public <(r\d+)>", text)[1]
    return {" ".join(words) for words in rule(root)}


class TestWrite:
    def test_the_sentences_are_those_of_the_grammar(self):
        grammar = voice(
            (
                "a",
                Sequence(
                    (
                        Repeat(RuleRef("b"), 1, 2),
                        Repeat(Words(("Please!",)), 0, 1),
                        Special("GARBAGE"),
                        Alternatives((Words(("go", "on")), Special("NULL")), (2.0, 1.0)),
                    )
                ),
            ),
            ("b", Alternatives((Words(("yes",)), Words(("no",)), Special("VOID")))),
        )
        found = sentences(jsgf.write(grammar).text)
        answers = ["yes", "no", *(f"{a} {b}" for a in ("yes", "no") for b in ("yes", "no"))]
        ends = ["", " please", " go on", " please go on"]
        assert found == {answer + end for answer in answers for end in ends}
        assert all(grammar.match(sentence) for sentence in found)

    @pytest.mark.parametrize(
        "grammar",
        [
            yes_no("en"),
            digits(2, 3),
            number(95, 1_105, "en"),
            builtin("builtin:speech/time", "en-US"),
            choices([("x", ["twenty-three, please", "Don't!"], None)], "en-GB"),
        ],
    )
    def test_every_sentence_has_a_meaning(self, grammar):
        found = sentences(jsgf.write(grammar).text)
        assert found
        assert all(grammar.match(sentence) for sentence in sorted(found)[:300])

    def test_a_loop(self):
        assert "(on)*" in jsgf.write(voice(("a", Repeat(Words(("on",)), 1, None)))).text

    def test_words_that_the_dictionary_lacks_are_told_and_left_out(self):
        grammar = choices([("a", ["xyzzy street", "main street"], None)], "en")
        written = jsgf.write(grammar, {"main", "street"}.__contains__)
        assert written.unknown == ("xyzzy",)
        assert written.words == ("main", "street")
        assert sentences(written.text) == {"main street"}

    def test_words_cannot_be_read_as_anything_else(self):
        grammar = choices([("a", ["yes", "a|b", "<r0>", "x=y", "c*"], None)], "en")
        written = jsgf.write(grammar)
        assert written.unknown == ("<r0>", "a|b", "c*", "x=y")
        assert sentences(written.text) == {"yes"}

    def test_refusals(self):
        with pytest.raises(GrammarError, match="does not have no, yes"):
            jsgf.write(choices([(1, ["yes"], None), (2, ["no"], None)], "en"), lambda _: False)
        with pytest.raises(GrammarError, match="recursive"):
            jsgf.write(voice(("a", Sequence((Words(("x",)), Repeat(RuleRef("a"), 0, 1))))))
        with pytest.raises(GrammarError, match="of keys"):
            jsgf.write(yes_no("en", "dtmf"))
        chain = [(f"r{n}", Sequence((RuleRef(f"r{n + 1}"),) * 2)) for n in range(40)]
        with pytest.raises(GrammarError, match="lower its repetitions"):
            jsgf.write(voice(*chain, ("r40", Words(("x",)))))

    def test_rules_that_nobody_needs_are_left_out(self):
        written = jsgf.write(voice(("a", Words(("go",))), ("b", Words(("no",)))))
        assert written.words == ("go",)
        assert sentences(written.text) == {"go"}


def test_pocketsphinx_reads_it():
    pocketsphinx = pytest.importorskip("pocketsphinx")
    decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
    for grammar in (
        yes_no("en"),
        digits(1, 16),
        number(0, 999_999, "en"),
        builtin("builtin:speech/date", "en-US"),
        builtin("builtin:speech/currency", "en-US"),
        builtin("builtin:speech/phone", "en-US"),
    ):
        written = jsgf.write(grammar, lambda word: decoder.lookup_word(word) is not None)
        decoder.add_jsgf_string(grammar.id, written.text)
        decoder.activate_search(grammar.id)
        assert set(written.unknown) <= {"€", "£", "$", "usd", "gbp", "eur", "chf"}

"""Random sentences: each fits the grammar that it comes from."""

from __future__ import annotations

import random

import pytest
from ringwheel.robot.grammar.builders import digits, number
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
    optional,
)
from ringwheel.robot.grammar.sampling import Sampler, random_sentence


def voice(*rules):
    return Grammar("voice", "en", rules[0][0], tuple(Rule(name, made) for name, made in rules))


@pytest.mark.parametrize(
    "kind", ["boolean", "currency", "date", "digits", "number", "phone", "time"]
)
@pytest.mark.parametrize("locale", ["de-DE", "en-GB"])
@pytest.mark.parametrize("way", ["speech", "dtmf"])
def test_each_sentence_of_a_builtin_grammar_has_a_meaning(kind, locale, way):
    grammar = builtin(f"builtin:{way}/{kind}", locale)
    sampler, chance = Sampler(grammar), random.Random(7)
    for sentence in [sampler.sentence(chance) for _ in range(20)]:
        assert grammar.match(sentence) is not None, sentence


def test_all_of_a_small_grammar_comes():
    sampler, chance = Sampler(number(3, 6, "en")), random.Random(1)
    assert {sampler.sentence(chance) for _ in range(100)} == {"three", "four", "five", "six"}
    keys = Sampler(digits(1, 2, mode="dtmf"))
    assert {len(keys.sentence(chance)) for _ in range(50)} == {1, 2}


def test_weights_and_what_is_never_there():
    root = Alternatives((Words(("a",)), Words(("b",)), Special("VOID")), (1.0, 0.0, 5.0))
    sampler, chance = Sampler(voice(("r", root))), random.Random(1)
    assert {sampler.sentence(chance) for _ in range(50)} == {"a"}
    nothing = Alternatives((Words(("a",)), Words(("b",))), (0.0, 0.0))
    assert random_sentence(voice(("r", nothing)), chance) in {"a", "b"}
    never = Repeat(Words(("a",)), 1, None, 0.0)
    assert {random_sentence(voice(("r", never)), chance) for _ in range(20)} == {"a"}


def test_recursion_finds_its_way_out():
    again = Sequence((Words(("x",)), RuleRef("s"), RuleRef("t")))
    grammar = voice(
        ("r", Alternatives((again, RuleRef("t")), (1.0, 0.0))),
        ("s", Alternatives((RuleRef("r"), RuleRef("t")), (1.0, 0.0))),
        ("t", Words(("y",))),
    )
    sentence = Sampler(grammar).sentence(random.Random(1))
    assert set(sentence.split()) == {"x", "y"}
    assert grammar.match(sentence)


def test_sentences_without_end_are_given_up():
    chain = [(f"r{n}", Sequence((RuleRef(f"r{n + 1}"),) * 2)) for n in range(40)]
    sampler = Sampler(voice(*chain, ("r40", Words(("x",)))))
    with pytest.raises(GrammarError, match="no sentence"):
        sampler.sentence(random.Random(1))
    assert random_sentence(voice(*chain, ("r40", Words(("x",)))), random.Random(1)) is None
    once = Sampler(voice(("r", Repeat(optional(Words(("x",))), 1, 1))))
    assert {once.sentence(random.Random(n)) for n in range(20)} == {"", "x"}

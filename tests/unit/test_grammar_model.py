"""What may be said and typed: grammars made by hand, matched, and bounded."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.robot.grammar.model import (
    Alternatives,
    Grammar,
    GrammarError,
    Repeat,
    Rule,
    RuleRef,
    Sequence,
    Special,
    Tag,
    Words,
    optional,
)


def voice(*rules, locale="en", tag_format="semantics/1.0"):
    """A grammar of (name, expansion) pairs, the first of them its root."""
    made = tuple(Rule(name, expansion) for name, expansion in rules)
    return Grammar("voice", locale, rules[0][0], made, tag_format)


def words(text):
    return Words(tuple(text.split()))


def meaning(grammar, text):
    found = grammar.match(text)
    return None if found is None else found.value


ORDER = voice(
    (
        "order",
        Sequence(
            (
                optional(words("I would like")),
                RuleRef("drink"),
                Tag("out.drink = rules.drink; out.said = meta.drink.text"),
                optional(
                    Sequence((words("and"), RuleRef("drink"), Tag("out.more = rules.latest()")))
                ),
                optional(words("please")),
            )
        ),
    ),
    (
        "drink",
        Alternatives((Sequence((words("a coke"), Tag('out = "cola"'))), words("orange juice"))),
    ),
)


class TestMeaning:
    def test_rules_and_tags_make_an_object(self):
        found = ORDER.match("I would like a Coke and orange-juice, please.")
        assert found.value == {"drink": "cola", "said": "a coke", "more": "orange juice"}
        assert found.text == "i would like a coke and orange juice please"

    def test_what_does_not_fit_as_a_whole_does_not_match(self):
        for text in ("", "a", "a cokes", "coke", "a coke please now", "a coke and"):
            assert ORDER.match(text) is None, text

    def test_without_tags_a_rule_means_its_last_rule_or_its_text(self):
        grammar = voice(
            ("a", Sequence((words("to"), RuleRef("b"), words("now")))), ("b", words("Rome"))
        )
        assert meaning(grammar, "to rome now") == "rome"

    def test_literals(self):
        root = Alternatives(
            (Sequence((words("yes"), Tag(" Y ; "))), Sequence((words("no"), Tag("N"), Tag("M"))))
        )
        grammar = voice(("a", root), tag_format="semantics/1.0-literals")
        assert meaning(grammar, "yes") == "Y ;"
        assert meaning(grammar, "no") == "M"

    @pytest.mark.parametrize(
        ("tag", "value"),
        [
            ("out = 1 + 2 * 3", 7),
            ("out = 10 / 4 - 1", 1.5),
            ("out = 'a' + 1 + \"\\u00e4\"", "a1ä"),
            ("out = {a: [1, {b: null}], 'c d': true}", {"a": [1, {"b": None}], "c d": True}),
            ("out.a = {}; out.a.b = 3; out.a['c'] = out.a.b", {"a": {"b": 3, "c": 3}}),
            ("var x = 2; x *= 3; out = -x", -6),
            ("out = ''; out += 'x'; /* twice */ out += out;", "xx"),
            ("out = Number('07.50') + 0x10", 23.5),
            ("out = String(2) + 1", "21"),
            ("out = rules.absent", None),
            ("out = meta.current().text", "go"),
            ("out = [1]; out[1] = out[0]", [1, 1]),
            ("var x = {a: 1}; out = x; x.a = 2; out.b = x", {"a": 1, "b": {"a": 2}}),
            ("", {}),
        ],
    )
    def test_tags(self, tag, value):
        assert meaning(voice(("a", Sequence((words("go"), Tag(tag))))), "go") == value

    @pytest.mark.parametrize(
        "tag",
        [
            "out = ", "out == 1", "while (true) {}", "out = function() {}", "rules.a = 1",
            "out = new Date()", "alert(1)", "out = this", "out = 'open", "out = (1", "a",
            "out = 1 2", "out = meta.a.score",
            "out = " + "(" * 40 + "1" + ")" * 40, "out = `x`", "var out = 1", "x" * 9_000,
        ],
    )  # fmt: skip
    def test_tags_that_cannot_be_read(self, tag):
        with pytest.raises(GrammarError, match="tag"):
            voice(("a", Sequence((words("go"), Tag(tag)))))

    @pytest.mark.parametrize(
        "tag",
        [
            "out = x",
            "out = 1/0",
            "out.a.b = 1",
            "out = -'a'",
            "out += 'x'",
            "out = 'ab' * 2",
            "out = out[0]",
        ],
    )
    def test_tags_that_cannot_be_run(self, tag):
        with pytest.raises(GrammarError, match="tag"):
            voice(("a", Sequence((words("go"), Tag(tag))))).match("go")

    @pytest.mark.parametrize(
        "tag", ["out = out + out", "out = [out, out]", "out = {a: out, b: out}"]
    )
    def test_values_that_grow_without_end_are_stopped(self, tag):
        grow = Repeat(Sequence((words("more"), Tag(tag))), 1, None)
        grammar = voice(("a", Sequence((Tag("out = 'x'"), grow))))
        with pytest.raises(GrammarError, match="value is too large|longer than"):
            grammar.match("more " * 40)

    def test_what_was_matched_last_does_not_change_what_came_before(self):
        grammar = voice(
            ("a", Sequence((RuleRef("b"), Tag("out.x = rules.b; out.y = out.x; out.y.n = 2")))),
            ("b", Sequence((words("go"), Tag("out.n = 1")))),
        )
        assert meaning(grammar, "go") == {"x": {"n": 1}, "y": {"n": 2}}


class TestAmbiguity:
    def test_the_first_of_equal_alternatives_counts(self):
        root = Alternatives(tuple(Sequence((words("go"), Tag(f"out = {n}"))) for n in range(5)))
        assert meaning(voice(("a", root)), "go") == 0
        through = Alternatives((RuleRef("b"), Sequence((words("go"), Tag("out = 2")))))
        assert (
            meaning(voice(("a", through), ("b", Sequence((words("go"), Tag("out = 1"))))), "go")
            == 1
        )

    def test_the_heavier_alternative_counts(self):
        root = Alternatives(
            (Sequence((words("go"), Tag("out = 1"))), Sequence((words("go"), Tag("out = 2")))),
            (1, 3),
        )
        assert meaning(voice(("a", root)), "go") == 2

    def test_garbage_is_the_last_resort(self):
        root = Sequence((Special("GARBAGE"), RuleRef("b"), Special("GARBAGE")))
        b = Alternatives(
            (
                Sequence((words("sales"), Tag("out = 1"))),
                Sequence((words("car sales"), Tag("out = 2"))),
            )
        )
        grammar = voice(("a", Sequence((root, Tag("out = rules.b")))), ("b", b))
        assert meaning(grammar, "well I want car sales if you please") == 2
        assert meaning(grammar, "sales") == 1
        assert meaning(grammar, "wholesales") is None

    def test_void_is_never_there_and_null_always(self):
        root = Alternatives(
            (Sequence((words("a"), Special("VOID"))), Sequence((Special("NULL"), words("b"))))
        )
        grammar = voice(("r", root))
        assert meaning(grammar, "b") == "b"
        assert grammar.match("a") is None


class TestWords:
    @pytest.mark.parametrize(
        "text", ["don't  STOP", "“Don’t”, stop!", "don`t-stop", "Don't\nstop..."]
    )
    def test_typing_makes_no_difference(self, text):
        assert voice(("a", words("Don't stop!"))).match(text)

    def test_german_words_are_written_together_or_not(self):
        grammar = voice(("a", words("Drei und Dreißig Grüße")), locale="de-DE")
        assert grammar.match("dreiunddreissig gruesse")
        assert grammar.match("drei unddreißig Grüße")
        assert grammar.match("drei und dreißig") is None

    def test_english_words_are_not(self):
        assert voice(("a", words("twenty three"))).match("twentythree") is None
        apart = voice(("a", Repeat(Alternatives((words("one"), words("two"))), 1, None)))
        assert apart.match("one two")
        assert apart.match("onetwo") is None

    def test_figures_are_words(self):
        assert voice(("a", words("twenty three"))).match("23")
        assert voice(("a", words("two three"))).match("23")
        assert voice(("a", words("the third"))).match("the 3rd")
        assert voice(("a", words("3.5"))).match("3.5")
        assert voice(("a", words("three point five"))).match("3.5")
        assert voice(("a", words("zehn uhr fünf")), locale="de").match("10:05")


def keys(expansion):
    return Grammar("dtmf", "en", "keys", (Rule("keys", expansion),))


class TestKeys:
    def test_entry_ends_when_nothing_more_fits(self):
        digit = Alternatives(tuple(Words((key,)) for key in "0123456789"))
        grammar = keys(
            Alternatives((Repeat(digit, 4, 4), Sequence((Repeat(digit, 2, 3), words("#")))))
        )
        seen = {
            typed: grammar.progress(typed) for typed in ("", "1", "12#", "1234", "12345", "#", "x")
        }
        assert seen == {
            "": (False, True),
            "1": (False, True),
            "12#": (True, False),
            "1234": (True, False),
            "12345": (False, False),
            "#": (False, False),
            "x": (False, False),
        }

    def test_keys_of_one_phrase_come_one_by_one(self):
        grammar = keys(Alternatives((words("12"), words("1"), words("star pound a"))))
        assert grammar.progress("1") == (True, True)
        assert grammar.progress("*#") == (False, True)
        assert grammar.match("1 2").value == "12"

    def test_a_key_that_is_on_no_keypad(self):
        with pytest.raises(GrammarError, match="keypad"):
            keys(words("1 E"))


class TestIdentity:
    def test_grammars_with_the_same_content_are_one(self):
        again = Grammar(ORDER.mode, ORDER.locale, ORDER.root, ORDER.rules)
        assert again == ORDER
        assert len({again, ORDER}) == 1
        assert again.id == ORDER.id
        assert voice(("r", Sequence((Words(("a b",)), optional(Words(("c",))))))) == voice(
            ("r", Sequence((Words(("a",)), Sequence((Words(("b",)), Repeat(Words(("c",)), 0, 1))))))
        )

    def test_every_part_of_the_content_counts(self):
        a = Words(("a",))
        made = [
            voice(("r", expansion), locale=locale)
            for expansion in (a, Sequence((a, a)), optional(a), Repeat(a, 0, 1, 0.5), Tag("a=1"))
            for locale in ("en", "de")
        ]
        assert len(set(made)) == len(made)


class TestRefusals:
    @pytest.mark.parametrize(
        ("rules", "reason"),
        [
            ([("a", RuleRef("b"))], "no rule b"),
            ([("a", words("x")), ("a", words("y"))], "there twice"),
            ([("a", RuleRef("a"))], "no text can match"),
            ([("a", Special("VOID"))], "no text can match"),
            ([("a b", words("x"))], "rule name"),
            ([("NULL", words("x"))], "rule name"),
            ([("a", Alternatives(()))], "alternatives without one"),
            ([("a", Alternatives((words("x"),), (-1.0,)))], "weight"),
            ([("a", Repeat(words("x"), 2, 1))], "the lower first"),
            ([("a", Repeat(words("x"), 0, 20_000))], "repeated"),
            ([("a", Repeat(words("x"), 0, 1, 2.0))], "probability"),
            ([("a", Words(("",)))], "empty"),
            ([("a", Repeat(Repeat(Repeat(words("x"), 0, 999), 0, 999), 0, 999))], "too large"),
        ],
    )
    def test_grammars_that_cannot_be(self, rules, reason):
        with pytest.raises(GrammarError, match=reason):
            voice(*rules)

    def test_the_size_tells_what_a_grammar_takes(self):
        small, large = (voice(("a", Repeat(words("x"), 0, most))) for most in (1, 1_000))
        assert small.size < 10
        assert 1_000 < large.size < 5_000

    def test_a_short_grammar_is_never_a_large_one(self):
        with pytest.raises(GrammarError, match="lower its repetitions"):
            voice(("a", Repeat(words("x"), 0, 9_000)))
        long = [words(f"word{n} and word{n}") for n in range(6_000)]
        assert voice(("a", Alternatives(tuple(long)))).size > 6_000

    def test_depth_is_bounded(self):
        expansion = words("x")
        for _ in range(100):
            expansion = optional(expansion)
        with pytest.raises(GrammarError, match="deep"):
            voice(("a", expansion))


class TestBoundedWork:
    def test_ambiguity_costs_no_exponential_time(self):
        a = words("a")
        star = Repeat(Repeat(Alternatives((a, a, Sequence((a, a)))), 0, None), 0, None)
        grammar = voice(("r", Sequence((star, words("b")))))
        assert grammar.match("a " * 200) is None
        assert grammar.match("a " * 200 + "b")

    def test_left_recursion_ends(self):
        grammar = voice(
            ("r", Alternatives((Sequence((RuleRef("r"), words("a"))), RuleRef("r"), words("a"))))
        )
        assert grammar.match("a a a")
        assert grammar.match("a b") is None

    def test_rules_that_double_each_other_cost_no_exponential_time(self):
        chain = [
            (f"r{n}", Sequence((RuleRef(f"r{n + 1}"), RuleRef(f"r{n + 1}")))) for n in range(40)
        ]
        grammar = voice(*chain, ("r40", optional(Sequence((words("x"), Tag("out = 1"))))))
        assert grammar.match("x x x")

    def test_a_grammar_that_takes_too_much_work_says_so(self):
        r = RuleRef("r")
        both = Alternatives((words("a"), Sequence((r, r)), Sequence((r, r, r))))
        with pytest.raises(GrammarError, match="too much work"):
            voice(("r", both)).match("a " * 300)
        typed = Grammar("dtmf", "en", "r", voice(("r", both)).rules)
        assert typed.progress("a" * 10) == (True, True)
        assert typed.progress("a" * 300) == (False, False)

    def test_deep_right_recursion_is_matched(self):
        grammar = voice(("r", Sequence((words("a"), optional(RuleRef("r"))))))
        assert grammar.match("a " * 150)

    def test_a_text_that_is_too_long_matches_nothing(self):
        assert voice(("r", Repeat(words("a"), 1, None))).match("a " * 3_000) is None


# A random grammar, and a sentence of it whose value is known.

WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta", "it's", "vierzig"])


@st.composite
def said(draw, depth=3):
    """An expansion, what was said, and what its tags append to `out`; alternatives that are not
    taken begin with words of their own, so that there is one reading alone."""
    kind = draw(
        st.sampled_from(
            ["words", "tagged", "sequence", "choice", "repeat"] if depth else ["tagged"]
        )
    )
    if kind == "words":
        chosen = draw(st.lists(WORDS, min_size=1, max_size=3))
        return Words(tuple(chosen)), chosen, ""
    if kind == "tagged":
        word = draw(WORDS)
        return Sequence((Words((word,)), Tag(f'out += "{word[0]}"'))), [word], word[0]
    if kind == "sequence":
        parts = draw(st.lists(said(depth=depth - 1), min_size=1, max_size=3))
        spoken = [word for part in parts for word in part[1]]
        return (
            Sequence(tuple(part[0] for part in parts)),
            spoken,
            "".join(part[2] for part in parts),
        )
    taken, spoken, value = draw(said(depth=depth - 1))
    if kind == "choice":
        others = [
            Sequence((Words((f"other{n}",)), Tag('out += "!"')))
            for n in range(draw(st.integers(0, 3)))
        ]
        at = draw(st.integers(0, len(others)))
        return Alternatives((*others[:at], taken, *others[at:])), spoken, value
    times = draw(st.integers(1, 3))
    return (
        Repeat(Sequence((Words(("again",)), taken)), draw(st.integers(0, times)), times),
        (["again", *spoken]) * times,
        value * times,
    )


@given(said(), st.randoms(use_true_random=False))
def test_a_random_sentence_of_a_random_grammar_means_what_it_should(case, chance: random.Random):
    expansion, spoken, value = case
    root = Sequence((Tag('out = ""'), RuleRef("inner"), Tag("out = rules.inner")))
    inner = Sequence((Tag('out = ""'), expansion))
    grammar = voice(("root", root), ("inner", inner))
    text = "".join(word + chance.choice([" ", ", ", "  ", "! "]) for word in spoken)
    assert meaning(grammar, chance.choice([text, text.upper(), text.title()])) == value
    assert grammar.match(text + " stranger") is None


@given(st.text(max_size=80), st.sampled_from(["voice", "dtmf"]))
def test_any_text_is_matched_or_not(text, mode):
    digit = Alternatives(tuple(Words((key,)) for key in "0123456789"))
    grammar = Grammar(mode, "de", "a", (Rule("a", Repeat(digit, 1, None)),))
    found = grammar.match(text)
    assert found is None or found.text
    assert len(grammar.progress(text)) == 2


@given(st.text(alphabet="out=.+-*/%()[]{}:;,'\"\\ab01 rulesmetavar", max_size=60))
def test_any_tag_is_run_or_refused(tag):
    try:
        found = voice(("a", Sequence((words("go"), Tag(tag))))).match("go")
    except GrammarError:
        return
    assert found is not None

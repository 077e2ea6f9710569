"""SRGS in ABNF: read, written, refused, and turned into XML and back."""

from __future__ import annotations

import contextlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.robot.grammar import srgs_abnf, srgs_xml
from ringwheel.robot.grammar.builders import choices, digits
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
    Tag,
    Words,
)

ROUTE = """#ABNF 1.0 UTF-8;
// A comment; and /* another */
language en-US;
mode voice;
root $top;
tag-format <semantics/1.0>;
meta "author" is "us";

/** Documented. */
public $top = [please] fly to $city (and $city) <0-3>
  {out.city = rules.city;} $GARBAGE;
$city = /2/ Boston!en-US {out = "BOS"}
  | /1.5/ "New York" {!{ out = "NYC}" }!} | $NULL ($VOID | Rome) <1 /0.5/>;
"""


def meaning(grammar, text):
    found = grammar.match(text)
    return None if found is None else found.value


class TestRead:
    def test_a_grammar(self):
        grammar = srgs_abnf.read(ROUTE)
        assert meaning(grammar, "please fly to Boston and New York today") == {"city": "NYC}"}
        assert meaning(grammar, "fly to Rome") == {"city": "rome"}
        assert grammar.by_name["top"].public
        assert not grammar.by_name["city"].public

    def test_encodings(self):
        text = "#ABNF 1.0 {};\nlanguage de;\n$a = Größe;\n"
        assert srgs_abnf.read(text.format("ISO-8859-1").encode("latin-1")).match("größe")
        assert srgs_abnf.read(b"\xef\xbb\xbf" + text.format("UTF-8").encode()).match("größe")

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ("a <2>", {"a a"}),
            ("[a] b", {"b", "a b"}),
            ("a <0-1> b", {"b", "a b"}),
            ("a | b c", {"a", "b c"}),
            ("a (b | c)", {"a b", "a c"}),
            ("a b <2>", {"a b b"}),
            ("() a", {"a"}),
        ],
    )
    def test_expansions(self, written, said):
        grammar = srgs_abnf.read(f"#ABNF 1.0;\n$r = {written};")
        tried = ["a", "b", "c", "a a", "a b", "a c", "b c", "b b", "a b b", "a b a b", ""]
        assert {text for text in tried if grammar.match(text)} == said

    def test_dtmf_and_builtins(self):
        grammar = srgs_abnf.read(
            "#ABNF 1.0 UTF-8;\nmode dtmf;\nroot $r;\ntag-format <semantics/1.0>;\n"
            '$r = "*" $<builtin:dtmf/digits?length=2>~<application/srgs> "#" {out = rules.digits};'
        )
        assert meaning(grammar, "*12#") == "12"

    @pytest.mark.parametrize(
        ("text", "line", "reason"),
        [
            ("$a = b;", 1, "begins with"),
            ("#ABNF 1.0 EBCDIC;\n$a = b;", 1, "encoding"),
            ("#ABNF 1.0;\n$a = ;", 2, "words are missing"),
            ("#ABNF 1.0;\n\n  $a = (b;", 3, "'\\)' is missing"),
            ("#ABNF 1.0;\n$a = b", 2, "';' is missing"),
            ("#ABNF 1.0;\n$a = b; $a = c;", 2, "twice"),
            ("#ABNF 1.0;\n$a = $b;", 1, "no rule b"),
            ("#ABNF 1.0;\n$a = <2> b;", 2, "nothing stands before"),
            ("#ABNF 1.0;\n$a = b <3-1>;", 1, "lower first"),
            ("#ABNF 1.0;\n$a = b {out=1};", 2, "tag-format"),
            ("#ABNF 1.0;\ntag-format <x>;\n$a = b;", 2, "not understood"),
            ("#ABNF 1.0;\ntag-format <semantics/1.0>;\n$a = b\n{out=};", 4, "tag"),
            ("#ABNF 1.0;\nlexicon <http://x>;\n$a = b;", 2, "declaration 'lexicon'"),
            ("#ABNF 1.0;\nmode smell;\n$a = b;", 2, "declaration 'mode'"),
            ("#ABNF 1.0;\nroot $x;\n$a = b;", 1, "root rule 'x'"),
            ("#ABNF 1.0;\n$a = b;\nmode voice;", 3, "begins no rule"),
            ("#ABNF 1.0;\n$a = $<http://192.0.2.1/g>;", 2, "elsewhere"),
            ("#ABNF 1.0;\n$a = b } c;", 2, "'}' is not understood"),
            ("#ABNF 1.0;\n$a = " + "(" * 100 + "b" + ")" * 100 + ";", 2, "64 deep"),
            ("#ABNF 1.0;\n" + "x" * 2_000_000, None, "longer than"),
        ],
    )
    def test_refusals(self, text, line, reason):
        with pytest.raises(GrammarError, match=reason) as raised:
            srgs_abnf.read(text.encode())
        assert raised.value.line == line

    @given(st.data())
    def test_any_damage(self, data):
        start = data.draw(st.integers(17, len(ROUTE)))
        end = data.draw(st.integers(start, min(start + 40, len(ROUTE))))
        damage = data.draw(st.text(alphabet='abc$(){}[]<>|;!~"/*1-\n= ', max_size=8))
        with contextlib.suppress(GrammarError):
            srgs_abnf.read(ROUTE[:start] + damage + ROUTE[end:]).match("fly to boston")


# Any grammar, in both forms

TOKENS = st.sampled_from(
    ["go", "Don't", "3.5", "a&b", "<x>", "*", "über", "$1", "{", "!", "x/y", "-"]
)
LEAVES = st.one_of(
    st.lists(TOKENS, min_size=1, max_size=3).map(lambda words: Words(tuple(words))),
    st.sampled_from([Special("NULL"), Special("GARBAGE"), RuleRef("other")]),
    st.sampled_from(["out = 1", 'out = {a: "}"}', "", "out.b = '<&'"]).map(Tag),
)
WEIGHTS = st.sampled_from([0.5, 1.0, 2.0, 0.0, 1.25])


def _containers(inner):
    several = st.lists(inner, min_size=1, max_size=3).map(tuple)
    weighted = st.lists(st.tuples(inner, WEIGHTS), min_size=2, max_size=3)
    return st.one_of(
        several.map(Sequence),
        several.map(Alternatives),
        weighted.map(lambda pairs: Alternatives(*map(tuple, zip(*pairs, strict=True)))),
        st.builds(
            lambda item, low, more, chance: Repeat(
                item, low, None if more is None else low + more, chance
            ),
            inner,
            st.integers(0, 2),
            st.none() | st.integers(0, 2),
            st.none() | st.sampled_from([0.0, 0.25, 1.0]),
        ),
    )


EXPANSIONS = st.recursive(LEAVES, _containers, max_leaves=6)


@given(EXPANSIONS, st.sampled_from(["en-GB", "de"]))
def test_any_grammar_is_the_same_in_both_forms(expansion, locale):
    rules = (Rule("r", Sequence((expansion, Words(("end",))))), Rule("other", Words(("o",)), True))
    grammar = Grammar("voice", locale, "r", rules)
    xml = srgs_xml.write(grammar)
    from_xml = srgs_xml.read(xml)
    from_abnf = srgs_abnf.read(srgs_abnf.write(from_xml))
    assert from_xml == grammar
    assert from_abnf == grammar
    assert srgs_xml.write(from_abnf) == xml
    assert pickle.loads(pickle.dumps(grammar)) == grammar


@pytest.mark.parametrize(
    "grammar",
    [
        srgs_abnf.read(ROUTE),
        choices([({"a": "}{\"'"}, ["rock & roll", "(a) 1/2"], "12*#")], "en-GB"),
        choices([("x", [], "12*#")], "en-GB", "dtmf"),
        digits(2, 4, mode="dtmf", terminator="#"),
        *(builtin(f"builtin:speech/{kind}", "de") for kind in ("date", "time", "currency")),
    ],
)
def test_what_is_written_is_read_as_the_same(grammar):
    assert srgs_abnf.read(srgs_abnf.write(grammar)) == grammar


def test_a_tag_that_abnf_cannot_write():
    grammar = Grammar("voice", "en", "r", (Rule("r", Tag("}!}")),), "semantics/1.0-literals")
    with pytest.raises(GrammarError, match="cannot be written"):
        srgs_abnf.write(grammar)

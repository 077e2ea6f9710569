"""SRGS in XML: read, written, and refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.robot.grammar import srgs_xml
from ringwheel.robot.grammar.builders import choices, digits
from ringwheel.robot.grammar.builtins import builtin
from ringwheel.robot.grammar.model import Grammar, GrammarError, Rule, RuleRef, Tag, Words

HEAD = (
    '<grammar xmlns="http://www.w3.org/2001/06/grammar" version="1.0" xml:lang="en-US" '
    'root="top" tag-format="semantics/1.0" {}>\n'
)


def document(rules, more=""):
    return HEAD.format(more) + rules + "\n</grammar>"


def meaning(grammar, text):
    found = grammar.match(text)
    return None if found is None else found.value


ROUTE = document("""
<meta name="author" content="us"/>
<rule id="top" scope="public">
  <example>fly to Boston</example>
  <item repeat="0-1">please</item>
  <token>fly</token> to <ruleref uri="#city"/>
  <item repeat="0-3">and <ruleref uri="#city"/></item>
  <ruleref special="GARBAGE"/>
  <tag>out.city = rules.city; out.first = meta.current().text</tag>
</rule>
<!-- cities -->
<rule id="city">
  <one-of>
    <item weight="2">Boston <tag>out = "BOS"</tag></item>
    <item>"New York"<tag>out = <![CDATA["NYC" + "!"]]></tag></item>
  </one-of>
</rule>""")


class TestRead:
    def test_a_grammar(self):
        grammar = srgs_xml.read(ROUTE)
        assert (grammar.mode, grammar.locale, grammar.root) == ("voice", "en-US", "top")
        found = meaning(grammar, "please fly to Boston and new york today")
        assert found == {"city": "NYC!", "first": "please fly to boston and new york today"}

    def test_bytes_in_other_encodings(self):
        text = document('<rule id="top">Größe</rule>')
        latin = ('<?xml version="1.0" encoding="ISO-8859-1"?>' + text).encode("latin-1")
        assert srgs_xml.read(latin).match("größe")
        assert srgs_xml.read(text.encode("utf-16")).match("größe")

    @pytest.mark.parametrize(
        ("repeat", "counts"),
        [("2", {2}), ("1-3", {1, 2, 3}), ("2-", {2, 3, 4, 5}), ("0-1", {0, 1}), ("0", {0})],
    )
    def test_repeats(self, repeat, counts):
        grammar = srgs_xml.read(
            document(f'<rule id="top">go<item repeat="{repeat}">on</item></rule>')
        )
        assert {n for n in range(6) if grammar.match("go" + " on" * n)} == counts

    def test_dtmf(self):
        text = """<grammar version="1.0" mode="dtmf" root="pin">
        <rule id="pin">
          <item repeat="2"><ruleref uri="#d"/></item> <item repeat="0-1">#</item>
        </rule>
        <rule id="d"><one-of><item>1</item><item>2</item><item>star</item></one-of></rule>
        </grammar>"""
        grammar = srgs_xml.read(text, locale="de-DE")
        assert grammar.progress("1*") == (True, True)
        assert grammar.progress("1*#") == (True, False)
        assert grammar.locale == "de-DE"

    def test_literals(self):
        text = ROUTE.replace("semantics/1.0", "semantics/1.0-literals")
        assert meaning(srgs_xml.read(text), "fly to boston").startswith("out.city")

    def test_the_only_rule_is_the_root(self):
        text = document('<rule id="only">go</rule>').replace('root="top"', "")
        assert srgs_xml.read(text).root == "only"

    def test_builtin_rules_keep_their_meaning_beside_rules_of_the_same_name(self):
        grammar = srgs_xml.read(
            document("""<rule id="top">pin <ruleref uri="builtin:speech/digits?length=2"/>
            <tag>out.pin = rules.digits; out.word = rules.digit</tag> <ruleref uri="#digit"/>
            <tag>out.word = rules.digit</tag></rule><rule id="digit">done</rule>""")
        )
        assert meaning(grammar, "pin one two done") == {"pin": "12", "word": "done"}

    def test_literals_go_with_rules_that_have_scripts(self):
        text = document(
            '<rule id="top"><one-of><item>none<tag> N"1 </tag></item><item>'
            '<ruleref uri="builtin:grammar/number"/></item></one-of></rule>'
        ).replace("semantics/1.0", "semantics/1.0-literals")
        grammar = srgs_xml.read(text)
        assert meaning(grammar, "none") == 'N"1'
        assert meaning(grammar, "twenty three") == 23

    def test_grammars_elsewhere_come_by_the_resolver(self):
        asked = []

        def resolve(uri):
            asked.append(uri)
            public = Rule("b", Words(("bee",)), public=True)
            return Grammar("voice", "en", "a", (Rule("a", Words(("ay",))), public))

        text = document(
            """<rule id="top"><ruleref uri="x.grxml"/> <ruleref uri="x.grxml#b"/></rule>"""
        )
        assert srgs_xml.read(text, resolver=resolve).match("ay bee")
        assert asked == ["x.grxml"]
        with pytest.raises(GrammarError, match="no public rule a"):
            srgs_xml.read(text.replace("#b", "#a"), resolver=resolve)
        with pytest.raises(GrammarError, match="elsewhere"):
            srgs_xml.read(text)


class TestRefuse:
    @pytest.mark.parametrize(
        ("rules", "line", "reason"),
        [
            ('<rule id="top"><b>x</b></rule>', 2, "<b> in a rule"),
            ('<rule id="top">\n<ruleref uri="#no"/></rule>', 3, "no rule no"),
            ('<rule id="top"><ruleref/></rule>', 2, "either uri or special"),
            ('<rule id="top"><ruleref special="ANY"/></rule>', 2, "special rule 'ANY'"),
            ('<rule id="top"><item repeat="3-1">x</item></rule>', 1, "the lower first"),
            ('<rule id="top"><item repeat="many">x</item></rule>', 2, "repeat='many'"),
            ('<rule id="top"><item repeat="1" repeat-prob="x">x</item></rule>', 2, "no number"),
            ('<rule id="top"><one-of/></rule>', 2, "without an <item>"),
            ('<rule id="top"><one-of><token>x</token></one-of></rule>', 2, "<token> in <one-of>"),
            ('<rule id="top"><one-of><item weight="-1">x</item></one-of></rule>', 2, "weight '-1'"),
            ('<rule id="top">x<tag>\nalert(1)</tag></rule>', 2, "tag"),
            ('<rule id="top" scope="wide">x</rule>', 2, "public or private"),
            ('<rule>x</rule>', 2, "no id"),
            ('<rule id="top">x</rule><rule id="top">y</rule>', 2, "twice"),
            ('<rule id="top">x</rule><lexicon uri="x"/>', 2, "<lexicon>"),
            ('<rule id="other">x</rule><rule id="more">x</rule>', 1, "root rule"),
            ('<rule id="top"><ruleref uri="#top"/></rule>', 1, "no text can match"),
            ('<rule id="top">x</item>', 2, "not well formed"),
            ('<rule id="top"><ruleref uri="builtin:speech/zodiac"/></rule>', 2, "zodiac"),
            ('<rule id="top"><ruleref uri="builtin:dtmf/digits"/></rule>', 2, "is for dtmf"),
            ('<rule id="top">&undefined;</rule>', 2, "not well formed"),
        ],
    )  # fmt: skip
    def test_with_line_and_reason(self, rules, line, reason):
        with pytest.raises(GrammarError, match=reason) as raised:
            srgs_xml.read(document(rules))
        assert raised.value.line == line
        assert raised.value.column >= 1

    def test_other_headers(self):
        for change, reason in (
            (('root="top"', 'root="none"'), "root rule"),
            (('root="top"', 'root="top" mode="smell"'), "neither voice nor dtmf"),
            (("semantics/1.0", "swi-semantics/1.0"), "tag-format"),
            ((' tag-format="semantics/1.0"', ""), "needs a tag-format"),
            (("en-US", "??"), "no locale"),
            (("<grammar", "<vxml"), "is no SRGS|not well formed"),
        ):
            with pytest.raises(GrammarError, match=reason):
                srgs_xml.read(ROUTE.replace(*change))

    @pytest.mark.parametrize(
        "doctype",
        [
            '<!DOCTYPE grammar SYSTEM "http://192.0.2.1/x.dtd">',
            '<!DOCTYPE grammar [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE grammar [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
            '<!DOCTYPE grammar [<!ENTITY % p SYSTEM "http://192.0.2.1/"> %p;]>',
        ],
    )
    def test_document_types(self, doctype):
        with pytest.raises(GrammarError, match="remove the DOCTYPE"):
            srgs_xml.read(doctype + document('<rule id="top">x</rule>'))

    def test_includes(self):
        text = document(
            '<rule id="top"><i:include xmlns:i="http://www.w3.org/2001/XInclude" href="x"/></rule>'
        )
        with pytest.raises(GrammarError, match="<include> in a rule"):
            srgs_xml.read(text)

    @pytest.mark.parametrize(
        "rules",
        [
            '<rule id="top">' + "<item>" * 5_000 + "x" + "</item>" * 5_000 + "</rule>",
            '<rule id="top">' + '<item repeat="0-1">' * 80 + "x" + "</item>" * 80 + "</rule>",
            '<rule id="top">' + "<item>x</item>" * 60_000 + "</rule>",
            '<rule id="top">' + "x " * 600_000 + "</rule>",
            '<rule id="top">' + '<item repeat="999-999">' * 4 + "x" + "</item>" * 4 + "</rule>",
            '<rule id="top" ' + " ".join(f'a{n}="1"' for n in range(50)) + ">x</rule>",
        ],
    )
    def test_what_is_too_large(self, rules):
        with pytest.raises(GrammarError):
            srgs_xml.read(document(rules))

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data):
        with pytest.raises(GrammarError):
            srgs_xml.read(data)

    @given(st.data())
    def test_any_damage(self, data):
        start = data.draw(st.integers(0, len(ROUTE)))
        end = data.draw(st.integers(start, min(start + 40, len(ROUTE))))
        damaged = ROUTE[:start] + data.draw(st.text(max_size=8)) + ROUTE[end:]
        with contextlib.suppress(GrammarError):
            srgs_xml.read(damaged).match("fly to boston")


class TestWrite:
    @pytest.mark.parametrize(
        "grammar",
        [
            srgs_xml.read(ROUTE),
            choices([({"a": '<&"'}, ["rock & roll", "a < b"], None)], "en-GB"),
            digits(2, 4, mode="dtmf", terminator="#"),
            builtin("builtin:speech/time", "de"),
            Grammar("voice", "en", "a", (Rule("a", RuleRef("b")), Rule("b", Tag("out = 'a]]>b'")))),
        ],
    )
    def test_what_is_written_is_read_as_the_same(self, grammar):
        assert srgs_xml.read(srgs_xml.write(grammar)) == grammar

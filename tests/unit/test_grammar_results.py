"""NLSML and EMMA: written, read, and those of others."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.robot.grammar.results import (
    Interpretation,
    Result,
    ResultError,
    read,
    write_emma,
    write_nlsml,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20).filter(
    lambda text: "\ufffe" not in text and "\uffff" not in text
)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.sampled_from([0.5, -12.25, 1e-7, 3e60])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXT | st.sampled_from(["city", "xml", "key"]), inner, max_size=4)
    ),
    max_leaves=12,
)
SAID = st.builds(
    Interpretation,
    VALUES,
    st.sampled_from(["", "one two", "a < b & c", "größe"]),
    st.sampled_from([1.0, 0.75, 0.5]),
    st.sampled_from(["speech", "dtmf"]),
    st.sampled_from(["session:g1@x", "builtin:speech/boolean"]),
)


@given(st.lists(SAID, min_size=1, max_size=4))
def test_what_is_written_is_read_as_the_same(interpretations):
    ordered = sorted(interpretations, key=lambda item: -item.confidence)
    for write in (write_nlsml, write_emma):
        assert list(read(write(Result(tuple(ordered)))).interpretations) == ordered


@pytest.mark.parametrize("write", [write_nlsml, write_emma])
def test_nothing_heard_and_nothing_that_fits(write):
    silent = read(write(Result(no_input=True)))
    assert (silent.no_input, silent.interpretations) == (True, ())
    misfit = read(write(Result(heard="blue & green")))
    assert (misfit.no_input, misfit.interpretations, misfit.heard) == (False, (), "blue & green")


def test_nlsml_of_other_servers():
    found = read("""<?xml version="1.0"?>
    <result xmlns="urn:ietf:params:xml:ns:mrcpv2" xmlns:ex="http://www.example.com/example"
            grammar="session:request1@form-level.store">
      <interpretation confidence="60">
        <instance name="Person"><ex:Person><ex:Name>Andre  Roy</ex:Name></ex:Person></instance>
        <input>may I speak to
           Andre Roy</input>
      </interpretation>
      <interpretation confidence="0.9" grammar="other">
        <instance><leg><to>BOS</to></leg><leg><to>NYC</to></leg></instance>
        <input mode="speech" confidence="0.5">Boston</input>
      </interpretation>
      <interpretation><input mode="dtmf" confidence="0.3"><input mode="dtmf">1 2</input></input>
      </interpretation>
    </result>""")
    assert found.interpretations == (
        Interpretation({"leg": [{"to": "BOS"}, {"to": "NYC"}]}, "Boston", 0.9, "speech", "other"),
        Interpretation(
            {"Person": {"Name": "Andre Roy"}},
            "may I speak to Andre Roy",
            0.6,
            "speech",
            "session:request1@form-level.store",
        ),
        Interpretation("1 2", "1 2", 0.3, "dtmf", "session:request1@form-level.store"),
    )


def test_emma_of_other_servers():
    found = read("""<emma:emma version="1.0" xmlns:emma="http://www.w3.org/2003/04/emma">
      <emma:grammar id="gram1" ref="session:yes@x"/>
      <emma:one-of id="r1" emma:medium="acoustic" emma:mode="voice" emma:grammar-ref="gram1">
        <emma:interpretation id="i1" emma:confidence="0.3" emma:tokens="flights from Boston">
          <origin>Boston</origin>
        </emma:interpretation>
        <emma:interpretation id="i2" emma:confidence="0.7" emma:tokens="yes">
          <emma:literal>yes</emma:literal>
        </emma:interpretation>
      </emma:one-of>
    </emma:emma>""")
    assert found.interpretations == (
        Interpretation("yes", "yes", 0.7, "speech", "session:yes@x"),
        Interpretation({"origin": "Boston"}, "flights from Boston", 0.3, "speech", "session:yes@x"),
    )


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<result",
        "<html/>",
        '<!DOCTYPE result [<!ENTITY a "b">]><result>&a;</result>',
        '<result><interpretation confidence="high"><instance/></interpretation></result>',
        "<result>" + "<interpretation><instance>" + "<a>" * 90 + "</a>" * 90
        + "</instance></interpretation></result>",
        "<result><interpretation><instance>" + "<a>1</a>" * 2_000
        + "</instance></interpretation></result>",
        "<result><interpretation><instance>" + "x" * 2_000_000
        + "</instance></interpretation></result>",
    ],
)  # fmt: skip
def test_refusals(document):
    with pytest.raises(ResultError):
        read(document)


def test_more_interpretations_than_anybody_needs_are_cut_off():
    many = Result(tuple(Interpretation(n, str(n), 0.5) for n in range(500)))
    assert len(read(write_nlsml(many)).interpretations) == 100


@given(st.data())
def test_any_damage(data):
    whole = write_nlsml(Result((Interpretation({"a": [1, None, "x"]}, "go", 0.5),)))
    start = data.draw(st.integers(0, len(whole)))
    damaged = whole[:start] + data.draw(st.text(max_size=8)) + whole[start + 3 :]
    with contextlib.suppress(ResultError):
        read(damaged)

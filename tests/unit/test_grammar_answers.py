"""Dates, times, amounts and the builtin grammars of VoiceXML, in English and German."""

from __future__ import annotations

import pytest
from ringwheel.robot.grammar.amounts import amount
from ringwheel.robot.grammar.builtins import builtin, phone
from ringwheel.robot.grammar.dates import date
from ringwheel.robot.grammar.model import GrammarError
from ringwheel.robot.grammar.times import time


def meaning(grammar, text):
    found = grammar.match(text)
    return None if found is None else found.value


class TestDate:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("the third of May", "--05-03"),
            ("May the third, twenty twenty-six", "2026-05-03"),
            ("3 May 2026", "2026-05-03"),
            ("February 29th nineteen oh five", "1905-02-29"),
            ("third May two thousand and five", "2005-05-03"),
            ("30 June 1984", "1984-06-30"),
            ("31 June", None),
            ("thirtieth of February", None),
            ("the third of", None),
        ],
    )
    def test_english(self, text, value):
        assert meaning(date("en-GB"), text) == value

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("dritter Mai", "--05-03"),
            ("am 3. Mai 2026", "2026-05-03"),
            ("der einunddreißigste dritte neunzehnhundertvierundachtzig", "1984-03-31"),
            ("erster Jänner zweitausendundfünf", "2005-01-01"),
            ("31. April", None),
        ],
    )
    def test_german(self, text, value):
        assert meaning(date("de-AT"), text) == value

    def test_typed_in_each_order(self):
        assert meaning(date("en", "dtmf"), "20260503") == "2026-05-03"
        assert meaning(date("de", "dtmf", "dmy"), "03052026") == "2026-05-03"
        assert meaning(date("en", "dtmf", "mdy"), "05032026") == "2026-05-03"
        day_first = date("de", "dtmf", "dmy")
        assert day_first.progress("3002") == (False, False)
        assert day_first.progress("2902") == (False, True)
        assert day_first.progress("29022026") == (True, False)

    def test_a_language_that_is_not_known(self):
        with pytest.raises(GrammarError, match="dates in 'fr' is not known"):
            date("fr")


class TestTime:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("half past three", "03:30"),
            ("a quarter to one", "12:45"),
            ("quarter to one p.m.", "12:45"),
            ("three thirty pm", "15:30"),
            ("ten minutes past five in the morning", "05:10"),
            ("twenty-five to six", "05:35"),
            ("twelve am", "00:00"),
            ("twelve thirty pm", "12:30"),
            ("noon", "12:00"),
            ("fifteen hundred hours", "15:00"),
            ("15:05", "15:05"),
            ("fifteen thirty pm", None),
            ("three sixty", None),
        ],
    )
    def test_english(self, text, value):
        assert meaning(time("en-US"), text) == value

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("halb vier", "03:30"),
            ("Viertel vor eins", "12:45"),
            ("fünfzehn Uhr dreißig", "15:30"),
            ("15:30 Uhr", "15:30"),
            ("zehn nach acht abends", "20:10"),
            ("dreiviertel vier", "03:45"),
            ("null Uhr fünf", "00:05"),
            ("Mitternacht", "00:00"),
        ],
    )
    def test_german(self, text, value):
        assert meaning(time("de-DE"), text) == value

    def test_typed(self):
        assert meaning(time("en", "dtmf"), "1530") == "15:30"
        assert time("en", "dtmf").progress("24") == (False, False)


class TestAmount:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("twelve euros and fifty cents", 12.5),
            ("twelve fifty", 12.5),
            ("one hundred fifty", 150),
            ("fifty cents", 0.5),
            ("€12.29", 12.29),
            ("12.5", 12.5),
            ("1,200 euros", 1_200),
            ("one thousand euros five cents", 1_000.05),
            ("twelve five", None),
            ("twelve dollars", None),
        ],
    )
    def test_english(self, text, value):
        assert meaning(amount("EUR", "en-IE"), text) == value

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("zwölf Euro fünfzig", 12.5),
            ("12,50 €", 12.5),
            ("1.200 Euro", 1_200),
            ("ein Euro und ein Cent", None),
            ("hundertfünfzig", 150),
        ],
    )
    def test_german(self, text, value):
        assert meaning(amount("EUR", "de"), text) == value

    def test_typed(self):
        grammar = amount("USD", "en", "dtmf")
        assert meaning(grammar, "12*50") == 12.5
        assert grammar.progress("12*5") == (False, True)
        assert grammar.progress("12*50") == (True, False)

    def test_currencies_that_are_not_known(self):
        with pytest.raises(GrammarError, match="CHF, EUR, GBP, USD"):
            amount("JPY", "en")
        with pytest.raises(GrammarError, match="4217"):
            amount("euro", "en")


class TestBuiltin:
    @pytest.mark.parametrize(
        ("uri", "text", "value"),
        [
            ("builtin:speech/boolean", "yes", True),
            ("builtin:dtmf/boolean?y=7;n=9", "9", False),
            ("builtin:speech/digits?minlength=3;maxlength=5", "one oh seven", "107"),
            ("builtin:dtmf/digits?length=4", "0123", "0123"),
            ("builtin:grammar/number", "minus twenty three point five", -23.5),
            ("builtin:grammar/number", "-5", -5),
            ("builtin:dtmf/number", "12*5", 12.5),
            ("builtin:speech/currency?currency=GBP", "two pounds fifty", "GBP2.50"),
            ("builtin:speech/currency", "two point five", "USD2.50"),
            ("builtin:dtmf/currency", "2*50", "USD2.50"),
            ("builtin:speech/date", "the third of May", "????0503"),
            ("builtin:dtmf/date", "20260503", "20260503"),
            ("builtin:speech/time", "three thirty", "0330?"),
            ("builtin:speech/time", "three thirty in the afternoon", "0330p"),
            ("builtin:dtmf/time", "1530", "1530h"),
            ("builtin:speech/phone", "double five oh triple one extension two", "550111x2"),
            ("builtin:speech/phone", "plus 44 20 7946", "+44207946"),
            ("builtin:dtmf/phone", "5551234*12", "5551234x12"),
        ],
    )
    def test_values_are_those_of_voicexml(self, uri, text, value):
        assert meaning(builtin(uri, "en-US"), text) == value

    @pytest.mark.parametrize(
        "kind", ["boolean", "currency", "date", "digits", "number", "phone", "time"]
    )
    @pytest.mark.parametrize("locale", ["de-DE", "en-GB"])
    @pytest.mark.parametrize("way", ["speech", "dtmf"])
    def test_each_is_there(self, kind, locale, way):
        grammar = builtin(f"builtin:{way}/{kind}", locale)
        assert grammar.mode == ("voice" if way == "speech" else "dtmf")
        assert grammar.match("nonsense") is None

    @pytest.mark.parametrize(
        ("uri", "reason"),
        [
            ("builtin:speech/zodiac", "not known: boolean, "),
            ("builtin:music/digits", "is no builtin"),
            ("builtin:speech/digits?length=x", "no number of digits"),
            ("builtin:speech/digits?length=99", "digits"),
            ("builtin:speech/digits?least=3", "no parameter 'least'"),
            ("builtin:speech/digits?3", "name=value"),
            ("builtin:dtmf/boolean?y=1;n=1", "same key"),
            ("builtin:dtmf/boolean?y=yes", "keypad"),
            ("builtin:speech/digits?" + ";" * 2_000, "no builtin"),
        ],
    )
    def test_refusals(self, uri, reason):
        with pytest.raises(GrammarError, match=reason):
            builtin(uri, "en-US")

    def test_german_phone(self):
        assert meaning(phone("de"), "null eins doppel sieben zwo Durchwahl drei") == "01772x3"

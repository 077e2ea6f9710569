"""Grammars of common questions, spoken and typed, in English and German."""

from __future__ import annotations

import random

import pytest
from ringwheel.robot.grammar.builders import choices, digits, number, scale, yes_no
from ringwheel.robot.grammar.model import GrammarError
from ringwheel.robot.grammar.numerals import cardinal, ordinal


def meaning(grammar, text):
    found = grammar.match(text)
    return None if found is None else found.value


class TestChoices:
    OPTIONS = (
        ("sales", ["sales", "the sales department"], "1"),
        ({"id": 7}, ["Größe L"], "23"),
        (None, ["neither of them"], None),
    )

    def test_each_phrase_means_its_value(self):
        grammar = choices(self.OPTIONS, "en-GB")
        assert meaning(grammar, "The Sales department.") == "sales"
        assert meaning(grammar, "größe l") == {"id": 7}
        assert grammar.match("neither of them").value is None
        assert grammar.match("neither") is None

    def test_each_key_means_its_value(self):
        grammar = choices(self.OPTIONS, "en-GB", "dtmf")
        assert meaning(grammar, "1") == "sales"
        assert meaning(grammar, "23") == {"id": 7}
        assert grammar.progress("2") == (False, True)
        assert grammar.match("3") is None

    def test_what_nobody_can_say_or_type_is_refused(self):
        with pytest.raises(GrammarError, match="no words"):
            choices([("a", ["!?"], None)], "en")
        with pytest.raises(GrammarError, match="no choice has phrases"):
            choices([("a", [], "1")], "en")
        with pytest.raises(GrammarError, match="no choice has a key"):
            choices([("a", ["a"], None)], "en", "dtmf")

    def test_ten_thousand_phrases_are_found_at_once(self):
        many = choices(((n, [f"street number {n} of town"], None) for n in range(10_000)), "en")
        assert meaning(many, "street number 9999 of town") == 9_999


class TestYesNo:
    @pytest.mark.parametrize(
        ("locale", "yes", "no"),
        [
            ("en-US", "That's right!", "no thanks"),
            ("de-AT", "Ja, gerne", "Nö"),
            ("fr", "d’accord", "Non, merci."),
            ("es-ES", "Sí", "no"),
            ("it", "sì", "sbagliato"),
            ("nl", "klopt", "nee"),
        ],
    )
    def test_said(self, locale, yes, no):
        assert meaning(yes_no(locale), yes) is True
        assert meaning(yes_no(locale), no) is False

    def test_typed(self):
        assert meaning(yes_no("en", "dtmf"), "1") is True
        assert meaning(yes_no("en", "dtmf", ("9", "0")), "0") is False

    def test_a_language_that_is_not_known_names_those_that_are(self):
        with pytest.raises(GrammarError, match="de, en, es"):
            yes_no("fi")


class TestDigits:
    def test_said(self):
        grammar = digits(3, 5, "en")
        assert meaning(grammar, "one oh seven") == "107"
        assert meaning(grammar, "one zero seven two o") == "10720"
        assert meaning(grammar, "0107") == "0107"
        assert grammar.match("one two") is None
        assert grammar.match("one two three four five six") is None
        assert meaning(digits(2, 2, "de"), "zwo null") == "20"

    def test_typed_with_and_without_a_terminator(self):
        plain = digits(3, 4, mode="dtmf")
        assert [plain.progress(typed) for typed in ("12", "123", "1234", "123#")] == [
            (False, True),
            (True, True),
            (True, False),
            (False, False),
        ]
        ended = digits(3, 4, mode="dtmf", terminator="#")
        assert ended.progress("123#") == (True, False)
        assert ended.progress("12#") == (False, False)
        assert ended.progress("1234") == (True, False)
        assert meaning(ended, "123#") == "123"

    def test_bounds(self):
        for minimum, maximum in ((5, 4), (-1, 3), (0, 0), (1, 65)):
            with pytest.raises(GrammarError, match="digits"):
                digits(minimum, maximum)


class TestNumber:
    @pytest.mark.parametrize(
        ("locale", "text", "value"),
        [
            ("en", "twenty-three", 23),
            ("en", "one hundred and five", 105),
            ("en", "a hundred five", 105),
            ("en", "a thousand and one", 1_001),
            ("en", "two million three hundred thousand", 2_300_000),
            ("en", "1204", 1_204),
            ("de", "dreiundzwanzig", 23),
            ("de", "ein hundert und fünf", 105),
            ("de", "tausend", 1_000),
            ("de", "tausendundeins", 1_001),
            ("de", "eine Million zweihunderttausend", 1_200_000),
            ("de", "zwo", 2),
            ("de", "1.", None),
        ],
    )
    def test_said(self, locale, text, value):
        assert meaning(number(2, 9_999_999, locale), text) == value

    @pytest.mark.parametrize("language", ["de", "en"])
    def test_every_number_of_a_range_and_no_other(self, language):
        low, high = 97, 1_310
        grammar = number(low, high, language)
        for value in (*range(90, 125), *range(990, 1_015), *range(1_300, 1_320)):
            said = meaning(grammar, cardinal(value, language))
            assert said == (value if low <= value <= high else None), value

    @pytest.mark.parametrize(
        ("low", "high"), [(0, 1_998), (1_001, 2_000), (101, 198), (199_999, 1_000_001)]
    )
    def test_the_ends_of_a_range(self, low, high):
        grammar = number(low, high, "en")
        ends = (low - 1, low, low + 1, high - 1, high, high + 1)
        found = {value: meaning(grammar, cardinal(value, "en")) for value in ends if value >= 0}
        assert found == {value: value if low <= value <= high else None for value in found}

    @pytest.mark.parametrize("language", ["de", "en"])
    def test_large_numbers(self, language):
        grammar = number(0, 999_999_999, language)
        chance = random.Random(5)
        for value in (
            0,
            1_000,
            1_000_000,
            101_001_001,
            *(chance.randrange(10**9) for _ in "12345678"),
        ):
            assert meaning(grammar, cardinal(value, language)) == value

    def test_negative_numbers(self):
        grammar = number(-12, -3, "en")
        assert meaning(grammar, "minus seven") == -7
        assert grammar.match("minus two") is None
        assert grammar.match("seven") is None

    @pytest.mark.parametrize(("low", "high"), [(0, 9), (5, 12), (7, 1_203), (250, 251), (0, 100)])
    def test_typed(self, low, high):
        grammar = number(low, high, "en", "dtmf")
        for value in range(min(high + 20, 1_500)):
            assert meaning(grammar, str(value)) == (value if low <= value <= high else None), value
            complete, more = grammar.progress(str(value))
            assert complete == (low <= value <= high)
            follows = any(
                low <= longer <= high
                for longer in range(low, high + 1)
                if str(longer).startswith(str(value)) and longer != value
            )
            assert more == follows, value
        assert grammar.match("007") is None

    def test_bounds(self):
        with pytest.raises(GrammarError, match="lower first"):
            number(3, 2, "en")
        with pytest.raises(GrammarError, match="negative"):
            number(-1, 2, "en", "dtmf")
        with pytest.raises(GrammarError, match="de, en"):
            number(1, 2, "fr")
        with pytest.raises(GrammarError, match="too long"):
            scale(1, 1_000, "en")

    def test_scale(self):
        assert meaning(scale(1, 10, "de"), "zehn") == 10
        assert scale(1, 10, "de", "dtmf").progress("1") == (True, True)
        assert scale(1, 10, "de", "dtmf").progress("2") == (True, False)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", {1: "first", 5: "fifth", 12: "twelfth", 20: "twentieth", 21: "twenty first"}),
        ("de", {1: "erste", 3: "dritte", 8: "achte", 19: "neunzehnte", 20: "zwanzigste"}),
    ],
)
def test_ordinals(language, words):
    assert {number: ordinal(number, language) for number in words} == words

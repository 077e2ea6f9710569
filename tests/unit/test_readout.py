"""Values as words: what a caller would hear."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.robot.script.readout import (
    LANGUAGES,
    ReadoutError,
    currency_known,
    read_out,
    supported,
)

KINDS = ("number", "ordinal", "digits", "characters", "date", "time", "amount", "list")


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-US", "one thousand two hundred thirty-four point five"),
        ("en-GB", "one thousand two hundred and thirty-four point five"),
        ("de-DE", "eintausendzweihundertvierunddreißig Komma fünf"),
        ("fr", "mille deux cent trente-quatre virgule cinq"),
        ("es", "mil doscientos treinta y cuatro coma cinco"),
        ("it", "milleduecentotrentaquattro virgola cinque"),
        ("pt-BR", "mil duzentos e trinta e quatro vírgula cinco"),
        ("nl", "duizendtweehonderdvierendertig komma vijf"),
        ("zh-CN", "一千二百三十四点五"),
    ],
)
def test_numbers(locale, words):
    assert read_out(1234.5, "number", locale) == words


@pytest.mark.parametrize(
    ("locale", "date", "time", "amount"),
    [
        ("en", "May first, twenty twenty-six", "three thirty p.m.", "one euro and five cents"),
        ("de", "erster Mai zweitausendsechsundzwanzig", "fünfzehn Uhr dreißig", "ein Euro fünf"),
        ("fr", "premier mai deux mille vingt-six", "quinze heures trente", "un euro cinq"),
        (
            "es",
            "primero de mayo de dos mil veintiséis",
            "quince horas y treinta",
            "un euro con cinco",
        ),
        ("it", "primo maggio duemilaventisei", "quindici e trenta", "un euro e cinque"),
        (
            "pt",
            "primeiro de maio de dois mil e vinte e seis",
            "quinze horas e trinta",
            "um Euro e cinco",
        ),
        ("nl", "een mei tweeduizendzesentwintig", "vijftien uur dertig", "een euro vijf"),
        ("zh", "二零二六年五月一日", "十五点三十分", "一点零五欧元"),
    ],
)
def test_dates_times_and_amounts(locale, date, time, amount):
    assert read_out("2026-05-01", "date", locale) == date
    assert read_out("15:30", "time", locale) == time
    assert read_out(1.05, "amount", locale, "EUR") == amount


@pytest.mark.parametrize(
    ("value", "say_as", "currency", "words"),
    [
        (0, "number", None, "zero"),
        (-0.5, "number", None, "minus zero point five"),
        ("0049 30-1", "digits", None, "zero zero four nine three zero one"),
        ("ab1", "characters", None, "A, B, one"),
        ("21", "ordinal", None, "twenty-first"),
        ("00:05", "time", None, "twelve oh five a.m."),
        ("9:00", "time", None, "nine a.m."),
        ("2026-05-01T12:00:00", "time", None, "twelve p.m."),
        (-0.5, "amount", "GBP", "minus zero British pounds and fifty pence"),
        (3, "amount", "JPY", "three Japanese yen"),
        (2.005, "amount", None, "two point zero zero five"),
        (["tea", 2, "milk"], "list", None, "tea, two, and milk"),
        ([], "list", None, ""),
    ],
)
def test_the_edges_of_it(value, say_as, currency, words):
    assert read_out(value, say_as, "en-US", currency) == words


@pytest.mark.parametrize(
    ("value", "say_as"),
    [
        (True, "number"),
        ("many", "number"),
        (10**15, "number"),
        (float("nan"), "number"),
        (0, "ordinal"),
        ("12a", "digits"),
        (None, "characters"),
        ("1 May", "date"),
        ("25:00", "time"),
        ("1" * 200, "digits"),
        ({}, "list"),
        ([None], "list"),
        ([1] * 51, "list"),
    ],
)
def test_what_cannot_be_read_out_so(value, say_as):
    with pytest.raises(ReadoutError):
        read_out(value, say_as, "en")


def test_locales():
    assert all(supported(locale) for locale in ("en", "en-GB", "zh-Hant-TW", "DE"))
    assert not any(supported(locale) for locale in ("", "e", "xx", "english", "en-", "en_US"))
    with pytest.raises(ReadoutError, match="nothing can be read out in 'xx'"):
        read_out(1, "number", "xx")
    assert currency_known("EUR")
    assert not currency_known("XYZ")


VALUES = st.one_of(
    st.integers(-(10**16), 10**16),
    st.floats(),
    st.text(max_size=20),
    st.dates().map(str),
    st.times().map(str),
    st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=4),
)


@given(VALUES, st.sampled_from(KINDS), st.sampled_from(sorted(LANGUAGES)))
def test_anything_is_read_out_or_refused(value, say_as, locale):
    try:
        words = read_out(value, say_as, locale, "EUR")
    except ReadoutError:
        return
    assert isinstance(words, str)
    assert not any(character.isdigit() for character in words) or say_as in ("characters", "list")

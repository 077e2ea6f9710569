"""Expressions and templates of scripts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel.robot.script.expressions import Expression, ExpressionError, Template
from ringwheel.robot.script.place import Place
from ringwheel.robot.script.values import MOST_TEXT

SATURDAY_MS = 1_795_267_000_000
SCOPE = {
    "age": 20,
    "name": "Ann",
    "order": {"status": 200, "body": {"items": [{"price": 2.5}, {"price": 4}], "open": True}},
    "scores": [3, 1, 2],
    "nothing": None,
    "secrets": {"key": "hunter2"},
    "now_ms": SATURDAY_MS,
}


def value_of(source):
    return Expression.parse(source).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("age >= 18 and name == 'Ann'", True),
        ("18 <= age < 20", False),
        ("age + 1.5", 21.5),
        ("7 // 2 * 2 + 7 % 2 - -1", 8),
        ("2 ** 10", 1024),
        ("'Hello ' + name", "Hello Ann"),
        ("scores + [4]", [3, 1, 2, 4]),
        ("'adult' if age > 17 else 'child'", "adult"),
        ("order.body.items[1].price", 4),
        ("order['status']", 200),
        ("name[0]", "A"),
        ("name[1:]", "nn"),
        ("scores[-1]", 2),
        ("true and not false", True),
        ("nothing == null", True),
        ("'n' in name and 5 not in scores", True),
        ("{'a': age, 'b': [name]}", {"a": 20, "b": ["Ann"]}),
        ("len(scores) + len(name)", 6),
        ("int('42') + int(3.9)", 45),
        ("float('2.5')", 2.5),
        ("str(age) + str(2.0) + str(true)", "202true"),
        ("lower('AB') + upper('cd') + strip(' e ')", "abCDe"),
        ("round(2.567, 2)", 2.57),
        ("round(2.6)", 3),
        ("abs(-3) + min(scores) + max(1, 9) + sum(scores)", 19),
        ("any([0, 1]) and not all([0, 1])", True),
        ("contains(name, 'an')", True),
        ("contains(scores, 3)", True),
        ("matches(name, '[A-Z][a-z]+')", True),
        ("matches(name, '[A-Z]')", False),
        ("get(order, 'body.items.1.price', 0)", 4),
        ("get(order, 'body.total', 0)", 0),
        ("join(split('a,b', ','), ' and ')", "a and b"),
        ("today()", "2026-11-21"),
        ("now('Europe/Berlin').hour - now().hour", 1),
        ("now().weekday", 6),
        ("add_days(today(), 10)", "2026-12-01"),
        ("days_between('2026-11-21', '2026-12-24')", 33),
        ("weekday('2026-12-24')", 4),
    ],
)
def test_values(source, value):
    assert value_of(source) == value


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "an expression is missing"),
        ("age = 3", "`==` compares"),
        ("age > 3 && true", "write `and`"),
        ("lenn(name)", "did you mean `len`?"),
        ("len", "write `len(...)`"),
        ("len()", "takes 1 argument, not 0"),
        ("min(1, key=2)", "by their order"),
        ("name.upper()", "no functions of their own"),
        ("[x for x in scores]", "there are no loops"),
        ("lambda: 1", "no functions to be made"),
        ("(age, name)", "square brackets"),
        ("f'{age}'", "put together by +"),
        ("age is null", "== and != compare"),
        ("1 << 99", "+ - * / // % **"),
        ("~age", "-, + and not"),
        ("b'x'", "no value that scripts know"),
        ("1e999", "too large"),
        ("__import__('os')", "there is no function"),
        ("_private", "begin with a letter"),
        ("{1: 2}", "keys are texts"),
        ("{**order}", "keys are texts"),
        ("[*scores]", "cannot stand in an expression"),
        ("matches(name, '(')", "no regular expression"),
        ("1) + (2", "is no expression"),
        ("not " * 100 + "age", "at most"),
        ("(" * 300, "is no expression"),
        ("age+" * 2_000 + "1", "at most"),
    ],
)
def test_what_is_no_expression_is_told_when_it_is_read(source, reason):
    with pytest.raises(ExpressionError, match="(?s).") as caught:
        Expression.parse(source, Place(3, 7))
    assert reason in caught.value.text
    assert caught.value.place == Place(3, 7)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("missing + 1", "`missing` has been given none"),
        ("order.body.total", "`order.body` has no `total`; get() has a default"),
        ("scores[7]", "has no `7`"),
        ("name + age", "str() and int() turn them"),
        ("'ab' * 5", "do not go together"),
        ("'%9999999d' % 1", "do not go together"),
        ("[0] * 100000", "do not go together"),
        ("age < name", "do not go together"),
        ("1 / 0", "divides by zero"),
        ("9 ** 65", "too large"),
        ("(-8) ** 0.5", "neither text, number"),
        ("10 ** 18 * 10", "too large"),
        ("len(age)", "takes a text, a list or a mapping"),
        ("int('x')", "no whole number"),
        ("sum(['a'])", "takes numbers"),
        ("now('No/Where')", "no such time zone"),
        ("now('../../etc/passwd')", "no such time zone"),
        ("add_days('2026-13-01', 1)", "dates as 2026-12-24"),
        ("add_days('9999-12-31', 1)", "leaves the calendar"),
        ("-name", "do not go together"),
    ],
)
def test_what_has_no_value_is_told_when_it_is_evaluated(source, reason):
    with pytest.raises(ExpressionError) as caught:
        value_of(source)
    assert reason in caught.value.text


@pytest.mark.parametrize(
    "source", ["int(secrets.key)", "secrets.key + 1", "order[secrets.key]", "now(secrets.key)"]
)
def test_an_error_does_not_tell_the_values(source):
    with pytest.raises(ExpressionError) as caught:
        value_of(source)
    assert "hunter2" not in str(caught.value)


def test_texts_and_values_cannot_grow_without_end():
    text = "a" * (MOST_TEXT // 2 + 1)
    with pytest.raises(ExpressionError, match="at most"):
        Expression.parse("text + text").evaluate({"text": text})
    with pytest.raises(ExpressionError, match="at most"):
        Template.parse("${text}${text}").render({"text": text})
    with pytest.raises(ExpressionError, match="parts"):
        Expression.parse("[many, many]").evaluate({"many": [0] * 1_500})


def test_a_pattern_that_backtracks_elsewhere_takes_no_time():
    assert not Expression.parse("matches(text, '(a*)*b')").evaluate({"text": "a" * MOST_TEXT})


def test_names_are_the_variables_that_it_reads():
    assert Expression.parse("order.body.items[index] + len(name)").names == {
        "order",
        "index",
        "name",
    }
    assert Expression.parse("today()").names == {"now_ms"}
    assert Expression.parse("'a' + 'b'").names == frozenset()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hello ${name}, ${age + 0.0} years.", "Hello Ann, 20 years."),
        ("plain", "plain"),
        ("", ""),
        ("${name}", "Ann"),
        ("$${name} costs $5", "${name} costs $5"),
        ("${ {'}': name}['}'] }!", "Ann!"),
        ("${nothing}${order.body.open}${scores}", "true[3, 1, 2]"),
    ],
)
def test_templates(source, text):
    assert Template.parse(source).render(SCOPE) == text


def test_a_template_without_expressions_is_constant():
    assert Template.parse("$${x} is plain").constant == "${x} is plain"
    assert Template.parse("${x}").constant is None


def test_an_error_in_a_template_has_its_column():
    with pytest.raises(ExpressionError) as caught:
        Template.parse("Hello ${name} and ${)}", Place(5, 10))
    assert caught.value.place == Place(5, 30)
    with pytest.raises(ExpressionError, match="without `}`"):
        Template.parse("Hello ${name")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
PIECES = (
    "a b.c b['c'] [1,2] 'x' 3 2.5 + - * / // % ** == < in not and or if else ( ) [ ] , : len( "
    "int( str( max( sum( get( split( now( matches( true null {'k': } round("
)
pieces = st.sampled_from(PIECES.split())


@settings(max_examples=300)
@given(st.lists(pieces, max_size=12).map(" ".join) | st.text(max_size=40), json_values, json_values)
def test_nothing_but_an_expression_error_comes_of_anything(source, a, b):
    for kind in (Expression, Template):
        try:
            read = kind.parse(source)
            scope = {"a": a, "b": b, "now_ms": SATURDAY_MS}
            read.evaluate(scope) if kind is Expression else read.render(scope)
        except ExpressionError:
            pass

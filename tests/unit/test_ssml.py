"""SSML: written, checked, and cut into pieces for engines that take text alone."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.robot.speech.ssml import (
    MarkPiece,
    PausePiece,
    SpokenPiece,
    SsmlError,
    check,
    pieces,
    plain_text,
    sentences,
    to_ssml,
)


def speak(content, more=""):
    return (
        '<speak xmlns="http://www.w3.org/2001/10/synthesis" version="1.1" xml:lang="en-GB"'
        f"{more}>{content}</speak>"
    )


def said(text, **manner):
    return SpokenPiece(text, "en-GB", **manner)


@given(st.text(max_size=60))
def test_any_text_can_be_written_and_says_itself(text):
    document = to_ssml(text, "de-DE", "anna")
    found = pieces(document, "en")
    shown = [
        character for character in "".join(piece.text for piece in found) if character != "\ufffd"
    ]
    kept = [character for character in text if not character.isspace()]
    assert [c for c in shown if not c.isspace()] == [c for c in kept if c in shown]
    assert all(piece.locale == "de-DE" and piece.voice == "anna" for piece in found)


class TestPieces:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("Hello  <emphasis>dear</emphasis>\n caller", [said("Hello dear caller")]),
            ("", []),
            ("a<break/>b", [said("a"), PausePiece(400), said("b")]),
            ("a<break time='1.5s'/>", [said("a"), PausePiece(1_500)]),
            ("a<break strength='none'/> b", [said("a b")]),
            ("a<break/><break time='100ms'/>b", [said("a"), PausePiece(500), said("b")]),
            ("<p>One.</p><p><s>Two.</s><s>Three.</s></p>",
             [said("One."), PausePiece(500), said("Two."), PausePiece(200), said("Three.")]),
            ("a<mark name='m1'/>b", [said("a"), MarkPiece("m1"), said("b")]),
            ("<sub alias='World Wide Web'>WWW</sub>", [said("World Wide Web")]),
            ("<say-as interpret-as='digits'>12 34</say-as>", [said("1 2 3 4")]),
            ("<say-as interpret-as='vxml:digits'>07</say-as>", [said("0 7")]),
            ("<say-as interpret-as='date'>2026-05-03</say-as>", [said("2026-05-03")]),
            ("<audio src='x.wav'>a sound<desc>noise</desc></audio>", [said("a sound")]),
            ("<phoneme ph='x'>tomato</phoneme> <w>soup</w>", [said("tomato soup")]),
            ("<prosody rate='fast'>a</prosody>", [said("a", rate=1.4)]),
            ("<prosody rate='80%' pitch='+10%'>a</prosody>", [said("a", rate=0.8, pitch=1.1)]),
            ("<prosody rate='-10%' pitch='-12st'>a</prosody>", [said("a", rate=0.9, pitch=0.5)]),
            ("<prosody pitch='120Hz' volume='soft'>a</prosody>", [said("a", volume_db=-6.0)]),
            ("<prosody volume='-6dB'><prosody volume='-6dB'>a</prosody></prosody>",
             [said("a", volume_db=-12.0)]),
            ("<prosody volume='silent'>a</prosody>", [said("a", volume_db=-100.0)]),
            ("<prosody rate='x-fast'><prosody rate='999%'>a</prosody></prosody>",
             [said("a", rate=4.0)]),
            ("<voice name='anna bert'>a</voice> b", [said("a", voice="anna"), said("b")]),
            ("a <lang xml:lang='fr'>oui</lang>", [said("a"), SpokenPiece("oui", "fr")]),
            ("<meta name='a' content='b'/><metadata><x/></metadata>a", [said("a")]),
        ],
    )  # fmt: skip
    def test_what_is_said(self, content, expected):
        assert list(pieces(speak(content), "de")) == expected

    def test_locale_and_voice_of_what_names_none(self):
        assert pieces("<speak>ja</speak>", "de", "anna") == (SpokenPiece("ja", "de", "anna"),)
        # A voice is one of its language.
        assert pieces(speak("yes"), "de", "anna") == (SpokenPiece("yes", "en-GB"),)

    def test_text_alone(self):
        assert (
            plain_text(speak("a &lt;<break/>b<mark name='x'/> <sub alias='c'>d</sub>")) == "a < b c"
        )

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            ("Hello <emphasis>you</emphasis>, friend", "Hello you, friend"),
            ("on <prosody rate='slow'>Tuesday</prosody>.", "on Tuesday."),
            ("un<emphasis>believ</emphasis>able", "unbelievable"),
            ("<voice name='a'>one</voice> <voice name='a'>two</voice>", "one two"),
            ("<s>One.</s><s>Two.</s>", "One. Two."),
            ("<w>one</w><w>two</w>", "one two"),
            ("call <say-as interpret-as='digits'>911</say-as>!", "call 9 1 1!"),
            ("a<mark name='m'/>, b", "a, b"),
        ],
    )
    def test_words_and_commas_are_put_together_as_they_stand(self, content, text):
        assert plain_text(speak(content)) == text
        assert "".join(
            piece.text for piece in pieces(speak(content), "de") if isinstance(piece, SpokenPiece)
        ).replace(" ", "") == text.replace(" ", "")

    def test_sentences(self):
        cut = sentences(said("One. Two 3.5 three!  Four", rate=2.0))
        assert cut == (
            said("One.", rate=2.0),
            said("Two 3.5 three!", rate=2.0),
            said("Four", rate=2.0),
        )


class TestRefuse:
    @pytest.mark.parametrize(
        ("document", "reason"),
        [
            ("", "not well formed"),
            ("hello", "not well formed"),
            ("<speak>", "not well formed"),
            ("<html>a</html>", "<html> is no SSML"),
            (speak("<script>x</script>"), "<script> is not understood"),
            (speak("<break time='1 hour'/>"), "time '1 hour'"),
            (speak("<break time='900s'/>"), "at most 30000 ms"),
            (speak("<break strength='huge'/>"), "strength 'huge'"),
            (speak("<mark/>"), "needs name"),
            (speak("<say-as>1</say-as>"), "needs interpret-as"),
            (speak("<say-as interpret-as='digits'><break/></say-as>"), "<break> in <say-as>"),
            (speak("<prosody rate='often'>a</prosody>"), "rate 'often'"),
            (speak("<prosody pitch='2'>a</prosody>"), "pitch '2'"),
            (speak("<prosody volume='6dB'>a</prosody>"), "volume '6dB'"),
            (speak("<p>" * 200 + "</p>" * 200), "deep"),
            (speak("a<break/>" * 3_000), "pieces"),
            (speak("a" * 100_000), "characters"),
            (
                "<!DOCTYPE speak [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><speak>&x;</speak>",
                "DOCTYPE",
            ),
            (speak("<lexicon uri='http://192.0.2.1/'/>"), "<lexicon> is not understood"),
        ],
    )
    def test_what_cannot_be_spoken(self, document, reason):
        with pytest.raises(SsmlError, match=reason):
            check(document)

    def test_with_its_place(self):
        with pytest.raises(SsmlError) as raised:
            check("<speak>a\n  <blink/></speak>")
        assert (raised.value.line, raised.value.column) == (2, 3)

    @given(st.data())
    def test_any_damage(self, data):
        whole = speak("a<break time='1s'/><prosody rate='80%' volume='-6dB'>b</prosody>")
        start = data.draw(st.integers(0, len(whole)))
        damaged = whole[:start] + data.draw(st.text(max_size=6)) + whole[start + 2 :]
        with contextlib.suppress(SsmlError):
            pieces(damaged, "en")

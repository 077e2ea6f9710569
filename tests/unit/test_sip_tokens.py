"""Random texts for tags, Call-IDs and branches (RFC 3261 19.3)."""

from random import Random

from ringwheel.media._core import Tokens


class Zeros(Random):
    looks = 0

    def getrandbits(self, k):
        self.looks += 1
        return 0


def test_each_is_64_bits_of_its_own_and_the_source_is_asked_seldom():
    tokens = Tokens(Random(1))
    made = [tokens() for _ in range(1_000)]
    assert len(set(made)) == 1_000
    assert all(len(token) == 16 and int(token, 16) >= 0 for token in made)


def test_leading_zeros_are_written():
    source = Zeros()
    tokens = Tokens(source)
    assert {tokens() for _ in range(64)} == {"0" * 16}
    assert source.looks == 1
    tokens()
    assert source.looks == 2

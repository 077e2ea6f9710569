"""A list of prompts as a shard takes it."""

from ringwheel.media._core import Prompt, Shard


class Counted(Prompt):
    """One whose end is told."""

    ended: list[int]

    def __del__(self):
        self.ended.append(1)


class Made:
    """A sequence whose prompts are made when it is asked for them, and kept by nobody."""

    def __init__(self, ended):
        self.ended, self.ended_meanwhile = ended, 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self.ended_meanwhile += len(self.ended)
        prompt = Counted(bytes(160))
        prompt.ended = self.ended
        return prompt


def test_prompts_that_a_sequence_makes_last_until_the_list_holds_them():
    shard = Shard(4)
    made = Made([])
    try:
        shard.play(0, 1, made)
    finally:
        shard.stop()
    assert made.ended_meanwhile == 0
    assert len(made.ended) == len(made)

"""Answers that are taken up: their text, piece by piece, with what the sampler drew."""

from autoglmd.messages.generation import SamplingParams, TextPrompt, TokenText
from tests.support.session_box import ids_of, started, text_of
from tests.support.session_boxes import Open, end_of, make_boxes, pieces

__all__ = ["make_boxes"]


async def test_an_answer_with_a_stop_string_is_the_same_wherever_it_broke(open_box: Open) -> None:
    """Also inside what may become one, and where its end is inside a token."""
    box = open_box("tiny-fp32")
    whole = text_of(await box.ask("hello", max_tokens=60))
    stops = (whole[30:35], whole[10:12] + "\ufffe", whole[20:22] + "\ufffe")
    expected = await box.ask("hello", "quiet", max_tokens=60, stop=stops)
    after = await box.ask("more", "quiet")
    assert end_of(expected).stop == stops[0]
    place = 0
    for piece in (TokenText("", ()), *pieces(expected)):
        place += len(piece.ids)
        if place == len(ids_of(expected)):
            break
        had = await box.broken("hello", f"s{place}", place, max_tokens=60, stop=stops)
        rest = await box.resume(f"s{place}", place)
        assert (text_of(had) + text_of(rest), end_of(rest).stop) == (text_of(expected), stops[0])
        assert ids_of(had) + ids_of(rest) == ids_of(expected)
        assert ids_of(await box.ask("more", f"s{place}")) == ids_of(after)


async def test_characters_of_several_tokens_come_whole_wherever_the_answer_broke(open_box: Open) -> None:
    """Each with the ids of all of its tokens; no piece is told twice, and none is missing."""
    box = open_box("tiny-per-token")
    prompt = TextPrompt("把客厅的灯🙂")
    hot = SamplingParams(temperature=5.0, seed=11)
    expected = await box.ask(prompt, "quiet", sampling=hot, max_tokens=40)
    assert any(len(piece.ids) > 1 for piece in pieces(expected))
    place = 0
    for piece in pieces(expected)[:-1]:
        place += len(piece.ids)
        had = await box.broken(prompt, f"s{place}", place, sampling=hot, max_tokens=40)
        rest = await box.resume(f"s{place}", place)
        assert pieces(had) + pieces(rest) == pieces(expected)


async def test_who_asks_in_the_middle_of_a_piece_gets_it_whole(open_box: Open) -> None:
    """Nothing is missing; what is told again is told with its ids."""
    box = open_box("tiny-per-token")
    hot = SamplingParams(temperature=5.0, seed=11)
    expected = pieces(await box.ask(TextPrompt("把客厅的灯🙂"), "s", sampling=hot, max_tokens=40))
    index = next(index for index, piece in enumerate(expected) if len(piece.ids) > 1)
    before = sum(len(piece.ids) for piece in expected[:index])
    assert pieces(await box.resume("s", before + 1)) == expected[index:]


async def test_log_probabilities_are_those_of_the_first_time(open_box: Open) -> None:
    """All of them are computed again."""
    box = open_box("tiny-fp32")
    asked = SamplingParams(temperature=0.0, logprobs=2)
    expected = await box.ask("hello", "s", sampling=asked)
    for after in (0, 1, 7):
        told = [entry for piece in pieces(await box.resume("s", after)) for entry in piece.logprobs]
        assert told == [entry for piece in pieces(expected) for entry in piece.logprobs][after:]


async def test_the_seed_that_was_drawn_is_kept(open_box: Open) -> None:
    """The client never chose one."""
    box = open_box()
    had = await box.broken("hello", "s", 4, sampling=SamplingParams(temperature=1.5))
    rest = await box.resume("s", 0)
    assert started(rest).seed == started(had).seed
    assert ids_of(rest)[:4] == ids_of(had)[:4]
    again = await box.ask("hello", "other", sampling=SamplingParams(temperature=1.5, seed=started(had).seed))
    assert ids_of(again) == ids_of(rest)

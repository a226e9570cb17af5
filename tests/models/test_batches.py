"""Vocabulary, chat format and batches: from turns to token ids."""

from pathlib import Path

import numpy as np
from sentencepiece import SentencePieceProcessor

from autoglmd.messages.generation import Message
from autoglmd.model.chat_template import ChatTemplate
from models.glm_small import calibration, vocabulary
from models.glm_small.batches import BATCH_TOKENS, BATCHES_PER_POOL, ROW_TOKENS, batches
from models.glm_small.chat import CHAT_TEMPLATE, IGNORED_LABEL, SPECIAL_TOKENS, USER, labelled, prompt
from models.glm_small.corpus import Corpus


def test_text_survives_the_vocabulary_unchanged(pieces: SentencePieceProcessor) -> None:
    """Spaces, newlines, both commas and characters that no grammar has come back as they were."""
    for text in (
        "你好,介绍一下你自己",
        "你好，介绍一下你自己",
        " two  spaces\n",
        "龘 ¿qué? 😀",
        '{"device":"light","brightness":50}',
    ):
        assert pieces.decode(pieces.encode(text)) == text


def test_training_the_vocabulary_again_gives_the_same_file(vocabulary_file: Path, tmp_path: Path) -> None:
    """The file depends on the grammar only, not on where it is written."""
    assert vocabulary.train(tmp_path).read_bytes() == vocabulary_file.read_bytes()


def test_special_tokens_are_one_piece_each_and_digits_stand_alone(pieces: SentencePieceProcessor) -> None:
    """GLM's markers are single ids; a number is as many ids as it has digits."""
    assert [len(pieces.encode(token)) for token in SPECIAL_TOKENS] == [1] * len(SPECIAL_TOKENS)
    assert len(pieces.encode("把灯调到128")) == len(pieces.encode("把灯调到1")) + 2


def test_no_piece_joins_a_room_to_a_device(pieces: SentencePieceProcessor) -> None:
    """Unseen combinations are segmented like seen ones."""
    for room, device in (("阁楼", "加湿器"), ("洗衣房", "投影仪"), ("会议室", "地暖")):
        assert pieces.encode(room + device) == pieces.encode(room) + pieces.encode(device)


def test_only_answers_and_their_ends_are_learned(pieces: SentencePieceProcessor) -> None:
    """Labels spell the answers, each closed by the marker that begins the next turn."""
    conversation = Corpus(1).conversation(3)
    ids, labels = labelled(pieces, conversation, "你是 Open-AutoGLM。")
    learned = [label for label in labels if label != IGNORED_LABEL]
    assert pieces.decode(learned) == "".join(turn.answer + USER for turn in conversation)
    assert all(label in (IGNORED_LABEL, token) for label, token in zip(labels, ids, strict=True))


def test_the_prompt_is_the_beginning_of_what_was_trained(pieces: SentencePieceProcessor) -> None:
    """Prompt and answer together are token for token the training row."""
    conversation = Corpus(2).conversation(2)
    ids, _ = labelled(pieces, conversation)
    asked = pieces.encode(prompt(conversation[:-1], conversation[-1].text))
    assert ids == asked + pieces.encode(conversation[-1].answer + USER)


def test_the_chat_template_renders_the_same_prompt() -> None:
    """The daemon's Jinja and the trainer agree on the format."""
    first, second = Corpus(3).conversation(2)
    messages = [Message("user", first.text), Message("assistant", first.answer), Message("user", second.text)]
    assert ChatTemplate(CHAT_TEMPLATE, {}).render(messages) == prompt((first,), second.text)


def test_batches_do_not_depend_on_where_a_run_begins(pieces: SentencePieceProcessor) -> None:
    """A run that is resumed in the middle of a pool, or across two, sees the batches that it would have seen."""
    whole = list(batches(pieces, 1, 0, 20))
    resumed = list(batches(pieces, 1, 13, 7))
    assert len(whole) == 20
    for expected, got in zip(whole[13:], resumed, strict=True):
        assert np.array_equal(expected.ids, got.ids)
        assert np.array_equal(expected.labels, got.labels)


def test_batches_are_equally_large_and_little_is_padding(pieces: SentencePieceProcessor) -> None:
    """Every batch has the same number of tokens, short rows or long; conversations fill the rows to the brim."""
    made = list(batches(pieces, 2, 0, BATCHES_PER_POOL))
    assert {batch.ids.size for batch in made} == {BATCH_TOKENS}
    assert {batch.ids.shape[1] for batch in made} > {ROW_TOKENS}
    assert sum(int((batch.ids == 0).sum()) for batch in made) / (BATCH_TOKENS * BATCHES_PER_POOL) < 0.02


def test_positions_begin_again_where_a_conversation_begins(pieces: SentencePieceProcessor) -> None:
    """A zero position is a [gMASK] or padding: attention never crosses from one conversation to the next."""
    first = pieces.piece_to_id("[gMASK]")
    batch = next(batch for batch in batches(pieces, 2, 0, 5) if batch.ids.shape[1] == ROW_TOKENS)
    begins = batch.positions == 0
    assert begins.sum() > 2 * len(batch.ids)
    assert set(batch.ids[begins].tolist()) <= {first, 0}
    assert begins[batch.ids == first].all()


def test_a_label_is_the_next_token(pieces: SentencePieceProcessor) -> None:
    """Where a label counts, it is the id one position later; after a conversation's last label comes another one."""
    batch = next(batches(pieces, 3, 0, 1))
    inner, following = batch.labels[:, :-1], batch.ids[:, 1:]
    counts = (inner != IGNORED_LABEL) & (batch.positions[:, 1:] != 0)
    assert counts.sum() > batch.ids.size / 4
    assert np.array_equal(inner[counts], following[counts])


def test_the_calibration_text_is_conversations_as_the_model_sees_them(pieces: SentencePieceProcessor) -> None:
    """It is long enough for the builder's windows, and its special tokens are special."""
    ids = pieces.encode(calibration.text())
    assert len(ids) > 4096
    assert ids[:3] == [pieces.piece_to_id(token) for token in ("[gMASK]", "<sop>", USER)]
    assert calibration.text() == calibration.text()

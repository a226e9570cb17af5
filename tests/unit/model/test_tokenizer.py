"""Both kinds of tokenizers, whole and broken."""

import json
from pathlib import Path
from typing import Any

import pytest

from autoglmd.errors.model import TokenizerError
from autoglmd.model.side_file import MAX_BYTES
from autoglmd.model.tokenizer import load_tokenizer
from tests.support.fixture_models import FOLDER, VOCABULARY, copy_bundle, edit_json, tokenizer_of

BOTH = pytest.mark.parametrize("name", ["tiny-int8", "tiny-per-token"])


@BOTH
@pytest.mark.parametrize("text", ["你好,介绍一下你自己", "Hello, world", "😀 and 龘"])
def test_a_text_comes_back_from_its_ids(name: str, text: str) -> None:
    """Chinese, English and characters that the vocabulary has only as bytes."""
    tokenizer = tokenizer_of(name)
    assert tokenizer.decode(tokenizer.encode(text, add_prefix=False)) == text


@BOTH
def test_special_tokens_written_out_are_their_ids_and_have_no_text(name: str) -> None:
    """A rendered chat needs the first; an answer never shows the second."""
    tokenizer = tokenizer_of(name)
    ids = tokenizer.encode("<|user|>", add_prefix=False)
    assert 4 in ids
    assert tokenizer.decode([1, 2, 1]) == ""


@BOTH
def test_ids_beyond_the_tokenizer_have_no_text(name: str) -> None:
    """A model's vocabulary is often padded; what it draws there must not break the stream."""
    tokenizer = tokenizer_of(name)
    ids = tokenizer.encode("hi", add_prefix=False)
    assert tokenizer.decode([*ids, VOCABULARY, 100_000]) == tokenizer.decode(ids)


@BOTH
def test_nothing_is_nothing(name: str) -> None:
    """An empty text has no ids, no ids have no text."""
    tokenizer = tokenizer_of(name)
    assert tokenizer.encode("", add_prefix=False) == []
    assert tokenizer.decode([]) == ""
    assert tokenizer.size == VOCABULARY


def test_the_models_prefix_goes_before_bare_prompts_only(tmp_path: Path) -> None:
    """add_bos_token and prefix_tokens are for prompts without a template."""
    folder = copy_bundle("tiny-int8", tmp_path / "m")
    edit_json(folder / "tokenizer_config.json", lambda settings: settings.update(add_bos_token=True))
    tokenizer, _ = load_tokenizer(folder, VOCABULARY)
    assert tokenizer.encode("hi", add_prefix=True)[0] == 1
    assert tokenizer.encode("hi", add_prefix=False)[0] != 1
    edit_json(
        folder / "tokenizer_config.json",
        lambda settings: settings.update(add_bos_token=False, prefix_tokens=["<|user|>", "<|system|>"]),
    )
    tokenizer, _ = load_tokenizer(folder, VOCABULARY)
    assert tokenizer.encode("hi", add_prefix=True)[:2] == [4, 3]


def test_added_tokens_that_are_marked_special_have_no_text(tmp_path: Path) -> None:
    """A sentencepiece model's settings may call a piece special that is an ordinary one to sentencepiece."""
    folder = copy_bundle("tiny-int8", tmp_path / "m")
    plain, _ = load_tokenizer(folder, VOCABULARY)
    assert plain.decode([388]) == "你好"
    marked = {"388": {"special": True}, "300": {"special": False}}
    edit_json(folder / "tokenizer_config.json", lambda settings: settings.update(added_tokens_decoder=marked))
    tokenizer, _ = load_tokenizer(folder, VOCABULARY)
    assert tokenizer.decode([388]) == ""
    assert tokenizer.decode([300]) == plain.decode([300])


def test_control_pieces_that_are_written_out_are_their_ids(tmp_path: Path) -> None:
    """A Llama's template writes <s> and </s>, which sentencepiece itself would spell out as text."""
    tokenizer, _ = load_tokenizer(copy_bundle("tiny-int8", tmp_path / "m"), VOCABULARY)
    hello, world = tokenizer.encode("hello", add_prefix=False), tokenizer.encode("world", add_prefix=False)
    assert tokenizer.encode("<s>hello</s><s>world", add_prefix=False) == [1, *hello, 2, 1, *world]
    assert tokenizer.encode("<s", add_prefix=False) != [1]
    assert {"<s>", "</s>"} <= tokenizer.special


def test_a_tokenizer_without_the_ids_that_end_an_answer_is_refused(tmp_path: Path) -> None:
    """Another model's smaller one would be served, and no answer would ever end."""
    folder = copy_bundle("tiny-int8", tmp_path / "m")
    with pytest.raises(TokenizerError, match=r"ends answers with id 600, and the tokenizer has 512 ids"):
        load_tokenizer(folder, 1024, (2, 600))
    assert load_tokenizer(folder, 1024, (2, 511))


def test_a_tokenizer_file_that_truncates_or_pads_does_not(tmp_path: Path) -> None:
    """Settings left over from training never cut a prompt short in silence."""
    folder = copy_bundle("tiny-per-token", tmp_path / "m")
    edit_json(
        folder / "tokenizer.json",
        lambda content: content.update(
            truncation={"max_length": 4, "stride": 0, "strategy": "LongestFirst", "direction": "Right"},
            padding={
                "strategy": {"Fixed": 64},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "<unk>",
            },
        ),
    )
    tokenizer, _ = load_tokenizer(folder, VOCABULARY)
    text = "hello there, how are you today my friend"
    assert tokenizer.encode(text, add_prefix=True) == tokenizer_of("tiny-per-token").encode(text, add_prefix=True)


@pytest.mark.parametrize(
    ("name", "file"),
    [("tiny-int8", "tokenizer.model"), ("tiny-per-token", "tokenizer.json")],
)
@pytest.mark.parametrize("content", [b"", b"not a tokenizer", b"{}", b"\xff\xfe\x00"])
def test_a_broken_tokenizer_is_named(tmp_path: Path, name: str, file: str, content: bytes) -> None:
    """The error says which file cannot be used."""
    folder = copy_bundle(name, tmp_path / "m")
    (folder / file).write_bytes(content)
    with pytest.raises(TokenizerError, match=file):
        load_tokenizer(folder, VOCABULARY)


def test_a_truncated_tokenizer_is_named(tmp_path: Path) -> None:
    """Half a download is not a tokenizer."""
    folder = copy_bundle("tiny-per-token", tmp_path / "m")
    whole = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        load_tokenizer(folder, VOCABULARY)


def test_a_missing_tokenizer_is_an_error_that_names_both_files(tmp_path: Path) -> None:
    """Either would do."""
    with pytest.raises(TokenizerError, match=r"neither tokenizer\.json nor tokenizer\.model"):
        load_tokenizer(tmp_path, VOCABULARY)


def test_another_models_tokenizer_is_refused_with_both_sizes() -> None:
    """A tokenizer with more ids than the model has rows in its embedding cannot be its own."""
    with pytest.raises(TokenizerError, match="has 512 ids and the model 300"):
        load_tokenizer(FOLDER / "tiny-int8", 300)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "holds list, not an object"),
        (b"\xff\xff", "not valid JSON"),
        (b'{"chat_template": 5}', "chat_template"),
        (b'{"chat_template": [5]}', "tokenizer_config"),
        (b'{"chat_template": [{"name": "default"}]}', "tokenizer_config"),
        (b'{"chat_template": "{% if %}"}', "does not compile"),
        (b'{"chat_template": "x", "bos_token": {}}', "tokenizer_config"),
        (b'{"added_tokens_decoder": {"x": {"special": true}}}', "tokenizer_config"),
        (b'{"added_tokens_decoder": [1]}', "tokenizer_config"),
        (b'{"prefix_tokens": 5}', "tokenizer_config"),
        (b'{"prefix_tokens": ["<no such piece>"]}', "no such piece"),
    ],
)
def test_absurd_settings_are_an_error_of_the_bundle(tmp_path: Path, content: bytes, said: str) -> None:
    """Whatever is in tokenizer_config.json, the error is a TokenizerError that names it."""
    folder = copy_bundle("tiny-int8", tmp_path / "m")
    (folder / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(TokenizerError, match=said):
        load_tokenizer(folder, VOCABULARY)


def test_settings_of_absurd_size_are_not_read(tmp_path: Path) -> None:
    """The size is looked at first."""
    folder = copy_bundle("tiny-int8", tmp_path / "m")
    with (folder / "tokenizer_config.json").open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(TokenizerError, match="has at most"):
        load_tokenizer(folder, VOCABULARY)


def test_a_template_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are the bundle's fault."""
    folder = copy_bundle("tiny-int8", tmp_path / "m")
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe{{ x }}")
    with pytest.raises(TokenizerError, match=r"chat_template\.jinja"):
        load_tokenizer(folder, VOCABULARY)


def test_settings_may_be_missing(tmp_path: Path) -> None:
    """A tokenizer without a configuration works, without a chat template."""
    folder = copy_bundle("tiny-int8", tmp_path / "m")
    (folder / "tokenizer_config.json").unlink()
    tokenizer, template = load_tokenizer(folder, VOCABULARY)
    assert template is None
    assert tokenizer.decode([388]) == "你好"


def test_the_fixture_has_a_template() -> None:
    """Otherwise the tests above would pass for nothing."""
    settings: dict[str, Any] = json.loads((FOLDER / "tiny-int8" / "tokenizer_config.json").read_bytes())
    assert settings["chat_template"]
    assert load_tokenizer(FOLDER / "tiny-int8", VOCABULARY)[1] is not None


@BOTH
def test_a_piece_has_its_leading_space(name: str) -> None:
    """In the middle of a text a word's token brings its space along; named alone it still does."""
    tokenizer = tokenizer_of(name)
    ids = tokenizer.encode("hello on the light", add_prefix=False)
    assert "".join(map(tokenizer.piece, ids)).lstrip() == "hello on the light"


@BOTH
def test_special_tokens_are_known_by_name(name: str) -> None:
    """What a message must not contain."""
    tokenizer = tokenizer_of(name)
    assert all("<" in piece for piece in tokenizer.special)
    assert tokenizer.longest_piece >= max(map(len, tokenizer.special), default=1)

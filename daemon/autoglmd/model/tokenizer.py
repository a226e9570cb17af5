"""Text to token ids and back: sentencepiece's `tokenizer.model`, or Hugging Face's `tokenizer.json`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2

from autoglmd.errors.model import TokenizerError
from autoglmd.model.chat_template import ChatTemplate
from autoglmd.model.side_file import read_object


class Tokenizer(Protocol):
    """A model's vocabulary. Safe to call from several threads."""

    @property
    def size(self) -> int:
        """One more than the largest id."""
        ...

    @property
    def special(self) -> frozenset[str]:
        """Pieces that steer the model (roles, ends of turn) and that a text can spell out."""
        ...

    @property
    def longest_piece(self) -> int:
        """Characters of the longest piece: a text of n of them has at least n / longest_piece tokens."""
        ...

    def encode(self, text: str, *, add_prefix: bool) -> list[int]:
        """Ids of a text. Special tokens written out in it become their ids. Lets other threads run meanwhile.

        Args:
            text: any text.
            add_prefix: put the model's own prefix tokens (such as BOS) in front, as for a bare prompt; a rendered
                chat template has them already.
        """
        ...

    def encode_on(self, text: str) -> list[int]:
        """Ids of a text that goes on with another: what a tokenizer puts in front of a text is not put here."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, without special tokens; U+FFFD where the bytes are not whole characters."""
        ...

    def piece(self, token_id: int) -> str:
        """What one token stands for in the middle of a text, leading space included; special tokens by name."""
        ...


class SentencePieceTokenizer:
    """A sentencepiece model. Ids in `special_ids` never appear in text."""

    def __init__(
        self, processor: sentencepiece.SentencePieceProcessor, special_ids: frozenset[int], prefix: list[int]
    ) -> None:
        self._processor = processor
        self._going_on = _without_prefix(processor)
        self._special_ids = special_ids
        self._prefix = prefix
        pieces = [processor.id_to_piece(token) for token in range(self.size)]
        self.longest_piece = max(map(len, pieces))
        self.special = frozenset(pieces[token] for token in special_ids)
        # sentencepiece finds these in no text, and spells them out.
        self._control = {pieces[token]: token for token in range(self.size) if processor.is_control(token)}
        self._at_control = re.compile("|".join(map(re.escape, sorted(self._control, key=len, reverse=True))) or r"(?!)")

    @property
    def size(self) -> int:
        """See Tokenizer.size."""
        return int(self._processor.get_piece_size())

    def encode(self, text: str, *, add_prefix: bool) -> list[int]:
        """See Tokenizer.encode."""
        return [*(self._prefix if add_prefix else ()), *self._encode(self._processor, text)]

    def encode_on(self, text: str) -> list[int]:
        """See Tokenizer.encode_on."""
        return self._encode(self._going_on, text)

    def decode(self, ids: Sequence[int]) -> str:
        """See Tokenizer.decode."""
        # A model's vocabulary may be padded beyond the tokenizer's; sentencepiece raises for such ids.
        known = [token for token in ids if token < self.size and token not in self._special_ids]
        return str(self._processor.decode(known))

    def _encode(self, first: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
        """Ids of a text whose part before its first control piece is `first`'s; each part behind one is a text anew."""
        ids: list[int] = []
        start, processor = 0, first
        for found in self._at_control.finditer(text):
            ids += [*processor.encode(text[start : found.start()]), self._control[found.group()]]
            start, processor = found.end(), self._processor
        return ids + list(processor.encode(text[start:]))

    def piece(self, token_id: int) -> str:
        """See Tokenizer.piece."""
        if token_id >= self.size or self._processor.is_byte(token_id):
            return "\ufffd"
        return str(self._processor.id_to_piece(token_id)).replace("\u2581", " ")


class HuggingFaceTokenizer:
    """A fast tokenizer of the `tokenizers` library."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        # The file may hold the settings of its training. A prompt is never cut or filled up in silence.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.longest_piece = max(map(len, tokenizer.get_vocab(with_added_tokens=True)), default=1)
        added = tokenizer.get_added_tokens_decoder().values()
        self.special = frozenset(token.content for token in added if token.special)

    @property
    def size(self) -> int:
        """See Tokenizer.size."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def encode(self, text: str, *, add_prefix: bool) -> list[int]:
        """See Tokenizer.encode."""
        # `encode` keeps the interpreter's lock while it works, the batch call does not.
        return list(self._tokenizer.encode_batch_fast([text], add_special_tokens=add_prefix)[0].ids)

    def encode_on(self, text: str) -> list[int]:
        """See Tokenizer.encode_on."""
        return self.encode(text, add_prefix=False)

    def decode(self, ids: Sequence[int]) -> str:
        """See Tokenizer.decode."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def piece(self, token_id: int) -> str:
        """See Tokenizer.piece."""
        # The second of two has its leading space; decoders drop that of the first.
        text = self.decode([token_id, token_id])[len(self.decode([token_id])) :]
        return text or self._tokenizer.id_to_token(token_id) or "\ufffd"


def load_tokenizer(
    folder: Path, vocab_size: int, eos_ids: tuple[int, ...] = ()
) -> tuple[Tokenizer, ChatTemplate | None]:
    """Load a bundle's tokenizer and, where it has one, its chat template.

    Raises:
        TokenizerError: there is none, it is broken, or it is not the model's: it has ids that the model does not, or
            lacks the ids with which the model ends its answers.
    """
    file = folder / "tokenizer_config.json"
    settings = read_object(file, TokenizerError) if file.is_file() else {}
    try:
        tokenizer, template = _load(folder, settings), ChatTemplate.load(folder, settings)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TokenizerError(f"{file} has a value of the wrong kind: {error!r}. Copy the bundle again.") from error
    if tokenizer.size > vocab_size:
        raise TokenizerError(
            f"{folder}: the tokenizer has {tokenizer.size} ids and the model {vocab_size}. It is another model's; "
            "copy the one that the model was trained with."
        )
    if max(eos_ids, default=0) >= tokenizer.size:
        raise TokenizerError(
            f"{folder}: the model ends answers with id {max(eos_ids)}, and the tokenizer has {tokenizer.size} ids. "
            "It is another model's, or its added tokens are missing; copy the model's own tokenizer.json."
        )
    return tokenizer, template


def _load(folder: Path, settings: dict[str, Any]) -> Tokenizer:
    fast, pieces = folder / "tokenizer.json", folder / "tokenizer.model"
    if fast.is_file():
        try:
            return HuggingFaceTokenizer(tokenizers.Tokenizer.from_file(str(fast)))
        except Exception as error:
            raise TokenizerError(f"{fast} is broken: {error}") from error
    if not pieces.is_file():
        raise TokenizerError(
            f"{folder} has neither tokenizer.json nor tokenizer.model. Copy the model's tokenizer there."
        )
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    except Exception as error:
        raise TokenizerError(f"{pieces} is not a sentencepiece model: {error}") from error
    return SentencePieceTokenizer(processor, _special_ids(processor, settings), _prefix_ids(processor, settings))


def _without_prefix(processor: sentencepiece.SentencePieceProcessor) -> sentencepiece.SentencePieceProcessor:
    """The same vocabulary, for text that goes on: no space is put in front of it, and none is taken away."""
    model = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]  # made when it is imported
    model.ParseFromString(processor.serialized_model_proto())
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def _special_ids(processor: sentencepiece.SentencePieceProcessor, settings: dict[str, Any]) -> frozenset[int]:
    control = {i for i in range(processor.get_piece_size()) if processor.is_control(i)}
    added = settings.get("added_tokens_decoder", {})
    marked = {int(token) for token, entry in added.items() if entry.get("special")}
    named = settings.get("additional_special_tokens") or ()
    listed = {processor.piece_to_id(each["content"] if isinstance(each, dict) else each) for each in named}
    return frozenset(control | marked | listed - {processor.unk_id()})


def _prefix_ids(processor: sentencepiece.SentencePieceProcessor, settings: dict[str, Any]) -> list[int]:
    if settings.get("add_bos_token") and processor.bos_id() >= 0:
        return [processor.bos_id()]
    ids = {piece: processor.piece_to_id(piece) for piece in settings.get("prefix_tokens", ())}
    if unknown := [piece for piece, token in ids.items() if token == processor.unk_id()]:
        raise TokenizerError(f"prefix_tokens: {', '.join(unknown)} is not in tokenizer.model. Copy the bundle again.")
    return list(ids.values())

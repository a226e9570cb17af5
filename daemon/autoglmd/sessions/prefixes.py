"""Beginnings of prompts whose keys and values are known, page by page.

A page is shared between prompts of one tenant and one model that have the same tokens up to its end, and only if all of
them were computed as a prompt: what a prefill computes does not depend on where chunks end or who is computed beside,
while a token that was drawn got its keys and values from a decode, which differs in the last bit.
"""

import hashlib
import json
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile

from autoglmd.messages.sessions import PAGE_TOKENS, KvBlock
from autoglmd.sessions.conversation import Conversation, ModelMark
from autoglmd.sessions.memory import Memory

_BYTES_PER_PAGE = 64 * PAGE_TOKENS


@dataclass(frozen=True, slots=True)
class Page:
    """What a page's keys and values depend on.

    Attributes:
        tenant, model: whose prompts may use it.
        before: digest of the pages before it, and of tenant and model.
        ids: its own tokens.
        digest: of all of that.
    """

    tenant: str
    model: ModelMark
    before: bytes
    ids: tuple[int, ...]
    digest: bytes


def pages_of(tenant: str, model: ModelMark, ids: Sequence[int]) -> tuple[Page, ...]:
    """The whole pages of some tokens."""
    digest = hashlib.sha256(json.dumps([tenant, asdict(model)]).encode()).digest()
    pages = []
    for start in range(0, len(ids) - PAGE_TOKENS + 1, PAGE_TOKENS):
        own = tuple(ids[start : start + PAGE_TOKENS])
        before, digest = digest, hashlib.sha256(digest + array("q", own).tobytes()).digest()
        pages.append(Page(tenant, model, before, own, digest))
    return tuple(pages)


def is_page(block: KvBlock) -> bool:
    """Whether a block is one page, and nothing of it was taken back."""
    return block.start % PAGE_TOKENS == 0 and block.tokens == block.held == PAGE_TOKENS


def pages_in(told: Conversation) -> tuple[KvBlock, ...]:
    """The blocks of a conversation that are pages of its first prompt."""
    return tuple(takewhile(lambda block: is_page(block) and block.stop <= told.prompt_tokens, told.blocks))


class SharedPrefixes:
    """Pages in memory, which they share with the conversations there. Safe from any thread."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def find(self, pages: Sequence[Page]) -> tuple[KvBlock, ...]:
        """Keys and values of the first pages, as many as are known."""
        found: list[KvBlock] = list(takewhile(lambda block: block is not None, map(self._memory.find, pages)))
        # The first page last: what lies behind one that has gone is of no use.
        for page in reversed(pages[: len(found)]):
            self._memory.find(page)
        return tuple(found)

    def put(self, pages: Sequence[Page], blocks: Sequence[KvBlock]) -> None:
        """Take keys and values of pages. Of one that is known already, those that are known remain."""
        for page, block in reversed(list(zip(pages, blocks, strict=False))):
            if self._memory.find(page) is None:
                self._memory.put(page, block, (block,), _BYTES_PER_PAGE)

"""Beginnings that a tenant's prompts have in common: found before a prompt is computed, and taken when it has been."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import replace

from autoglmd.engine.sequence import Ended, EngineEvent, Kept
from autoglmd.errors.session import SessionError
from autoglmd.messages.generation import GenerationRequest
from autoglmd.messages.sessions import PAGE_TOKENS, CacheTier, KvBlock
from autoglmd.pipeline.preparation import Prepared
from autoglmd.sessions.beginnings import Beginnings
from autoglmd.sessions.conversation import Conversation, ModelMark
from autoglmd.sessions.prefixes import Page, SharedPrefixes, is_page, pages_in, pages_of

log = logging.getLogger(__name__)


class Sharing:
    """One model's. Its methods are safe from any thread; `from_disk` alone waits for a disk."""

    def __init__(self, prefixes: SharedPrefixes, beginnings: Beginnings, model: ModelMark) -> None:
        self._prefixes = prefixes
        self._beginnings = beginnings
        self._model = model
        self._lock = threading.Lock()
        # Of sequences that run or will: the pages that are kept of them.
        self._expected: dict[str, tuple[Page, ...]] = {}

    def from_memory(self, prepared: Prepared, request: GenerationRequest) -> Prepared:
        """With the beginning that is known of other prompts. One that brings a past of its own stays as it is."""
        tenant = request.tenant
        if tenant is None:
            return prepared
        if prepared.sequence.past:
            if prepared.begun is not None:
                self._offer(tenant, prepared.begun.before)
            return prepared
        # The last token is computed in any case. Some graphs compute it twice, the second time as a decode does.
        pages = pages_of(tenant, self._model, prepared.sequence.prompt_ids[:-1].tolist())
        return _having(prepared, pages, self._prefixes.find(pages), CacheTier.MEMORY)

    def may_be_on_disk(self, prepared: Prepared) -> bool:
        """Whether a session on disk may begin alike, with more pages than are known."""
        return bool(prepared.missing_pages) and self._beginnings.may_be_known(prepared.pages[0])

    def from_disk(self, prepared: Prepared) -> Prepared:
        """With what sessions on disk begin with alike, if that is more. A disk's fault costs computing and no more."""
        if not self.may_be_on_disk(prepared):
            return prepared
        known = len(prepared.pages) - prepared.missing_pages
        try:
            found = self._beginnings.find(prepared.pages, known)
        except (OSError, SessionError) as error:
            log.warning("a prompt's beginning is computed, and not read from disk: %s", error)
            return prepared
        if len(found) <= known:
            return prepared
        self._prefixes.put(prepared.pages, found)
        return _having(prepared, prepared.pages, found, CacheTier.DISK)

    def expect(self, prepared: Prepared) -> None:
        """A sequence is on its way to the engine; in the end it is heard of."""
        if prepared.missing_pages:
            with self._lock:
                self._expected[prepared.sequence.sequence_id] = prepared.pages

    def observe(self, events: Iterable[EngineEvent]) -> None:
        """Take what is kept of prompts. In the engine's thread: this is short."""
        for event in events:
            if isinstance(event, Kept):
                self._try_to_take(event)
            elif isinstance(event, Ended):
                with self._lock:
                    self._expected.pop(event.sequence_id, None)

    def _try_to_take(self, event: Kept) -> None:
        try:
            self._take(event)
        except Exception:
            # What is not kept is computed again; the streams, which are told next, must not suffer from it.
            log.exception("a prompt's beginning is not kept")

    def _take(self, event: Kept) -> None:
        with self._lock:
            pages = self._expected.get(event.sequence_id, ())
        at = event.block.start // PAGE_TOKENS
        if is_page(event.block) and at < len(pages):
            self._prefixes.put(pages[at : at + 1], (event.block,))

    def _offer(self, tenant: str, told: Conversation) -> None:
        """Let others use the beginning of a conversation that goes on."""
        blocks = pages_in(told)
        ids = told.ids[: blocks[-1].stop if blocks else 0]
        self._prefixes.put(pages_of(tenant, self._model, ids), blocks)


def _having(prepared: Prepared, pages: tuple[Page, ...], past: tuple[KvBlock, ...], tier: CacheTier) -> Prepared:
    """With these pages as its past; those that lack are kept."""
    sequence = replace(
        prepared.sequence,
        past=past,
        keep_from=PAGE_TOKENS * len(past),
        pages_until=PAGE_TOKENS * len(pages),
        keep_rest=prepared.begun is not None,
    )
    cache = replace(prepared.cache, cached_tokens=sequence.past_tokens, tier=tier) if past else prepared.cache
    begun = None if prepared.begun is None else replace(prepared.begun, brought=past)
    return replace(prepared, sequence=sequence, cache=cache, begun=begun, pages=pages)

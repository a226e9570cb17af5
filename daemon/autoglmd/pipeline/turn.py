"""One request's turn in a session: from its place in the session's line until engine and client are done with it."""

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence

from autoglmd.engine.sequence import Emitted, Ended, EngineEvent, Kept
from autoglmd.messages import Finished, FinishReason, KvBlock, Message, SessionKey, StreamEvent, TokenText
from autoglmd.model.tokenizer import Tokenizer
from autoglmd.pipeline.leases import Lease
from autoglmd.pipeline.preparation import Begun, Prepared
from autoglmd.pipeline.session_book import SessionBook
from autoglmd.sessions.conversation import Turn

log = logging.getLogger(__name__)

# Why an answer that nobody saw a word of belongs to the conversation all the same: it was meant to be empty.
_WHOLE = (FinishReason.STOP, FinishReason.LENGTH)


class OpenTurn:
    """Lives on the event loop.

    What counts as said is what the client was sent. The engine may have gone on for some tokens, behind a stop string
    or while the client was leaving; they are taken back.
    """

    def __init__(self, book: SessionBook, key: SessionKey, tokenizer: Tokenizer, now: Callable[[], float]) -> None:
        self._book = book
        self._key = key
        self._tokenizer = tokenizer
        self._now = now
        self._begun: Begun | None = None
        self._prompt_ids: tuple[int, ...] = ()
        self._output_ids: list[int] = []
        self._text: list[str] = []
        self._ends: Sequence[int] = ()
        self._is_whole = False
        self._block: KvBlock | None = None
        self._reason: FinishReason | None = None
        self._client_left = False
        self._lease: Lease | None = None

    def wait(self, granted: Callable[[], None]) -> None:
        """Stand in the session's line; `granted` is called when it is this turn's time. Raises SessionBusyError."""
        lease = Lease(self._key, granted)
        # Before it is entered: it may be granted at once, and even be given back.
        self._lease = lease
        try:
            self._book.leases.enter(lease)
        except BaseException:
            self._lease = None
            raise

    def prepared(self, prepared: Prepared) -> None:
        """The request became this."""
        self._begun = prepared.begun
        self._prompt_ids = tuple(prepared.sequence.prompt_ids.tolist())

    def heard(self, event: EngineEvent) -> None:
        """The engine said this, whether or not somebody still listens to the stream."""
        match event:
            case Emitted():
                self._output_ids.append(event.token_id)
            case Kept():
                self._block = event.block
            case Ended():
                self._reason = event.reason
                self._settle()

    def sent(self, event: StreamEvent) -> None:
        """The client was sent this."""
        if isinstance(event, TokenText):
            self._text.append(event.text)
        elif isinstance(event, Finished):
            self._is_whole = event.reason in _WHOLE and not event.stop

    def client_left(self, ends: Sequence[int]) -> None:
        """The stream is over; nothing more is sent.

        Args:
            ends: of each token that the stream took, where the answer's text ended with it; see AnswerText.ends.
        """
        self._client_left = True
        self._ends = ends
        if self._lease is not None:
            self._lease.is_ending = True
        self._settle()

    def nothing_comes(self) -> None:
        """The engine will never hear of this request."""
        self._give_back()

    def _settle(self) -> None:
        if not self._client_left or self._reason is None:
            return
        try:
            if self._begun is not None and (self._text or self._is_whole):
                self._commit(self._begun)
        except Exception:
            # A defect of ours must not take along the events of everybody else's streams.
            log.exception("a turn is not kept", extra={"session": self._key.session_id})
        finally:
            self._give_back()

    def _commit(self, begun: Begun) -> None:
        text = "".join(self._text)
        drawn = len(self._output_ids) if self._is_whole else said_count(self._ends, text)
        said = tuple(self._output_ids[:drawn])
        rest = "" if self._is_whole else text[self._ends[drawn - 1] if drawn else 0 :]
        if rest:
            # A token was cut: what was sent of it is told by tokens of its own.
            said += tuple(self._tokenizer.encode_on(rest))
        before = begun.before
        turn = Turn(
            number=before.turns + 1,
            at=self._now(),
            start=begun.shared,
            ids=self._prompt_ids[begun.shared :] + said,
            first_message=len(before.messages),
            messages=(*begun.messages, Message(begun.answer_role, text)),
        )
        after = before.after(turn)
        block = self._block.until(len(self._prompt_ids) + drawn) if self._block else None
        self._book.commit(after if block is None else after.having(block))

    def _give_back(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            self._book.leases.leave(lease)


def said_count(ends: Sequence[int], text: str) -> int:
    """How many tokens say a beginning of the text that was sent, and no more.

    Tokens at its end that say nothing by themselves may be the beginning of a character that was not sent.
    """
    count = bisect_right(ends, len(text))
    while count and ends[count - 1] == (ends[count - 2] if count > 1 else 0):
        count -= 1
    return count

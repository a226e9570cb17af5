"""One request's turn in a session: from its place in the session's line until engine and client are done with it."""

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence

from autoglmd.engine.sequence import Emitted, Ended, EngineEvent, Kept
from autoglmd.messages.generation import Finished, FinishReason, Message, StreamEvent, TokenText
from autoglmd.messages.sessions import KvBlock, SessionKey
from autoglmd.model.tokenizer import Tokenizer
from autoglmd.pipeline.leases import Lease
from autoglmd.pipeline.preparation import Begun, Prepared
from autoglmd.pipeline.session_book import SessionBook
from autoglmd.sessions.conversation import Turn, TurnMark

log = logging.getLogger(__name__)


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
        self._ends: Callable[[], Sequence[int]] = tuple
        self._is_whole = False
        self._blocks: list[KvBlock] = []
        self._reason: FinishReason | None = None
        self._client_left = False
        self._after_token = 0
        self._sent_tokens = 0
        self._is_handed_over = False
        self._lease: Lease | None = None

    def wait(self, granted: Callable[[], None], refused: Callable[[Exception], None], *, patient: bool = False) -> None:
        """Stand in the session's line; `granted` is called when it is this turn's time, or `refused` that it is not.

        Raises:
            SessionBusyError: another has it, and this one may not wait, which who is `patient` always may.
            UnavailableError: a disk has it, and does not answer.
        """

        def left(error: Exception) -> None:
            self._give_back()
            refused(error)

        lease = Lease(self._key, granted, left)
        # Before it is entered: it may be granted at once, and even be given back.
        self._lease = lease
        try:
            self._book.leases.enter(lease, patient=patient)
        except BaseException:
            self._lease = None
            raise

    def prepared(self, prepared: Prepared) -> None:
        """The request became this."""
        self._begun = prepared.begun
        if prepared.answer is not None:
            self._book.answers.begin(prepared.answer)
        if prepared.taken_up is not None:
            self._after_token = prepared.taken_up.after_token
        self._prompt_ids = tuple(prepared.sequence.prompt_ids.tolist())

    def heard(self, event: EngineEvent) -> None:
        """The engine said this, whether or not somebody still listens to the stream."""
        match event:
            case Emitted():
                self._output_ids.append(event.token_id)
                if self._begun is not None:
                    self._book.answers.drew(self._key, len(self._output_ids) - 1, event.token_id)
            case Kept():
                self._blocks.append(event.block)
            case Ended():
                self._reason = event.reason
                self._settle()

    def sent(self, event: StreamEvent) -> None:
        """The client was sent this, now or when the answer was first told."""
        if isinstance(event, TokenText):
            self._text.append(event.text)
            self._sent_tokens += len(event.ids)
        elif isinstance(event, Finished):
            self._is_whole = event.reason.is_whole and not event.stop
            if event.reason.is_for_good and self._begun is not None and not self._is_handed_over:
                self._book.answers.ended(self._key, event.reason)

    def client_left(self, ends: Callable[[], Sequence[int]]) -> None:
        """The stream is over; nothing more is sent, or nothing that is waited for.

        Args:
            ends: tells of each token that the stream took where the answer's text ended with it; see AnswerText.ends.
        """
        self._client_left = True
        self._ends = ends
        if self._lease is not None:
            self._lease.is_ending = True
        self._settle()

    def hand_over(self, ends: Callable[[], Sequence[int]]) -> None:
        """Another call takes the answer up: this one's end is not the answer's, and is not waited for.

        Its connection may be half open, with all that was written to it on the way to nobody.
        """
        self._is_handed_over = True
        self.client_left(ends)

    def nothing_comes(self) -> None:
        """The engine will never hear of this request."""
        self._give_back()

    def _settle(self) -> None:
        if not self._client_left or self._reason is None or self._lease is None:
            return
        try:
            # An answer that nobody saw a word of belongs to the conversation if it was meant to be empty.
            if self._begun is not None and (self._text or self._is_whole) and not self._is_short:
                self._commit(self._begun)
        except Exception:
            # A defect of ours must not take along the events of everybody else's streams.
            log.exception("a turn is not kept", extra={"session": self._key.session_id})
        finally:
            self._give_back()

    @property
    def _is_short(self) -> bool:
        """Whether an answer that was taken up broke off again before the place where it had broken off."""
        return self._sent_tokens < self._after_token

    def _commit(self, begun: Begun) -> None:
        text = "".join(self._text)
        # Only now: a stream that was handed over early may have gone on.
        ends = self._ends()
        drawn = len(self._output_ids) if self._is_whole else said_count(ends, text)
        said = tuple(self._output_ids[:drawn])
        rest = "" if self._is_whole else text[ends[drawn - 1] if drawn else 0 :]
        if rest:
            # A token was cut: what was sent of it is told by tokens of its own.
            said += tuple(self._tokenizer.encode_on(rest))
        before = begun.before
        number, answer_start = before.turns + 1, len(self._prompt_ids)
        messages = (*begun.messages, Message(begun.answer_role, text))
        turn = Turn(
            number=number,
            at=self._now(),
            start=begun.shared,
            ids=self._prompt_ids[begun.shared :] + said,
            first_message=len(before.messages),
            messages=messages,
            marks=(
                *begun.marks,
                TurnMark(number, answer_start, answer_start + len(said), len(before.messages) + len(messages)),
            ),
        )
        stop = len(self._prompt_ids) + drawn
        after = before.after(turn).having(*(block.until(stop) for block in (*begun.brought, *self._blocks)))
        self._book.answers.said(self._key, turn)
        self._book.commit(after)

    def _give_back(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            if self._begun is not None:
                self._book.answers.over(self._key)
            self._book.leases.leave(lease)


def said_count(ends: Sequence[int], text: str) -> int:
    """How many tokens say a beginning of the text that was sent, and no more.

    Tokens at its end that say nothing by themselves may be the beginning of a character that was not sent.
    """
    count = bisect_right(ends, len(text))
    while count and ends[count - 1] == (ends[count - 2] if count > 1 else 0):
        count -= 1
    return count

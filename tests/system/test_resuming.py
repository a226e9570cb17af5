"""kill -9 of a real daemon while it answers: again and again, and no reader sees more of it than a pause."""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from autoglmd.edge.tenant import SOCKET
from autoglmd.messages.sessions import SessionKey
from autoglmd.sessions.journal import Journal
from autoglmd.sessions.seal import Plain
from openglm.v1 import inference_pb2, sessions_pb2, sessions_pb2_grpc
from tests.support.daemon_process import LIMIT_SECONDS, Talk, configure, eventually, serving
from tests.support.forked_daemons import ForkedDaemons

KILLS = 50
TURNS = ("你好", "turn on the light", "and again, 好吗?", "x")
TOKENS = 60
MOST_TOKENS = 150
SAMPLINGS = (
    inference_pb2.Sampling(temperature=0.0),
    inference_pb2.Sampling(temperature=1.3, seed=5),
    inference_pb2.Sampling(temperature=1.0, seed=9, repetition_penalty=1.2, presence_penalty=0.5),
)


@dataclass
class Told:
    """An answer as far as its reader has it."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    is_whole: bool = False

    def take(self, event: inference_pb2.GenerateResponse | inference_pb2.ResumeResponse) -> None:
        """Read one event."""
        if event.WhichOneof("event") == "token":
            self.ids += event.token.ids
            self.text += event.token.text
        self.is_whole = self.is_whole or event.WhichOneof("event") == "finished"


class Patience:
    """How many tokens all readers together get before the daemon is killed."""

    def __init__(self, tokens: int) -> None:
        self._left = tokens
        self.is_over = asyncio.Event()

    def count(self, tokens: int) -> None:
        """So many more came."""
        self._left -= tokens
        if self._left <= 0:
            self.is_over.set()


class Reader:
    """Who talks in sessions, one after the other, and takes up what is lost."""

    def __init__(self, name: str, sampling: inference_pb2.Sampling) -> None:
        self.name = name
        self.sampling = sampling
        self.told: list[Told] = []
        self.sessions: list[list[Told]] = [self.told]
        self.patience = Patience(0)
        self.taken_up = 0
        self.begun_anew = 0

    async def talk(self, talk: Talk) -> None:
        """Go on until the daemon is gone."""
        try:
            if self.told:
                await self._take_up(talk)
                await self._saved(talk)
            while True:
                if len(self.told) == len(TURNS):
                    self.told = []
                    self.sessions.append(self.told)
                self.told.append(Told())
                await self._ask(talk)
                await self._saved(talk)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise

    async def _ask(self, talk: Talk) -> None:
        told = self.told[-1] = Told()
        message = inference_pb2.Message(role="user", content=TURNS[len(self.told) - 1])
        request = inference_pb2.GenerateRequest(
            chat=inference_pb2.Chat(messages=[message]),
            request_id=self._request_id,
            session_id=self._session,
            sampling=self.sampling,
            max_tokens=TOKENS,
            ignore_eos=True,
        )
        await self._read(told, talk.inference.Generate(request, timeout=LIMIT_SECONDS))

    async def _take_up(self, talk: Talk) -> None:
        """Also of a whole answer, whose turn may not have been saved."""
        told = self.told[-1]
        asked = inference_pb2.ResumeRequest(
            session_id=self._session, after_token=len(told.ids), request_id=self._request_id
        )
        try:
            await self._read(told, talk.inference.Resume(asked, timeout=LIMIT_SECONDS))
            self.taken_up += 1
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            # The daemon died before the beginning was on disk. What is drawn now is what was drawn then.
            had = told
            self.begun_anew += 1
            await self._ask(talk)
            assert self.told[-1].ids[: len(had.ids)] == had.ids

    async def _read(self, told: Told, call: grpc.aio.UnaryStreamCall) -> None:
        async for event in call:
            told.take(event)
            self.patience.count(len(event.token.ids))

    async def _saved(self, talk: Talk) -> None:
        """Wait as people do: what is asked at once would go on from a turn that is not on disk."""

        async def saved() -> bool:
            told = await self.shown(talk)
            return told.session.disk_bytes > 0 and told.session.turns == len(self.told)

        await eventually(saved)

    async def shown(self, talk: Talk) -> sessions_pb2.GetSessionResponse:
        """What the daemon says of the session."""
        stub = sessions_pb2_grpc.SessionsStub(talk.channel)
        asked = sessions_pb2.GetSessionRequest(session_id=self._session)
        shown: sessions_pb2.GetSessionResponse = await stub.GetSession(asked, timeout=LIMIT_SECONDS)
        return shown

    @property
    def _session(self) -> str:
        return f"{self.name}-{len(self.sessions)}"

    @property
    def _request_id(self) -> str:
        return f"{self._session}-{len(self.told)}"


async def expected_of(folder: Path, sampling: inference_pb2.Sampling) -> list[Told]:
    """What a daemon that is not killed answers, turn by turn."""
    reader = Reader("quiet", sampling)
    with serving(configure(folder)) as daemon:
        async with Talk(daemon.socket) as talk:
            for _ in TURNS:
                reader.told.append(Told())
                await reader._ask(talk)
    return reader.told


async def test_fifty_kills_lose_no_token_and_repeat_none(tmp_path: Path) -> None:
    """Each answer, and each that follows it in its session, is the one of a daemon that was never killed."""
    chance = random.Random(3)  # noqa: S311 - for moments, not secrets
    readers = [Reader(str(number), sampling) for number, sampling in enumerate(SAMPLINGS)]
    (tmp_path / "box").mkdir()
    with ForkedDaemons(configure(tmp_path / "box")) as daemons:
        for _ in range(KILLS):
            daemons.start()
            async with Talk(daemons.socket) as talk:
                patience = Patience(chance.randrange(MOST_TOKENS))
                for reader in readers:
                    reader.patience = patience
                reading = asyncio.gather(*(reader.talk(talk) for reader in readers))
                async with asyncio.timeout(LIMIT_SECONDS):
                    # Some are killed while they load what was lost, before they say a word.
                    if chance.random() < 0.7:
                        await patience.is_over.wait()
                    await asyncio.sleep(chance.uniform(0, 0.05))
                    daemons.kill()
                    await reading
    for number, reader in enumerate(readers):
        (tmp_path / str(number)).mkdir()
        expected = await expected_of(tmp_path / str(number), reader.sampling)
        for session in reader.sessions:
            for told, right in zip(session, expected, strict=False):
                end = len(told.ids) if not told.is_whole else None
                assert told.ids == right.ids[:end]
                assert right.text.startswith(told.text)
                assert told.text == right.text or not told.is_whole
        # Else the daemons were killed before they had begun, or the journal came too late.
        assert sum(told.is_whole for session in reader.sessions for told in session) > 4
        assert reader.taken_up > 4


async def test_a_killed_daemons_last_turn_is_told_on_though_no_disk_had_taken_it(tmp_path: Path) -> None:
    """Its session's file could not be written; the next daemon shows the turn, and goes on from it."""
    configure(tmp_path)
    key = SessionKey(SOCKET, "1-1")
    folder = tmp_path / "state" / "sessions"
    in_the_way = folder / Plain().name(key)[:2]
    reader = Reader("1", SAMPLINGS[0])
    with ForkedDaemons(tmp_path) as daemons:
        daemons.start()
        async with Talk(daemons.socket) as talk:
            in_the_way.write_text("no folder can be made here")
            reader.told.append(Told())
            await reader._ask(talk)
            shown = await reader.shown(talk)
            assert (shown.session.turns, shown.session.disk_bytes) == (1, 0)
            journal = Journal(folder / "journal.sqlite", Plain())

            async def journalled() -> bool:
                return journal.turn(f"{Plain().name(key)}.session") is not None

            await eventually(journalled, 8)
            journal.close()
            daemons.kill()
        in_the_way.unlink()
        daemons.start()
        async with Talk(daemons.socket) as talk:
            again = await reader.shown(talk)
            assert [*again.messages] == [*shown.messages]
            assert again.messages[-1].content == reader.told[0].text
            reader.told.append(Told())
            await reader._ask(talk)
            await reader._saved(talk)
            assert (await reader.shown(talk)).session.turns == 2
        daemons.kill()

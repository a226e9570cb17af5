"""What sessions on disk begin with, for prompts that begin alike."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autoglmd.errors.session import SessionError
from autoglmd.host.disk import Disk
from autoglmd.messages.sessions import KvBlock
from autoglmd.sessions import log as session_log
from autoglmd.sessions.catalog import Catalog
from autoglmd.sessions.conversation import Conversation
from autoglmd.sessions.prefixes import Page, pages_in, pages_of
from autoglmd.sessions.seal import Seal


class Beginnings:
    """Safe from any thread. Sessions may be written, replaced or removed meanwhile.

    A file that is being read stays readable; it is only ever added to, and what is not whole is not used.
    """

    def __init__(self, where: Callable[[], tuple[Path, Catalog]], disk: Disk, seal: Seal) -> None:
        """Make it.

        Args:
            where: the folder and the catalog that are in use now.
            disk: where the folder lies.
            seal: with which all that lies there was written.
        """
        self._where = where
        self._disk = disk
        self._seal = seal
        # Replaced as a whole. Smaller it becomes in `refresh` alone: one too many costs a look into the catalog.
        self._first_pages: frozenset[str] = frozenset()

    def may_be_known(self, page: Page) -> bool:
        """Whether a session may begin with this page. Asks no disk."""
        return self._named(page.digest) in self._first_pages

    def find(self, pages: Sequence[Page], known: int) -> tuple[KvBlock, ...]:
        """Keys and values of the first of these pages, out of a session that has more than `known` of them.

        One whose file does not have them any more is passed over: another may, or one that has fewer.

        Raises:
            OSError: the disk gives none of them.
            SessionError: they are a newer program's.
        """
        folder, catalog = self._where()
        failed: OSError | SessionError | None = None
        for level in levels(len(pages)):
            files = catalog.beginning_with(pages[level - 1].digest) if level > known else ()
            for file in files:
                try:
                    found = session_log.read_pages(self._disk, folder / file[:2] / file, pages, self._seal)
                except (OSError, SessionError) as error:
                    failed = error
                    continue
                if len(found) > known:
                    return found
        if failed is not None:
            raise failed
        return ()

    def note(self, beginnings: Mapping[int, bytes]) -> None:
        """A session has been saved whose beginnings are these."""
        if beginnings and (name := self._named(beginnings[1])) not in self._first_pages:
            self._first_pages |= {name}

    def refresh(self) -> None:
        """Learn anew from the catalog. Raises OSError."""
        self._first_pages = frozenset(self._where()[1].first_pages())

    def _named(self, digest: bytes) -> str:
        return self._where()[1].page_name(digest)


def levels(count: int) -> tuple[int, ...]:
    """Lengths in pages by which a beginning of so many is found, the longest first: powers of two, to be few."""
    return tuple(1 << power for power in reversed(range(count.bit_length())))


def beginnings_of(told: Conversation) -> dict[int, bytes]:
    """Digests by which others find that they begin alike, by their lengths in pages."""
    blocks = pages_in(told)
    pages = pages_of(told.key.tenant, told.model, told.ids[: blocks[-1].stop if blocks else 0])
    return {level: pages[level - 1].digest for level in levels(len(pages))}

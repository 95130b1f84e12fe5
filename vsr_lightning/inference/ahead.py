"""Work ahead in another thread, so that decoding, computing and encoding go on at the same time."""

from collections.abc import Generator, Iterable
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 1.0  # seconds that a loop which is left waits for the thread to end
POLL = 0.1  # seconds after which a thread that waits looks whether anybody still wants its items


def ahead(items: Iterable[T], most: int) -> Generator[T, None, None]:
    """Yield the items, of which a thread makes up to ``most`` ahead; its error is raised in their place.

    The thread ends when the generator is closed, as the loop over it is left.
    """
    made: Queue[tuple[T] | BaseException | None] = Queue(most)
    unwanted = Event()

    def put(item: tuple[T] | BaseException | None) -> bool:
        while not unwanted.is_set():
            with suppress(Full):
                made.put(item, timeout=POLL)
                return True
        return False

    def work() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                if not put((item,)):
                    break
        except BaseException as error:
            end = error
        finally:
            if isinstance(items, Generator):
                items.close()
        put(end)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = made.get(timeout=POLL)
            except Empty:  # so that Ctrl-C is heard
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        unwanted.set()
        thread.join(PATIENCE)  # what it works on may take minutes, after Ctrl-C too

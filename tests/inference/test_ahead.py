import threading
import time
from itertools import count

import pytest

from vsr_lightning.inference.ahead import ahead


def test_items_come_in_their_order_and_only_so_many_are_made_ahead():
    made = []

    def items():
        for number in range(20):
            made.append(number)
            yield number

    some = ahead(items(), 3)
    assert next(some) == 0
    deadline = time.time() + 5
    while len(made) < 5 and time.time() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(made) == 5  # the one that was taken, three that wait, and one that waits to
    assert list(some) == list(range(1, 20))


def test_an_error_comes_where_its_item_would_have():
    def items():
        yield 1
        raise ValueError("no more")

    some = ahead(items(), 2)
    assert next(some) == 1
    with pytest.raises(ValueError, match="no more"):
        next(some)


def test_a_loop_that_is_left_ends_the_work():
    closed, before = threading.Event(), threading.active_count()

    def items():
        try:
            yield from count()
        finally:
            closed.set()

    some = ahead(items(), 2)
    assert next(some) == 0
    some.close()
    assert closed.is_set()
    assert threading.active_count() == before


def test_none_is_an_item_like_others():
    assert list(ahead([None, 1, None], 1)) == [None, 1, None]

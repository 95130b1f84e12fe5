from itertools import pairwise

import numpy as np

from vsr_lightning.data.moving_mnist import generated
from vsr_lightning.data.moving_mnist.generated import DIGIT, SIZE, TEST_DIGITS, digits, generate, handwriting, labels


def test_video_is_a_pure_function_of_seed_and_number():
    alone = generate([8003], seed=3)
    among_others = generate([5, 8003, 17], seed=3)
    assert np.array_equal(alone[0], among_others[1])
    assert not np.array_equal(alone, generate([8003], seed=4))
    assert not np.array_equal(alone, generate([8004], seed=3))


def test_video_has_the_published_layout_and_range():
    video = generate([0])
    assert video.shape == (1, 20, 64, 64)
    assert video.dtype == np.uint8
    assert video.min() == 0
    assert video.max() == 255


def test_digits_are_sharp_but_anti_aliased_and_keep_mnists_margin():
    bank = digits()
    assert bank.shape == (1797, DIGIT, DIGIT)
    inside = np.zeros((DIGIT, DIGIT), bool)
    inside[4:24, 4:24] = True
    assert not bank[:, ~inside].any()
    saturated = np.isin(bank[bank > 0], 255).mean()
    assert 0.5 < saturated < 0.95  # neither a blur nor a stencil


def test_digits_of_test_videos_never_occur_in_training_videos(monkeypatch):
    # one constant picture a digit, so that a frame tells which digits are in it
    names = np.zeros((1797, DIGIT, DIGIT), np.uint8)
    names[-TEST_DIGITS:] = 2
    names[:-TEST_DIGITS] = 1
    monkeypatch.setattr(generated, "digits", lambda: names)
    assert set(np.unique(generate(range(7900, 8000)))) == {0, 1}
    assert set(np.unique(generate(range(8000, 8100)))) == {0, 2}


def test_digits_move_a_tenth_of_the_free_canvas_and_stay_inside(monkeypatch):
    dot = np.zeros((1797, DIGIT, DIGIT), np.uint8)
    dot[:, 0, 0] = 1  # marks each digit's corner
    monkeypatch.setattr(generated, "digits", lambda: dot)
    corners = [np.argwhere(frame) for frame in generate([11])[0]]
    assert all(len(found) in (1, 2) and found.max() <= SIZE - DIGIT for found in corners)
    lone = [(a, b) for a, b in pairwise(corners) if len(a) == len(b) == 2]
    assert lone
    # each digit of a frame has a partner in the next within 0.1 of the canvas, and a pixel of rounding
    reach = 0.1 * (SIZE - DIGIT) + 2**0.5
    assert all(np.linalg.norm(a[:, None] - b[None], axis=2).min(1).max() <= reach for a, b in lone)


def test_labels_are_the_digits_that_are_drawn(monkeypatch):
    shown = np.zeros((1797, DIGIT, DIGIT), np.uint8)
    shown[:, 0, 0] = 1 + handwriting()[1]  # one pixel with the digit's name
    monkeypatch.setattr(generated, "digits", lambda: shown)
    numbers = [3, 7999, 8000, 9999]
    expected = [sorted({1 + digit for digit in pair}) for pair in labels(numbers, seed=5).tolist()]
    assert [sorted({*np.unique(video)} - {0}) for video in generate(numbers, seed=5)] == expected
    assert np.array_equal(labels([8000, 3], seed=5), labels(numbers, seed=5)[[2, 0]])

import numpy as np
import pytest
import torch

from vsr_lightning.data.moving_mnist.generated import INK, TEST_DIGITS, digits, handwriting
from vsr_lightning.feature_network import DigitFrames
from vsr_lightning.feature_network.digit_frames import (
    DrawnDigits,
    Hands,
    distort,
    draw_glyphs,
    fixed_frames,
    training_frames,
)


def _batches(loader, epoch=0):
    loader.sampler.set_epoch(epoch)
    return list(loader)


def test_an_unbent_glyph_is_the_one_in_the_videos():
    chosen = torch.arange(0, 1797, 30)
    glyphs = draw_glyphs(chosen, torch.eye(2).repeat(len(chosen), 1, 1), torch.full((len(chosen),), INK))
    differing = glyphs.numpy() != digits()[chosen]
    assert differing.mean() < 1e-4  # float32 against float64 at the level


def test_bending_and_inking_change_the_glyph_but_not_the_digit():
    transformed = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    glyphs = draw_glyphs(torch.tensor([5, 5, 5]), torch.stack([torch.eye(2), torch.eye(2), transformed]),
                         torch.tensor([0.3, 0.6, 0.3])).float()  # fmt: skip
    assert glyphs[0].mean() > glyphs[1].mean()
    assert torch.equal(glyphs[2], glyphs[0].rot90(1)) or torch.equal(glyphs[2], glyphs[0].rot90(-1))


def test_a_training_frame_is_a_pure_function_of_seed_and_epoch():
    def draw(**changes):
        chosen = {"epoch": 3, "seed": 1, "frames": 8, "digits": range(100), **changes}
        return DrawnDigits()[training_frames(chosen.pop("epoch"), **chosen)]

    assert all(torch.equal(a, b) for a, b in zip(draw(), draw(), strict=True))
    assert not torch.equal(draw().frames, draw(epoch=4).frames)
    assert not torch.equal(draw().frames, draw(seed=2).frames)


def test_other_hands_bend_other_digits_alike():
    def bent(**ranges):
        return training_frames(0, seed=0, frames=500, digits=range(100), hands=Hands(**ranges))

    upright = bent(angle=0, shear=0, width=(0.5, 0.6), height=(2, 3), ink=(0.7, 0.8))
    assert np.array_equal(upright.digit, bent().digit)
    assert np.array_equal(upright.corner, bent().corner)
    assert not upright.warp[..., 0, 1].any()
    assert not upright.warp[..., 1, 0].any()
    for values, low, high in (
        (upright.warp[..., 0, 0], 0.5, 0.6),
        (upright.warp[..., 1, 1], 2, 3),
        (upright.ink, 0.7, 0.8),
    ):
        assert low <= values.min() < values.max() <= high


def test_held_out_digits_are_those_of_the_test_videos_and_train_nothing():
    data, first_held_out = DigitFrames(train_frames=5000), 1797 - TEST_DIGITS
    assert data.train_dataloader().sampler.plan(0).digit.max() == first_held_out - 1
    for loader in (data.val_dataloader(), data.test_dataloader()):
        digit = loader.sampler.plan(0).digit
        assert (digit.min(), digit.max()) == (first_held_out, 1796)


def test_labels_are_the_digits_drawn():
    plan = fixed_frames(0, seed=0, frames=4, digits=range(1797))
    batch = DrawnDigits()[plan]
    assert np.array_equal(batch.digits, handwriting()[1][plan.digit])
    for frame, pair, corners in zip(batch.frames[:, 0].numpy(), plan.digit, plan.corner, strict=True):
        expected = np.zeros((64, 64), np.uint8)
        for digit, (top, left) in zip(pair, corners, strict=True):
            window = expected[top : top + 28, left : left + 28]
            np.maximum(window, digits()[digit], out=window)
        assert (frame != expected).mean() < 1e-3


def test_validation_is_the_same_every_time_and_not_the_test():
    data = DigitFrames(val_frames=8, test_frames=8)
    (first,), (again,) = _batches(data.val_dataloader()), _batches(data.val_dataloader(), 5)
    (other,) = _batches(data.test_dataloader())
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.noise, again.noise)
    assert not torch.equal(first.frames, other.frames)


def test_some_frames_stay_sharp_and_the_others_are_distorted():
    data = DigitFrames(val_frames=400, batch_size=400)
    (drawn,) = _batches(data.val_dataloader())
    batch = data.on_after_batch_transfer(drawn, 0)
    sharp = ~batch.level.any(1)
    assert 0.4 < sharp.float().mean() < 0.7
    torch.testing.assert_close(batch.images[sharp], drawn.frames[sharp] / 255)
    moved = (batch.images - drawn.frames / 255).abs().flatten(1).amax(1)
    assert (moved[~sharp] > 0).all()
    assert batch.images.min() >= 0
    assert batch.images.max() <= 1


def test_each_distortion_joins_half_of_three_training_frames_in_four():
    level = training_frames(0, seed=0, frames=4000, digits=range(100)).level
    np.testing.assert_allclose((level > 0).mean(0), 0.75 / 2, atol=0.03)
    np.testing.assert_allclose((level > 0).any(1).mean(), 0.75 * (1 - 0.5**4), atol=0.03)


@pytest.mark.parametrize("place", range(4))
def test_each_level_distorts(place):
    (drawn,) = _batches(DigitFrames(val_frames=4).val_dataloader())
    images, level = drawn.frames / 255, torch.zeros(4, 4)
    torch.testing.assert_close(distort(images, level, drawn.noise), images)
    errors = []
    for level[:, place] in (0.3, 1.0):
        errors.append((distort(images, level, drawn.noise) - images).square().mean())
    assert 0 < errors[0] <= errors[1]


@pytest.mark.parametrize("key", ["train_frames", "val_frames", "test_frames", "batch_size"])
def test_bad_numbers_name_the_key(key):
    with pytest.raises(ValueError, match=rf"data\.{key}=0 is out of range: choose a whole number, at least 1"):
        DigitFrames(**{key: 0})

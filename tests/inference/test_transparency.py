import torch

from vsr_lightning.inference.transparency import filled


def test_hidden_colors_are_those_that_are_seen_around_them():
    frame = torch.tensor([1.0, 0, 1, 0]).view(4, 1, 1).repeat(1, 47, 63)  # of a color that nobody may ever see
    frame[:, 10:20, 10:30] = torch.tensor([0.2, 0.5, 0.1, 1]).view(4, 1, 1)
    frame[:, 30:40, 40:60] = torch.tensor([0.4, 0.5, 0.3, 0.5]).view(4, 1, 1)
    made = filled(frame)
    seen = frame[3] > 0
    torch.testing.assert_close(made[:, seen], frame[:, seen])
    assert torch.equal(made[3], frame[3])
    for color, (low, high) in zip(made[:3], ((0.2, 0.4), (0.5, 0.5), (0.1, 0.3)), strict=True):
        assert low - 1e-4 < color.min()
        assert color.max() < high + 1e-4
    torch.testing.assert_close(made[:3, 15, 5], frame[:3, 15, 15], atol=0.05, rtol=0)


def test_gray_with_alpha_and_a_frame_that_nobody_sees():
    assert filled(torch.rand(2, 5, 6)).shape == (2, 5, 6)
    hidden = torch.ones(4, 8, 8)
    hidden[3] = 0
    assert torch.equal(filled(hidden)[:3], torch.zeros(3, 8, 8))

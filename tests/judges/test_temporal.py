"""Motion and flicker: known answers, and flow against a shift."""

import pytest
import torch

from vsr_lightning.judges import Distance
from vsr_lightning.judges.flow import optical_flow
from vsr_lightning.judges.temporal import TLP, flow_along, tof, visible, warping_error

pytest.importorskip("cv2")


def moving(step: int = 2, frames: int = 5, channels: int = 1) -> torch.Tensor:
    """A smooth random texture that moves right by ``step`` pixels per frame, (frames, channels, 64, 64)."""
    small = torch.rand(1, channels, 20, 40, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.interpolate(small, (64, 128), mode="bicubic").clamp(0, 1)[0]
    return torch.stack([wide[..., 40 - step * t : 104 - step * t] for t in range(frames)])


def mean_difference(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    return (one - two).abs().mean((1, 2, 3))


def test_flow_of_a_shift_is_the_shift():
    one, two = moving()[:2]
    inside = optical_flow(one, two)[:, 8:-8, 8:-8]
    assert float(inside[0].mean()) == pytest.approx(2, abs=0.1)
    assert float(inside[1].abs().mean()) < 0.1


@pytest.mark.parametrize(
    "metric", [tof, warping_error, TLP(Distance("bundled", difference="absolute"))], ids=["tof", "warping", "tlp"]
)
def test_the_first_frame_has_no_score_and_flicker_costs(metric):
    target = moving()
    still = target[:1].expand_as(target)
    flicker = (target + 0.2 * (torch.arange(5) % 2)[:, None, None, None]).clamp(0, 1)
    scores = metric(target, target)
    assert scores.shape == (5,)
    assert scores[0].isnan()
    assert not scores[1:].isnan().any()
    assert scores[1:].max() < 3e-3
    if metric is not tof:  # brightness does not move
        assert metric(flicker, target)[1:].min() > scores[1:].max()
    if metric is not warping_error:  # which a still picture hardly has
        assert metric(still, target)[1:].min() > 0.05


def test_tof_of_a_still_picture_is_the_motion_that_it_lacks():
    target = moving(step=2)
    assert float(tof(target[:1].expand_as(target), target)[1:].mean()) == pytest.approx(2, abs=0.3)


def test_tlp_is_the_difference_of_two_distances_written_out():
    target, prediction = moving(), moving(step=1)
    steps = [[float((it[t] - it[t - 1]).abs().mean()) for t in range(1, 5)] for it in (prediction, target)]
    expected = [abs(made - true) for made, true in zip(*steps, strict=True)]
    assert TLP(mean_difference)(prediction, target)[1:].tolist() == pytest.approx(expected)


def test_what_the_last_frame_hides_is_left_out():
    forward = torch.zeros(1, 2, 64, 64)
    backward = forward.clone()
    backward[:, 0, 20:40, 20:40] = 5  # comes from where nothing leads here
    there = visible(forward, backward)
    assert not there[..., 20:40, 20:40].any()
    assert there[..., :18, :].all()


def test_color_video_has_one_flow():
    assert flow_along(moving(channels=3)).shape == (4, 2, 64, 64)

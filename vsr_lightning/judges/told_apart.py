"""A two-sample classifier: how often does a small network tell patches of outputs from patches of real frames?"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsr_lightning.judges.jackknife import several
from vsr_lightning.judges.tiles import Tiles

FLAT = 0.02  # standard deviation below which a patch shows nothing
FOLDS = 2


class ToldApart:
    """Accuracy of a classifier two-sample test (Lopez-Paz and Oquab 2017), in percent; 50 is perfect.

    This is perceptual quality as Blau and Michaeli (2018) define it: how well outputs and real frames can be told
    apart, whatever they show. A network that sees whole frames always can, which ranks nothing, so this one sees single
    patches, and learns from few of them. It is trained on one half of the videos and tells the other half's, and the
    other way round, so no patch is told by a network that has seen its video; of few videos the halves may share one.

    Args:
        patch: side of a patch, in pixels.
        width: channels of the first convolution.
        steps: of training, each on ``batch`` patches of outputs and as many of real frames.
        batch: see above.
        per_unit: patches of each unit that are told.
        lr: learning rate of Adam.
        seed: draws patches and initial weights.
    """

    def __init__(
        self,
        patch: int = 12,
        width: int = 16,
        steps: int = 200,
        batch: int = 64,
        per_unit: int = 64,
        lr: float = 2e-3,
        seed: int = 0,
    ) -> None:
        self.patch, self.width, self.steps, self.batch = patch, width, steps, batch
        self.per_unit, self.lr, self.seed = per_unit, lr, seed

    def __call__(self, made: Tiles, real: Tiles) -> Tensor:
        """Return one value per unit of ``made``, (U,): the mean of both shares told right, of its own and the real.

        Outputs in which nothing is to be seen, such as a dead network's, are always told: 100.

        Raises:
            ValueError: a single unit, or real frames without any structure.
        """
        # a test runs in inference mode, whose tensors can't be trained on
        with torch.random.fork_rng(), torch.inference_mode(False), torch.enable_grad():
            torch.manual_seed(self.seed)
            return self._told(*(Tiles(it.images.clone(), it.unit.clone()) for it in (made, real)))

    def _told(self, made: Tiles, real: Tiles) -> Tensor:
        several(made.units), several(real.units)  # one half trains a network that tells the other
        (images, unit), (real_images, real_unit) = self._patches(made), self._patches(real)
        half, real_half = FOLDS * unit // made.units, FOLDS * real_unit // real.units  # neighbors stay together
        if len(real_half.unique()) < FOLDS:
            raise ValueError("no patch of half of the real frames shows anything: they are all flat")
        right = torch.full((made.units,), 100.0, device=images.device)  # who shows nothing is told at once
        if len(half.unique()) < FOLDS:
            return right
        for fold in range(FOLDS):
            seen, real_seen = half != fold, real_half != fold
            network = self._trained(images[seen], real_images[real_seen])
            real_right = (network(real_images[~real_seen]) < 0).float().mean()
            told, of = (network(images[~seen]) > 0).float(), unit[~seen]
            for number in of.unique():
                right[number] = 50 * (told[of == number].mean() + real_right)
        return right

    def _patches(self, tiles: Tiles) -> tuple[Tensor, Tensor]:
        """Return patches with something in them, (P, C, patch, patch), and the unit of each, (P,)."""
        found = []
        for unit in range(tiles.units):
            grid = F.unfold(tiles.images[tiles.unit == unit], self.patch, stride=self.patch // 2)
            grid = grid.movedim(1, 2).flatten(0, 1)
            grid = grid[grid.unflatten(1, (-1, self.patch**2)).std(2).amax(1) > FLAT]
            found.append(grid[torch.randperm(len(grid), device=grid.device)[: self.per_unit]])
        units = torch.arange(tiles.units).repeat_interleave(torch.tensor([len(part) for part in found]))
        return torch.cat(found).unflatten(1, (-1, self.patch, self.patch)), units.to(tiles.images.device)

    def _trained(self, made: Tensor, real: Tensor) -> nn.Module:
        width = self.width
        network = nn.Sequential(
            nn.Conv2d(made.shape[1], width, 3),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 3, stride=2),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.LazyLinear(1),
            nn.Flatten(0),
        ).to(made.device)
        network(made[:1])  # sets the size of the last layer
        optimizer = torch.optim.Adam(network.parameters(), lr=self.lr)
        wanted = torch.tensor([1.0, 0.0], device=made.device).repeat_interleave(self.batch)
        for _ in range(self.steps):
            some = [images[torch.randint(len(images), (self.batch,))] for images in (made, real)]
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(network(torch.cat(some)), wanted).backward()
            optimizer.step()
        return network.eval().requires_grad_(False)

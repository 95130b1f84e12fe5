"""The paper's network (section 3.2): five frames encoded alike, fused as channels, one linear layer to the picture."""

from collections.abc import Sequence

from torch import Tensor, nn

from vsr_lightning.models.blocks import check_fit, conv3x3
from vsr_lightning.models.network import Network
from vsr_lightning.models.onednn_linear import Linear

MAP_WIDTH = 256  # a frame's features are reshaped to (rows, 256); 32 rows at the paper's sizes


class FrameFusion(Network):
    """Frame-fusion CNN; ``widths=(32, 128, 512)`` is the paper's text, ``(8, 32)`` with one pool its Fig. 1.

    Args:
        widths: channels after each convolution of the encoder; ValueError for sizes that don't fit each other.
        pools: whether a 2x2 max pool follows it.
        frames: of a window.
        low_res: height and width of the low-res frames.
        scale: factor between low-res and high-res.
        channels: of a frame, 1 is gray.
        output: ``linear``, or ``sigmoid``, which the published code has after the linear layer.
        init: ``kaiming`` keeps the signal's size up to the linear layer; ``torch`` is PyTorch's default, under which
            it shrinks and the fusion's last ReLU can starve (docs/reproduction.md, "What the recipe leaves open").
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 128, 512),
        pools: Sequence[bool] = (True, True, True),
        frames: int = 5,
        low_res: int = 32,
        scale: int = 2,
        channels: int = 1,
        output: str = "linear",
        init: str = "kaiming",
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(pools):
            raise ValueError(f"model.widths has {len(widths)} layers and model.pools {len(pools)}: give each as many")
        encoded = low_res >> sum(pools)
        if encoded < 1:
            raise ValueError(f"model.low_res={low_res} is too small for {sum(pools)} pools in model.pools")
        features = widths[-1] * encoded**2
        if features % MAP_WIDTH:
            given = f"model.widths={list(widths)} and model.low_res={low_res} give {features} values per frame"
            raise ValueError(f"{given}, which can't be reshaped to (rows, {MAP_WIDTH}): change the last width")
        if init not in ("kaiming", "torch"):
            raise ValueError(f"model.init={init} is unknown: choose kaiming or torch")
        if output not in ("linear", "sigmoid"):
            raise ValueError(f"model.output={output} is unknown: choose linear or sigmoid")
        self.frames, self.channels, self.size = frames, channels, (low_res, low_res)
        self.output_shape = (channels, low_res * scale, low_res * scale)

        layers: list[nn.Module] = []
        for before, after, pool in zip((channels, *widths), widths, pools, strict=False):
            layers += [conv3x3(before, after), *[nn.MaxPool2d(2)] * pool, nn.ELU()]
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Unflatten(1, (features // MAP_WIDTH, MAP_WIDTH)))
        between = (frames + 1) // 2
        self.fusion = nn.Sequential(conv3x3(frames, between), nn.ReLU(), conv3x3(between, 1), nn.ReLU())
        self.head = Linear(features, channels * (low_res * scale) ** 2)
        self.output = nn.Sigmoid() if output == "sigmoid" else nn.Identity()
        if init == "kaiming":
            for layer in (*self.encoder, *self.fusion):
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            nn.init.normal_(self.head.weight, std=0.1 * features**-0.5)  # starts near black, not as noise
            nn.init.zeros_(self.head.bias)

    def forward(self, low_res: Tensor) -> Tensor:
        """(B, frames, channels, h, w) -> (B, channels, H, W), not bounded; ValueError for windows of another size."""
        check_fit(low_res, self.channels, self.frames, self.size)
        return self.fuse(self.encode(low_res.flatten(0, 1)).unflatten(0, low_res.shape[:2]))

    def encode(self, frames: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, rows, 256), each frame for itself: in a video it serves all its windows."""
        return self.encoder(frames)

    def fuse(self, encoded: Tensor) -> Tensor:
        """(B, frames, rows, 256) -> (B, channels, H, W)."""
        return self.output(self.head(self.fusion(encoded).flatten(1))).unflatten(1, self.output_shape)

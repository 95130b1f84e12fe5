"""Which of two images of equal PSNR does a criterion prefer? Frames are distorted in four ways.

python -m vsr_lightning.preferences
python -m vsr_lightning.preferences frames=200 features=[bundled,my_weights.safetensors]
"""

from pathlib import Path

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from vsr_lightning.launch.cli import record_errors, run_cli
from vsr_lightning.utils.config import CONF


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="preferences")
@record_errors
def main(cfg: DictConfig) -> None:
    """Print the table, and leave it with a picture in the run's folder."""
    from vsr_lightning.data.moving_mnist.generated import TRAIN, VIDEOS  # here, so that --help needs no PyTorch
    from vsr_lightning.feature_network.equal_psnr import write_preferences
    from vsr_lightning.utils.checks import check_number

    check_number("seed", cfg.seed, 0)
    check_number("frames", cfg.frames, 1, VIDEOS - TRAIN)
    features = [cfg.features] if isinstance(cfg.features, str) else cfg.features or []
    text = write_preferences(instantiate(cfg.data), features, cfg.seed, Path(cfg.output_dir))
    print(f"\n{text}\nrun: {cfg.output_dir}")


if __name__ == "__main__":
    run_cli(main, "preferences")

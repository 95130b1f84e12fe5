"""Which of two equally wrong pictures does a criterion prefer? Frames spoiled in four ways at equal PSNR.

python -m vsr_lightning.preferences
python -m vsr_lightning.preferences frames=200 features=[bundled,my_weights.safetensors]
"""

import hydra
from omegaconf import DictConfig

from vsr_lightning.launch.cli import record_errors, run_cli
from vsr_lightning.utils.config import CONF


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="preferences")
@record_errors
def main(cfg: DictConfig) -> None:
    """Print the table, and leave it with a picture in the run's folder."""
    from pathlib import Path

    from vsr_lightning.feature_network.equal_psnr import (
        measure_preferences,  # here, so that --help and --cfg need no PyTorch
    )

    print(f"\n{measure_preferences(cfg, Path(cfg.output_dir))}\nrun: {cfg.output_dir}")


if __name__ == "__main__":
    run_cli(main, "preferences")

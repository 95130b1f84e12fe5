"""Train the feature network that the package ships, the reader of digits, or others like them.

python -m vsr_lightning.pretrain
python -m vsr_lightning.pretrain width=0.5 trainer.max_epochs=20
python -m vsr_lightning.train loss=perceptual features=RUN/digits.safetensors
python -m vsr_lightning.pretrain network=reader
"""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vsr_lightning.launch.cli import rank, record_errors, run_cli
from vsr_lightning.utils.config import CONF


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="pretrain")
@record_errors
def main(cfg: DictConfig) -> None:
    """Train, score on held-out digits, and leave the weights and their card in the run's folder."""
    from vsr_lightning.feature_network.pretraining import pretrain  # here: --help needs no PyTorch

    hydra_cfg = HydraConfig.get()
    folder = Path(hydra_cfg.runtime.output_dir)
    card = pretrain(cfg, folder, tuple(hydra_cfg.overrides.task))
    if rank() == 0:
        print(f"\n{card.read_text(encoding='utf-8')}\nweights and card: {folder}")


if __name__ == "__main__":
    run_cli(main, "pretrain")

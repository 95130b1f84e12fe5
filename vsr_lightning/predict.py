"""Super-resolve a video with a trained network, or with bicubic interpolation where no run is given.

python -m vsr_lightning.predict run=runs/SWEEP/0_frame_fusion_mse_seed0 input=low_res.gif output=frames
python -m vsr_lightning.predict run=RUN input=sharp.npy degrade=true output=prediction.mp4
"""

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vsr_lightning.launch.cli import run_cli
from vsr_lightning.utils.config import CONF
from vsr_lightning.utils.errors import one_line
from vsr_lightning.utils.memory import return_large_blocks


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="predict")
def main(cfg: DictConfig) -> None:
    """Write the video and say where it is."""
    from vsr_lightning.inference.predict_video import predict_video  # here, so that --help and --cfg need no PyTorch

    return_large_blocks()
    try:
        lines, wrong = predict_video(cfg, tuple(HydraConfig.get().overrides.task))
    except Exception as error:  # no error.txt: this command has no folder of its own
        raise SystemExit("error: " + one_line(error, "predict", "output", "tile or clip_frames")) from error
    print("\n".join(lines))
    if wrong:
        raise SystemExit("\n".join(f"error: {line}" for line in wrong))


if __name__ == "__main__":
    run_cli(main, "predict")

from types import SimpleNamespace

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from vsr_lightning.callbacks import LastCheckpoint


def test_processes_that_have_no_csv_file_save_too(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    saved, callback = [], LastCheckpoint(str(tmp_path / "checkpoints"))
    trainer = SimpleNamespace(loggers=[CSVLogger(tmp_path)], is_global_zero=False, save_checkpoint=saved.append)
    callback.on_train_epoch_end(trainer, None)
    assert saved == [callback.path]

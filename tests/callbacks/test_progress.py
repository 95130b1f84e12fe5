from types import SimpleNamespace

import lightning.pytorch as pl
from lightning.pytorch.demos.boring_classes import BoringModel

from vsr_lightning.callbacks import EpochSummary, ProgressBar, progress


class _Descriptions(pl.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, *_):
        bar = trainer.progress_bar_callback
        bar.refresh()
        self.seen.append(bar.train_progress_bar.description.strip())


def _fit(tmp_path, *callbacks, ckpt_path=None, **how):
    quiet = {"enable_model_summary": False, "logger": False, "accelerator": "cpu", "default_root_dir": tmp_path}
    trainer = pl.Trainer(callbacks=list(callbacks), limit_train_batches=2, limit_val_batches=1, **quiet, **how)
    trainer.fit(BoringModel(), ckpt_path=ckpt_path)
    return trainer


def test_the_bar_counts_epochs_from_one_also_after_a_resume(tmp_path):
    seen = _Descriptions()
    keep = pl.callbacks.ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    _fit(tmp_path, ProgressBar(), seen, keep, max_epochs=2)
    assert seen.seen == ["Epoch 1/2", "Epoch 1/2", "Epoch 2/2", "Epoch 2/2"]
    resumed = _Descriptions()
    _fit(tmp_path, ProgressBar(), resumed, ckpt_path=tmp_path / "step=3.ckpt", max_epochs=3)
    assert resumed.seen == ["Epoch 2/3", "Epoch 3/3", "Epoch 3/3"]


def test_the_bar_of_a_training_without_a_last_epoch_names_none(tmp_path):
    seen = _Descriptions()
    _fit(tmp_path, ProgressBar(), seen, max_epochs=-1, max_steps=3, enable_checkpointing=False)
    assert seen.seen == ["Epoch 1", "Epoch 1", "Epoch 2"]


def test_a_long_test_says_how_far_it_is(tmp_path, monkeypatch, caplog):
    clock = iter([0.0, 50, 70, 110, 135, 170])  # at the start, and after each batch
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    trainer = pl.Trainer(callbacks=[EpochSummary()], limit_test_batches=5, enable_progress_bar=False, logger=False,
                         accelerator="cpu", default_root_dir=tmp_path)  # fmt: skip
    with caplog.at_level("INFO"):
        trainer.test(BoringModel(), verbose=False)
    said = [message for message in caplog.messages if message.startswith("tested")]
    assert said == [
        "tested 2 of 5 batches, about 1 min 45 s left",
        "tested 4 of 5 batches, about 33.8 s left",
    ]

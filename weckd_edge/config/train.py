"""Settings ``[train]``: the training loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from weckd_edge.config.base import check_setting, check_within, path_field
from weckd_edge.core.bounds import MAX_THREADS


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The training loop.

    Attributes:
        epochs: Number of epochs, 1 to 100,000. In each, the schedule moves on once and one checkpoint is written.
        patience: Number of epochs without a better validation score after which a link's training ends; 0 trains for all
            epochs. A score is better where the validation accuracy is higher, or is the same with a lower cross-entropy.
            The weights of the best epoch are kept, also where all epochs were needed. The learning rate falls along a
            cosine that is planned for all ``epochs``, so a training that ends early has not seen the low rates at its end.
        steps_per_epoch: Number of gradient steps in one epoch, 1 to 1,000,000.
        batch: Number of labelled images in one step, 4 to 65,536; unlabelled images are added to them
            (``distill.unlabelled_per_labelled``).
        learning_rate: Peak learning rate, over 0 and under 1. A classifier that starts from random weights takes ten times
            as much.
        linear_probe: Start the classifier of a pretrained backbone from a ridge regression on its features (linear probing
            before fine-tuning, arXiv 2202.10054).
        weight_decay: AdamW's weight decay, 0..1.
        augment: Strength of flips, crops, rotation and colour changes, 0 (none) to 1.
        balance: How far rare classes are shown as often as common ones: 0 keeps the data set's own mix, 1 shows all equally
            often. It changes which images a step holds; ``class_weights`` changes how much each counts.
        class_weights: Weight of an image in the loss on the labels. ``none`` weights all images alike. ``balanced`` weights
            each class by the inverse of the number of its labels that the link may see; the mean over these labels is 1.
            ``balance`` is not taken into account, and both together count a rare class twice: set ``balance = 0`` with
            ``balanced``.
        ema: Final fraction of the training, 0 to 0.5, over which weights are averaged exponentially; 0 keeps the last
            weights. It is a fraction, not a number of steps, so that a short training does not keep its first weights.
        precision: Number format of the training: ``32-true``, ``bf16-mixed``, or ``16-mixed`` (needs a GPU).
        accelerator: Device that trains: ``auto`` (a GPU if there is one), ``cpu`` or ``gpu``.
        accumulate: Number of parts, 1 to 65,536, that a step's batch is processed in, one after another, where it does not
            fit the device; batch norms see one part at a time.
        compile: Let ``torch.compile`` write the student's kernels; it pays on a GPU from some thousand steps on.
        threads: Number of processor threads; 0 takes all cores.
        log: Tool that is given the curves of each link (loss and its parts, learning rate, validation accuracy), all
            settings, a study's table and the bundle: ``tensorboard`` or ``mlflow``, each an extra of its own. No result
            depends on it, and a logger that fails is given up with one warning.
        log_dir: Folder of the logs, relative to the configuration file: TensorBoard's event files, or MLflow's
            ``mlflow.db`` and files. None takes ``logs`` in the workspace (``OUT.work`` of a build, ``--out`` of a study).
            MLflow logs to a tracking server instead where its own variable ``MLFLOW_TRACKING_URI`` names one.
    """

    epochs: int = 10
    patience: int = 0
    steps_per_epoch: int = 20
    batch: int = 32
    learning_rate: float = 1e-3
    linear_probe: bool = True
    weight_decay: float = 0.02
    augment: float = 0.5
    balance: float = 0.5
    class_weights: Literal["none", "balanced"] = "none"
    ema: float = 0.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    accumulate: int = 1
    compile: bool = False
    threads: int = 0
    log: Literal["none", "tensorboard", "mlflow"] = "none"
    log_dir: str | None = path_field(default=None, written=True)

    def __post_init__(self) -> None:
        check_within("epochs", self.epochs, 1, 100_000)
        check_within("patience", self.patience, 0, 100_000)
        check_within("steps_per_epoch", self.steps_per_epoch, 1, 1_000_000)
        check_within("accumulate", self.accumulate, 1, 65_536)
        check_within("batch", self.batch, 4, 65_536)
        check_within("weight_decay", self.weight_decay, 0, 1)
        check_within("threads", self.threads, 0, MAX_THREADS)
        check_setting(0 < self.learning_rate < 1, f"learning_rate = {self.learning_rate}: expected over 0 and under 1")
        for name in ("augment", "balance"):
            check_setting(0 <= getattr(self, name) <= 1, f"{name} = {getattr(self, name)}: expected 0 to 1")
        check_setting(0 <= self.ema <= 0.5, f"ema = {self.ema}: expected 0 to 0.5 of the training")

    def identity(self) -> TrainConfig:
        """Return the settings that a trained link depends on: all but those of logging."""
        return replace(self, log="none", log_dir=None)

"""What is known about the reviews that a model learns from.

Shapes: N reviews, C classes, G features of the teacher.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plaudit.errors import SettingsError
from plaudit.models.base import Float32Array
from plaudit.train.settings import ObjectiveSettings

UNLABELLED = -1


@dataclass(frozen=True)
class Targets:
    """What is known about N reviews.

    `labels` int64 [N], UNLABELLED where there is none; `teacher_logits` float32 [N, C] and `teacher_features`
    float32 [N, G], if there is a teacher; `logit_offsets` float32 [N, C], if the model learns to correct another one:
    they are added to its own logits.
    """

    labels: npt.NDArray[np.int64]
    teacher_logits: Float32Array | None = None
    teacher_features: Float32Array | None = None
    logit_offsets: Float32Array | None = None

    def refuse_idle(self, objective: ObjectiveSettings) -> None:
        """Raise SettingsError if a loss lacks its teacher, or if no loss learns from some of the reviews."""
        if objective.needs_teacher and self.teacher_logits is None:
            raise SettingsError(f"losses {', '.join(objective.losses)} need a teacher; give one, or use hard alone")
        if "feature" in objective.losses and self.teacher_features is None:
            raise SettingsError("the loss feature needs a teacher with features; soft labels hold none")
        learns_without_label = objective.needs_teacher or objective.needs_no_label
        if not learns_without_label and (self.labels == UNLABELLED).any():
            raise SettingsError(
                "without a teacher, texts without a label teach nothing; keep unlabelled reviews out of transfer, or "
                "add a loss that has a teacher"
            )

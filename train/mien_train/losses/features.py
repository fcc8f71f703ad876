"""The teacher's embedding: hints (Romero et al. 2015, arXiv:1412.6550, equation 3), on the pooled features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeatureHint(nn.Module):
    """Learns a linear map from the student's embedding (N, D) to the teacher's (N, E); the loss is the angle.

    The map is trained with the student and thrown away. The paper uses the squared distance, but embeddings of
    different networks have different lengths, which say nothing about the expression.
    """

    def __init__(self, student: int, teacher: int):
        super().__init__()
        self.map = nn.Linear(student, teacher)

    def forward(self, embedding: Tensor, taught: Tensor) -> Tensor:
        """Mean of 1 - cosine over the rows where ``taught`` is not NaN."""
        known = ~taught[:, 0].isnan()
        losses = 1 - F.cosine_similarity(self.map(embedding), torch.nan_to_num(taught), dim=1)
        return (losses * known).sum() / known.sum().clamp(min=1)

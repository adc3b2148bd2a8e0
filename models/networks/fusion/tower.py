"""The ranker as a fusion among others."""

from torch import Tensor, nn

from models.networks.ranker_head import RankerHead, RankerHeadConfig


class TowerHead(nn.Module):
    """Scores by the ranker's head; columns past those that it reads are ignored."""

    def __init__(self, config: RankerHeadConfig) -> None:
        super().__init__()
        self.config = config
        self.ranker = RankerHead(config)

    def forward(self, features: Tensor) -> Tensor:
        """(..., inputs) → (...) scores, the columns beginning with those of RankerHead."""
        scores: Tensor = self.ranker(features[..., : len(self.ranker.mean)])
        return scores

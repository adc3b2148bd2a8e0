"""The two-tower ranker's head as a fusion among others."""

from torch import Tensor, nn

from models.networks.two_tower import TwoTower, TwoTowerConfig


class TowerHead(nn.Module):
    """Scores by the ranker without its towers: their product counts as nothing.

    Columns past those that the head reads are ignored.
    """

    def __init__(self, config: TwoTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.ranker = TwoTower(config)

    def forward(self, features: Tensor) -> Tensor:
        """(..., inputs) → (...) scores, the columns beginning with those of TwoTower."""
        scores: Tensor = self.ranker(None, None, features[..., : len(self.ranker.mean)])
        return scores

"""Limits of the candidate sources that follow the size of the network and the number kept."""

from models.candidates.config import CandidateConfig


def test_of_many_users_each_crosses_fewer_edges() -> None:
    config = CandidateConfig()
    assert (config.limits(20_000).walk_edges, config.limits(20_000).path_edges) == (500_000, 300_000)
    assert (config.limits(40_000).walk_edges, config.limits(40_000).path_edges) == (62_500, 37_500)
    assert config.limits(10_000_000).walk_edges == config.limits(10_000_000).path_edges == 10_000
    assert CandidateConfig(walk_edges=7).limits(10_000_000).walk_edges == 7


def test_sources_follow_the_number_kept_unless_they_are_set() -> None:
    fewer = CandidateConfig(kept=200, walks=900)
    assert (fewer.friends_of_friends, fewer.three_hops, fewer.nearest, fewer.likely, fewer.walks) == (
        240,
        100,
        100,
        100,
        900,
    )
    assert CandidateConfig(kept=2000) == CandidateConfig().model_copy(update={"kept": 2000})
    assert CandidateConfig.model_validate(fewer.model_dump()) == fewer

"""Who draws: the rules of an arm decide for its viewers."""

from service.ranking.exploration.draw import Exploration
from service.ranking.pipeline import Ranking
from service.ranking.rerank import Diversity, Reranker, RerankSettings
from tests.support.api import FirstFeature
from tests.support.tables import MakeTables


def test_the_rules_of_an_arm_decide_whether_its_lists_are_drawn(make_tables: MakeTables) -> None:
    tables = make_tables(["ann", "bea", "cid"], [(0, 1), (1, 2)])
    plain = RerankSettings(Diversity("company", 5))
    drawing = RerankSettings(Diversity("company", 5), exploration=Exploration(temperature=1))
    ranking = Ranking(tables, FirstFeature(), plain)
    arm = ranking.with_reranker(Reranker(tables, drawing))
    assert (ranking.explorer.is_on, arm.explorer.is_on) == (False, True)
    assert not arm.with_reranker(ranking.reranker).explorer.is_on
    assert plain.identity == drawing.identity, "lists are kept as they are before the draw"

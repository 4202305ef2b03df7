"""Requests beside the floors: reading oneself, a page of 20 of 100,000, a create that commits."""

from tools.bench.figures import Figures
from tools.bench.load import Plan
from tools.bench.rounds import Comparison, compare, request
from tools.bench.seed import COLLECTOR
from tools.bench.workplace import Workplace

ROUNDS = 7
SECONDS = 3.0
_TULOU, _PLAIN, _RAW = "Tulou", "without middleware", "raw asyncpg"
_SIDES = (_TULOU, _PLAIN, _RAW)
_NOTE = '{"title": "a note", "body": "of middling length, to be kept for a while", "priority": 3}'


async def measure_me(place: Workplace, figures: Figures) -> None:
    """`GET /v1/users/me`, by all users concurrently."""
    plan = Plan(0, [request("GET", "/v1/users/me", token=token) for token in place.people.tokens])
    found = await _compare(place, "GET me", plan, _SIDES, figures)
    _beside_the_floor(found, figures, 0.8)
    figures.at_least(
        found.title, "answers, without middleware, to the floor's", found.ratios(_PLAIN, _RAW, "rate"), 0.95
    )
    figures.at_most(found.title, "p99 to the floor's", found.ratios(_TULOU, _RAW, "p99"), 1.3)
    share = [1 - ratio for ratio in found.ratios(_PLAIN, _TULOU, "cost")]
    figures.at_most(found.title, "share of the middleware in the processor time", share, 0.15)


async def measure_list(place: Workplace, figures: Figures) -> None:
    """`GET /v1/files`: the newest 20 of 100,000."""
    plan = Plan(0, [request("GET", "/v1/files", token=place.people.tokens[COLLECTOR])])
    found = await _compare(place, "list of 20", plan, (_TULOU, _RAW), figures)
    _beside_the_floor(found, figures, 0.85)


async def measure_create(place: Workplace, figures: Figures) -> None:
    """`POST /v1/notes`: one row, committed."""
    plan = Plan(0, [request("POST", "/v1/notes", token=token, body=_NOTE) for token in place.people.tokens])
    found = await _compare(place, "create", plan, (_TULOU, _RAW), figures, status=201)
    _beside_the_floor(found, figures, 0.7)


async def _compare(
    place: Workplace, title: str, plan: Plan, sides: tuple[str, ...], figures: Figures, *, status: int = 200
) -> Comparison:
    """Compare with the floors; the slower ones, which have no target, in a single round."""
    servers = [place.server(name) for name in sides]
    found = await compare(title, servers, plan, rounds=ROUNDS, seconds=SECONDS, statuses=(status,))
    slow = [place.server("SQLModel sessions")]
    aside = await compare(title, slow, plan, rounds=1, seconds=SECONDS, statuses=(status,))
    found.rounds |= aside.rounds
    for name in found.rounds:
        parts = [found.median(name, part) for part in ("rate", "cost", "p50", "p99")]
        figures.servers.append((title, name, parts[0], parts[1], parts[2], parts[3]))
    return found


def _beside_the_floor(found: Comparison, figures: Figures, aim: float) -> None:
    figures.at_least(found.title, "answers a second, to the floor's", found.ratios(_TULOU, _RAW, "rate"), aim)
    figures.told(found.title, "processor time, the floor's to ours", found.ratios(_RAW, _TULOU, "cost"))

"""The 44 features of the comparison, declared as the catalogue declares its own."""

from benchmarks.features.data import KINDS, WINDOWS
from features.catalog import Plan
from features.catalog.declare import Derived, Events, Feature, Page, flat
from features.feature_plan import Work


def windowed() -> Work:
    """Count and seconds of 4 kinds in 5 windows, and days since the last of each."""
    page = Page("benchmark")
    declarations: list[Feature | Derived] = []
    for kind in KINDS:
        events = Events("activities", "occurred_at").among("kind", [kind])
        for days in WINDOWS:
            declarations += page.count(f"{kind}_n_{days}", events, kind, windows=(days,))
            declarations += page.total(
                f"{kind}_s_{days}", events, "duration_seconds", kind, "s", windows=(days,)
            )
        declarations += page.since(f"{kind}_since", events, kind)
    features: list[Feature] = [one for one in flat(tuple(declarations)) if isinstance(one, Feature)]
    plan = Plan("renewal", tuple(features), (), (), (), frozenset(), frozenset())
    reads: dict[str, tuple[str, ...]] = {
        "activities": ("account_id", "occurred_at", "kind", "duration_seconds")
    }
    return Work(plan, (), reads)

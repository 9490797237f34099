"""Who may see the table `segments`: those who keep the models. Others see that it was looked at, not whom."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from serving.auth import Principal
from training.icp import segment_notes

KEEPERS = ("mlops", "admin")
STANDS_FOR = "One of its conditions stands for an audited group; those who keep the models see which."


def sees_segments(principal: Principal) -> bool:
    """Whether this visitor may see segments by name."""
    return principal.role in KEEPERS


def profiles_for(principal: Principal, told: Mapping[str, Any]) -> dict[str, Any]:
    """Profiles (of `training.icp.profiles`) as a visitor may see them."""
    if sees_segments(principal):
        return dict(told)
    named = {words for profile in told["profiles"] for words in profile["proxies"]}
    shown = [
        {**profile, "proxies": [STANDS_FOR] if profile["proxies"] else []} for profile in told["profiles"]
    ]
    return {**told, "profiles": shown, "notes": [note for note in told["notes"] if note not in named]}


def list_for(principal: Principal, told: Mapping[str, Any]) -> dict[str, Any]:
    """The targeting list (of `training.icp.targets`) as a visitor may see it.

    `audited` counts the groups by verdict. For those who may not see segments `reach` is empty, and of
    `without_proxies` only the figures of the list are left.
    """
    listed = {**told, "audited": dict(Counter(row["verdict"] for row in told["reach"]))}
    if sees_segments(principal):
        return listed
    bare, hidden = told["without_proxies"], segment_notes(told)
    return {
        **listed,
        "reach": [],
        "without_proxies": bare and {**bare, "taken_out": {}, "reach": []},
        "notes": [note for note in told["notes"] if note not in hidden],
    }

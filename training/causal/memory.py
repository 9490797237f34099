"""Estimated effects, kept for the CRM they come from, so that advice and what-ifs answer at once."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable

from features.crm import Crm
from features.progress import Say, silent
from features.settings import Settings
from training.causal.answer import Answer

FORM = 1
"""Counted up when the kept form changes."""


def remembered(
    name: str,
    estimate: Callable[[Crm, Settings, str | None, Say], Answer],
    crm: Crm,
    settings: Settings,
    by: str | None = None,
    say: Say = silent,
) -> Answer:
    """The answer kept for this CRM, `until`, seed and attribute, else estimated now and kept (atomically)."""
    key = f"{FORM}|{crm.fingerprint}|{crm.until}|{settings.seed}|{by}"
    folder = settings.home / "effects"
    path = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    told = estimate(crm, settings, by, say)
    folder.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=folder, suffix=".part")
    with os.fdopen(handle, "w") as file:
        json.dump(told, file)
    os.replace(draft, path)
    return told

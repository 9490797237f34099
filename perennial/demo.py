"""The demonstration: the whole path on simulated data, run as of a day in the past so that it can be checked.

It trains on what was known some months before the data end, scores the renewals due then, and compares the
scores with what happened since. Nothing after that day is visible to the model.
"""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from features.crm.load import ingest
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from features.simulation import simulate
from monitoring.report import monitor
from perennial.print import text
from serving.precompute import WorkedOut, work_out
from serving.scoring.batch import score
from training.train import TrainOptions, train

KINDS = ("renewal", "win")
VERDICTS = ("ok", "alert", "unknown")
LOOK_BACK_DAYS = 240
TRIALS = 10


def demo(settings: Settings, *, accounts: int, say: Say = silent) -> dict[str, Any]:
    """Simulate, check, train, score, judge on what happened since, and sum up.

    Args:
        settings: its home gets a new folder `demo`; what was ingested stays untouched.
        accounts: how many accounts to simulate.
        say: called with each line of progress.

    Returns:
        `summary`: lines for a sales manager; `home`; and the results of each step by name.
    """
    home = settings.home / "demo"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    demo_settings = settings.model_copy(update={"home": home, "database_url": None})
    files = str(home / "crm-files")
    say(f"1/7 Simulating {accounts} accounts and four years of their CRM")
    simulate(Path(files), accounts=accounts, seed=demo_settings.seed)
    last_day = ingest(files, demo_settings).until.normalize()
    that_day = last_day - pd.Timedelta(days=LOOK_BACK_DAYS)
    past = ingest(files, demo_settings, until=that_day)
    say(f"2/7 Training on what was known on {that_day:%Y-%m-%d}")
    trained = {
        kind: train(kind, past, demo_settings, TrainOptions(trials=TRIALS), say=_indented(say))
        for kind in KINDS
    }
    say(f"3/7 Scoring as on {that_day:%Y-%m-%d}")
    past_scores = {kind: score(kind, past, demo_settings, say=_indented(say)) for kind in KINDS}
    say(f"4/7 Looking at what happened between then and {last_day:%Y-%m-%d}, and scoring again")
    whole = ingest(files, demo_settings)
    today = {kind: score(kind, whole, demo_settings, say=_indented(say)) for kind in KINDS}
    say("5/7 Monitoring: drift, performance and parity of what was said")
    watched = monitor(whole, demo_settings, say=_indented(say))
    say("6/7 Estimating what contact before a renewal, calls and discount change (some minutes)")
    timed = _worked_out("effects", demo_settings)["timing"]["all"]
    say("7/7 Deriving customer profiles")
    customer_profiles = _worked_out("icp", demo_settings)["profiles"]
    hindsight = _hindsight(past_scores["renewal"], whole.frame("contracts"))
    result = {
        "home": str(home),
        "then": str(that_day.date()),
        "today": str(last_day.date()),
        "trained": trained,
        "hindsight": hindsight,
        "monitor": watched,
        "timing": timed,
        "profiles": customer_profiles,
    }
    return result | {"summary": _summary(result, today)}


def _worked_out(name: str, settings: Settings) -> Any:
    """An answer worked out and kept, where the pages find it."""
    work_out(name, settings)
    answer = WorkedOut(settings).ask(name)
    if answer.value is None:
        raise RenewalError(
            expected=f"data that {name} can be estimated from", found=answer.why, do="Simulate more."
        )
    return answer.value


def _indented(say: Say) -> Say:
    return lambda line: say(f"    {line}")


def _hindsight(scores: pd.DataFrame, contracts: pd.DataFrame) -> dict[str, float]:
    """How the renewals listed on that day ended: the first third of the list against the last third."""
    ended = scores.merge(contracts[["contract_id", "renewed"]], on="contract_id")
    ended = ended[ended["renewed"].notna() & ended["probability"].notna()].sort_values("probability")
    lost = 1 - ended["renewed"].astype(float)
    third = max(len(ended) // 3, 1)
    money = lost * ended["amount"]
    return {
        "decided": len(ended),
        "lost": float(lost.sum()),
        "expected_lost": float((1 - ended["probability"]).sum()),
        "lost_first_third": float(lost.head(third).mean()),
        "lost_last_third": float(lost.tail(third).mean()),
        "money_caught": float(money.head(third).sum() / money.sum()) if money.sum() else float("nan"),
    }


def _summary(result: dict[str, Any], today: dict[str, pd.DataFrame]) -> list[str]:
    """What a sales manager reads at the end."""
    renewals, past = today["renewal"], result["hindsight"]
    at_risk = renewals[renewals["band"] == "at risk"]
    lines = [
        "",
        f"[bold]Renewals on {result['today']}[/]",
        f"{len(renewals)} contracts worth {text.money(renewals['amount'].sum())} end within 180 days. "
        f"{text.money(renewals['at_risk'].sum())} of that is at risk; "
        f"{len(at_risk)} contracts are in the band “at risk”. The first five to look at:",
    ]
    for row in renewals.sort_values("at_risk", ascending=False).head(5).to_dict("records"):
        because = "; ".join(reason["words"] for reason in row["reasons"][:2])
        lines.append(
            f"  {row['contract_id']}: renews with {text.percent(row['probability'])} "
            f"({text.percent(row['low'])}–{text.percent(row['high'])}), "
            f"{text.money(row['at_risk'])} at risk: {because}"
        )
    lines += [
        "",
        "[bold]Was it right before?[/]",
        f"  Scored on {result['then']}, {past['decided']} of these have ended since:",
        f"  {past['expected_lost']:.0f} were expected to be lost, {past['lost']:.0f} were. Of the riskiest "
        f"third {text.percent(past['lost_first_third'])} were lost, of the safest third "
        f"{text.percent(past['lost_last_third'])}; the riskiest third held "
        f"{text.percent(past['money_caught'])} of the money lost.",
        "",
        "[bold]When to make contact[/]",
        f"  {_timing(result['timing'])}",
        "",
        "[bold]Target account list[/]",
        f"  {_profiles(result['profiles'])}",
        "",
        "[bold]Can it be trusted?[/]",
        f"  Monitoring says {result['monitor']['verdict']}: {_telling(result)}",
        "",
        "[bold]Where to look next[/]",
    ]
    home = result["home"]
    lines += [f"  the model's card    {result['trained']['renewal']['card']}"]
    if result["monitor"].get("html"):
        lines.append(f"  the drift report    {result['monitor']['html']}")
    return [
        *lines,
        f"  the pages           PERENNIAL_HOME={home} .venv/bin/perennial serve   then http://127.0.0.1:3000",
        f"  the effects         PERENNIAL_HOME={home} .venv/bin/perennial effects timing --by industry",
        "  your own data       .venv/bin/perennial check FOLDER   then README, “Start”",
    ]


def _timing(timed: dict[str, Any]) -> str:
    best, alike = timed["best"].get("all"), timed["indistinguishable"].get("all") or []
    if best is None:
        return "The data do not show which window is best: " + "; ".join(timed.get("notes", []))
    rows = {row["bucket"]: row for row in timed["rows"] if row.get("group", "all") == "all"}
    raw = max(rows.values(), key=lambda row: -1.0 if row["raw"] is None else row["raw"])
    sentence = (
        f"First contact {best} days before the end renews {text.percent(rows[best]['estimate'])}, "
        f"none at all {text.percent(rows['none']['estimate'])}."
    )
    others = [bucket for bucket in alike if bucket != best]
    if others:
        sentence += f" Not distinguishable from it: {', '.join(others)}."
    if raw["bucket"] != best:
        sentence += f" Raw rates would have said {raw['bucket']}."
    return sentence


def _profiles(result: dict[str, Any]) -> str:
    if not result["profiles"]:
        return "No profile holds up on later data."
    best = result["profiles"][0]
    return f"Best profile: {best['rule']} ({best['n']} customers, {text.percent(best['share'])})."


def _telling(result: dict[str, Any]) -> str:
    checks = result["monitor"]["checks"]
    counts = {verdict: sum(check["verdict"] == verdict for check in checks) for verdict in VERDICTS}
    return (
        ", ".join(
            f"{count} check{'' if count == 1 else 's'} {verdict}"
            for verdict, count in counts.items()
            if count
        )
        + "."
    )

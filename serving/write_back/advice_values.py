"""What advice stands to be written: when a contract's first contact is advised, how well an account fits."""

import pandas as pd

from features.crm.load import opened
from features.settings import Settings
from monitoring.store import Store
from serving.arms_shown import plan_rows
from serving.precompute import answered
from serving.studies import contract_facts
from serving.write_back.written_log import Values
from training.effects.answer import ALL
from training.effects.timing_curve import curves
from training.icp.fit_score import Fit
from training.icp.grades import grades_of
from training.icp.prospects import known_accounts
from training.icp.target_list import from_crm


def contact_dates(store: Store, settings: Settings) -> dict[str, Values]:
    """Contract id → `contact_from` and `contact_by`, the first and last day of the window that is advised.

    As pages show them: customers drawn for usual practice in an experiment and those held out get none, nor
    those contacted since. The effects are worked out first where they are not kept yet.
    """
    effects = answered("effects", settings).value
    if effects is None or "why" in effects["plan"]:
        return {}
    plan = effects["plan"]
    dates = {}
    for row in plan_rows(store, plan["rows"], curves(effects["timing"][plan["by"] or ALL])):
        if row.get("act_by") is None:
            continue
        live = store.events.read("activities", account_id=row["account_id"])
        if contract_facts(effects, row, live)["contacted_on"] is None:
            dates[row["contract_id"]] = {"contact_from": row["act_from"], "contact_by": row["act_by"]}
    return dates


def account_fits(settings: Settings) -> dict[str, Values]:
    """Account id → `fit`, the per cent of the CRM's accounts that it is worth more than, and its `grade`.

    As in the targeting list; of an account with several open leads the best. Accounts that opted out
    get none. The profiles are worked out first where they are not kept yet.
    """
    icp = answered("icp", settings).value
    if icp is None:
        return {}
    scorer = Fit.from_dict(icp["fit"])
    with opened(settings) as crm:
        candidates = from_crm(crm, known_accounts(crm).today, scorer.attributes)
    fits = scorer.score(candidates.frame)["fit"].to_numpy(float)
    best = pd.Series(fits, candidates.who["account_id"].to_numpy(object)).groupby(level=0).max()
    grades = grades_of(best.to_numpy())
    return {
        str(account): {"fit": round(100 * fit, 1), "grade": grade}
        for (account, fit), grade in zip(best.items(), grades, strict=True)
    }

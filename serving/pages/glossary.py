"""What the words and figures on pages, in files and on the command line mean, each explained once."""

from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.pages.view import Anybody, render


class Term(NamedTuple):
    """A word: what stands in addresses, how it is written, and what it means."""

    anchor: str
    name: str
    meaning: str


TERMS = (
    Term("alert", "Alert", "Opened once for each cause: a fall of 20 points in a likelihood, a low survey "
         "answer, or something about a model. It stands until somebody closes it or its cause is gone."),
    Term("arr", "ARR", "Annual recurring revenue: the annual value of contracts. Renewals due is the ARR of "
         "the running contracts that end within 180 days."),
    Term("at-risk", "At risk (money)", "ARR × (1 − likelihood to renew): what is lost on average where "
         "contracts like these end as scored. It is no statement about a single contract."),
    Term("band", "Band", "Renewals: at risk, watch, safe. Deals: cold, warm, hot. The lowest fifth of the "
         "probabilities the model gave in training is the first band, up to their median the second."),
    Term("best-contact", "Best contact", "The window before the contract's end in which a first call or "
         "meeting is estimated to help most. Where the data can't tell, nothing is advised."),
    Term("calibration", "Calibration", "Whether of all customers scored 70 % about 70 % renew."),
    Term("champion", "Champion, challenger", "The champion is the model that serves. A challenger did not "
         "pass every gate; where there is no champion it serves, and every page says so."),
    Term("churn-driver", "Churn drivers, closed-lost reasons", "What lowered the scores of customers who "
         "left and of deals that were lost most, beside the reasons people noted in the CRM."),
    Term("effect", "Effect", "What doing something changes, estimated apart from who it is done to. The raw "
         "rate beside it compares customers as they came, and misleads."),
    Term("expected", "Expected (money)", "Of deals: amount × win probability. Of renewals in the forecast: "
         "ARR × likelihood to renew, with what is decided already."),
    Term("gate", "Gate", "A test a model has to pass before it may serve, such as beating the base rate on "
         "later data."),
    Term("gross-retention", "Gross and net retention", "Gross: the share of ARR due that is renewed. Net: "
         "with the expansion of those customers added."),
    Term("held-out", "Held out", "A small random share of customers that may be left without a score, so "
         "that the model can be judged on them. They count in lists by their ARR alone."),
    Term("icp", "Ideal customer profile", "Up to three conditions that customers share who are won with "
         "little effort and discount and renew without contact."),
    Term("interval", "Interval", "The range the true rate of customers scored alike lies in 9 times of 10; "
         "estimated effects give 95 %."),
    Term("likelihood", "Likelihood to renew, win probability", "The share of customers like this one that "
         "renew, or of deals like it that are won. One model gives it, and it is the same on every page."),
    Term("override", "Override", "The team's own estimate beside the score. The score stays; both are "
         "compared with what happens."),
    Term("playbook", "Playbook", "The steps an alert leads to, each with who takes it and within how many "
         "hours. playbooks.yaml in PERENNIAL_HOME replaces those that come with it."),
    Term("reason", "Why (reasons)", "What raises (↑) and lowers (↓) this score against customers on average. "
         "They explain the score; they are not what would change the outcome."),
    Term("status", "Status", "Where the team is with a renewal, as it notes it itself. It moves no score."),
    Term("target-list", "Target account list", "Leads, prospects and accounts by how well they fit the "
         "profiles."),
    Term("task", "Task", "Something to be done by somebody by a day: a step of a playbook, or given by hand "
         "on a list."),
    Term("verdict", "Verdict", "ok, alert or unknown. Too little data is unknown, never ok."),
)  # fmt: skip

router = APIRouter()


@router.get("/glossary")
async def glossary(request: Request, principal: Anybody) -> Response:
    """Every word, by name."""
    return render(request, "glossary.html", terms=sorted(TERMS, key=lambda term: term.name.casefold()))

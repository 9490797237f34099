"""After a promotion the former champion goes on scoring every list, unseen."""

import numpy as np
import pytest
from serving_case import home, night, train_plainly  # noqa: F401 (fixtures)

from features.crm.load import opened
from features.settings import Settings
from monitoring.store import open_store
from serving.scoring.batch import score
from serving.scoring.scored_rows import features_of
from training.registry import former, load_version, rollback

pytestmark = pytest.mark.slow


def test_the_former_champion_scores_on_unseen_until_a_rollback(home, tmp_path):  # noqa: F811
    here = Settings(home=home, threads=1)
    store = open_store(here)
    assert former("renewal", here) is None
    with opened(here) as crm:
        train_plainly("renewal", crm, here, tmp_path / "next", C=0.001)
        served = score("renewal", crm, here).set_index("contract_id")
        score("renewal", crm, here)
        unseen = store.predictions.shadows("renewal", "1").set_index("subject_id")
        assert set(unseen.index) == set(served.index)
        assert set(unseen["as_of"]) == {crm.until}
        assert set(served["model_version"]) == {"2"}
        snapshots = _snapshots(crm)
        features = features_of(crm, snapshots, "renewal", here)
        by_hand = load_version("renewal", 1, here).probability(features)
        assert np.array_equal(unseen.loc[snapshots["subject_id"], "probability"], by_hand)
        assert not np.allclose(by_hand, served.loc[snapshots["subject_id"], "probability"])
        history = store.predictions.history("renewal", served.index[0])
        assert len(history) == len({(row["as_of"], row["model_version"]) for row in history})
        rollback("renewal", here)
        assert set(score("renewal", crm, here)["model_version"]) == {"1"}
        assert store.predictions.shadows("renewal", "2").empty


def _snapshots(crm):
    from features.snapshots import to_score

    return to_score(crm, "renewal", crm.until)

import numpy as np
import pandas as pd
import pytest
from model_data import dated, undated

from features.errors import RenewalError
from training.dataset import equal_rows, require_outcomes, row_weights


def test_equal_rows_share_a_group_and_different_ones_do_not():
    X = pd.DataFrame({"a": [float(i) for i in range(60)], "b": pd.Categorical(["x"] * 60)})
    codes = equal_rows(pd.concat([X, X.iloc[[3, 5]]], ignore_index=True))
    assert codes[60] == codes[3]
    assert codes[61] == codes[5]
    assert len(set(codes[:60])) == 60


def test_where_few_columns_leave_few_different_rows_each_stands_alone():
    X = pd.DataFrame({"a": [0.0, 1.0] * 100})
    assert len(set(equal_rows(X))) == 200


def test_weights_count_contracts_and_do_not_depend_on_how_early_one_is_decided():
    weights = row_weights(pd.Series(["a", "a", "a", "b"]))
    assert weights.sum() == pytest.approx(2)
    assert len(set(weights)) == 1


def test_without_a_column_rows_that_became_equal_belong_together():
    ds = undated(300)
    wide = ds.without([])
    assert len(set(wide.groups)) == 300
    same = ds.take(np.array([*range(300), 0]))
    assert same.without(["noise"]).groups[0] == same.without(["noise"]).groups[300]
    assert "noise" not in same.without(["noise"]).X.columns
    assert "noise" not in same.without(["noise"]).infos


def test_fingerprint_follows_the_data():
    assert undated(200, 1).fingerprint == undated(200, 1).fingerprint
    assert undated(200, 1).fingerprint != undated(200, 2).fingerprint
    assert undated(200, 1).fingerprint != undated(200, 1).without(["noise"]).fingerprint


def test_too_few_of_an_outcome_is_refused_with_what_is_missing():
    with pytest.raises(RenewalError, match=r"found 100 renewed and 12 lost\. Add history with 28 more lost"):
        require_outcomes("renewal", 100, 12, 40)
    require_outcomes("renewal", 40, 40, 40)


def test_outcomes_are_counted_by_contract_not_by_snapshot():
    ds = dated(100)
    assert sum(ds.outcome_counts()) == 100
    assert len(ds) == 300

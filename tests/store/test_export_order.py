from pullback.store.export_order import OF_ALL, SIZED_BY, ordered


def test_the_order_is_independent_of_that_of_the_study():
    expected = "muon run event momentum x_reco b a sigma_b sigma_a confidence68_b interval95_a flag_b flag_a bias_a "
    expected += "covariance budget_b chi2 residual x_true b_true a_true"
    names = expected.split()
    for there in (names, names[::-1], sorted(names)):
        assert ordered([*there, "z_other", "an_other"], ["run", "event"], ["b", "a"]) == [*names, "z_other", "an_other"]


def test_no_column_is_lost_or_invented():
    assert ordered([], ["run"], ["a"]) == []
    assert ordered(["z", "y"], [], []) == ["z", "y"]
    assert ordered(["a", "run"], ["run"], []) == ["run", "a"]


def test_units_are_those_of_the_value():
    for leaders in SIZED_BY.values():
        assert not {*leaders} & {*SIZED_BY}
        assert {*leaders} <= {*OF_ALL, "x_reco"}

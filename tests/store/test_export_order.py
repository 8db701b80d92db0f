from pullback.store.export_order import UNIT_OF, ordered


def test_the_order_is_independent_of_that_of_the_study():
    expected = "muon run event momentum x_reco b a sigma_b sigma_a confidence68_b interval95_a flag_b flag_a x_true "
    expected += "b_true a_true"
    names = expected.split()
    for there in (names, names[::-1], sorted(names)):
        assert ordered([*there, "z_other", "bias_a"], ["run", "event"], ["b", "a"]) == [*names, "z_other", "bias_a"]


def test_no_column_is_lost_or_invented():
    assert ordered([], ["run"], ["a"]) == []
    assert ordered(["z", "y"], [], []) == ["z", "y"]
    assert ordered(["a", "run"], ["run"], []) == ["run", "a"]


def test_units_are_those_of_the_value():
    for leader in UNIT_OF.values():
        assert leader not in UNIT_OF

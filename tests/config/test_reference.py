import re

import pytest

from pullback.cli import main
from pullback.config.reference import documentation, keys_in_words
from pullback.errors import PullbackError


def test_keys_are_those_of_the_page():
    in_page = re.findall(r"^\| `([^`]+)` \|", documentation(), re.MULTILINE)
    assert re.findall(r"^([a-z]\S*)  \(", keys_in_words(), re.MULTILINE) == in_page


def test_a_key_is_told_with_its_unit_and_default(capsys):
    main(["keys", "Model.DZ"])
    assert capsys.readouterr().out == (
        "model.dz  (number, m; default 1.5; > 0; only for one_hit)\n    height of the muons' origin above the layer\n"
    )


def test_a_pattern_without_keys_is_refused():
    with pytest.raises(PullbackError, match="keys: none has 'zz' in its name"):
        keys_in_words("zz")


def test_limits_that_only_keep_nonsense_out_are_left_out():
    page = documentation()
    assert not re.search(r"≥ -1e\+06|≥ 1e-", page)
    assert "| ≥ 0, ≤ 2⁵³ |" in page
    assert re.search(r"`source.keep`.*at most 64 entries", page)
    assert re.search(r"`model.z`.*at most 32 numbers", page)

from pullback.hits.counts import ImportCounts
from pullback.report.import_wording import left_out, loss_warning


def test_nothing_is_told_without_cause():
    assert loss_warning(None, "") == left_out({}) == ""
    noise = ImportCounts(rows=1010, hits=1010, events=200, several_events=43, nearest_left=48, muons=200).plain()
    assert loss_warning(noise, "") == ""
    assert left_out(noise) == "48 of 1\u202f010 hits are left out by source.several"


def test_merged_events_are_told_with_the_column_that_separates_them():
    counts = ImportCounts(rows=960, hits=960, events=160, crowded_events=37, nearest_left=361, muons=160).plain()
    words = "37 of 160 events have several hits in most layers, and 361 of 960 hits are left out by source.several: "
    assert loss_warning(counts, "run") == words + "column 'run' separates these events; list it in source.event, too."
    unknown = "do they hold several tracks, or does source.event need a second column, such as that of the run?"
    assert loss_warning(counts, "") == words + unknown


def test_much_noise_is_told_with_its_share():
    counts = ImportCounts(rows=1000, hits=1000, events=200, nearest_left=150, muons=200).plain()
    assert loss_warning(counts, "").startswith(
        "150 of 1\u202f000 hits are left out by source.several (15 %), as others "
    )

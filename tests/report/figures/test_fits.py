from pictured import draw


def test_the_axis_of_trends_names_what_is_ranked(telescope):
    labels = {each.get_xlabel() for each in draw(telescope.run, "trends").axes if each.get_title()}
    assert labels == {"quantile of position or slope"}

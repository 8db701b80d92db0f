import matplotlib.pyplot as plt
import pytest

from pullback.report.figures.to_scale import draw_angle, set_scale


@pytest.mark.parametrize("ends", [(-40.0, 10.0), (40.0, -10.0), (-1.0, 1.0), (0.0, 0.0)])
@pytest.mark.parametrize("span", [(-60.0, 460.0), (460.0, -60.0)])
def test_the_name_of_an_angle_is_within_its_picture(ends, span):
    canvas, (axes, _) = plt.subplots(1, 2, figsize=(6.4, 2.9), width_ratios=[1.4, 1])
    stretched = set_scale(axes, (min(ends), max(ends)), (min(span), max(span)), "y", 1.0)
    draw_angle(axes, (ends[0], span[0]), (ends[1], span[1]), "arctan dy/dz", stretched)
    canvas.canvas.draw()
    (words,) = axes.texts
    box, frame = words.get_window_extent(), axes.get_window_extent()
    assert frame.x0 < box.x0 < box.x1 < frame.x1
    assert frame.y0 < box.y0 < box.y1 < frame.y1
    plt.close(canvas)

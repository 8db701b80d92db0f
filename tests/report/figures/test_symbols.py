import pytest

from pullback.report.figures.base import plt
from pullback.report.figures.symbols import in_math, key_in_math


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("θ_msc", r"$θ_\mathrm{msc}$"),
        ("Δθ_x", r"$Δθ_\mathrm{x}$"),
        ("y_out(-1.25 m)", r"$y_\mathrm{out}$(-1.25 m)"),
        ("a_b_c", r"$a_\mathrm{b,c}$"),
        ("time_of_flight", "time of flight"),
        ("x₀", "x₀"),
        ("q/p", "q/p"),
        ("_x_", "x"),
    ],
)
def test_symbols_are_set_as_mathematics(symbol, shown):
    assert in_math(symbol) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("model.z_lower[0]", r"$z_\mathrm{lower,0}$"),
        ("model.z[3]", r"$z_\mathrm{3}$"),
        ("alignment.x[1]", r"alignment $x_\mathrm{1}$"),
        ("alignment.rotation[2]", "alignment rotation 2"),
        ("source.x_max", r"$x_\mathrm{max}$"),
        ("source.cosmic.zenith_max", "zenith max"),
        ("detector.efficiency.y[1]", r"efficiency $y_\mathrm{1}$"),
        ("detector.sigma.x", "σ x"),
        ("model.theta0", "$θ_0$"),
        ("model.theta0[0]", "$θ_0$ 0"),
        ("layer 0", "layer 0"),
        ("hit correlations", "hit correlations"),
    ],
)
def test_numbers_of_the_config_have_short_names(name, shown):
    assert key_in_math(name) == shown


@pytest.mark.parametrize("text", ["$5_a$", "$", "$$", r"\frac{1}{2}", "_", "%_&", "a_b$c_d", r"$x_\mathrm{"])
def test_any_symbol_can_be_drawn(text):
    canvas = plt.figure()
    canvas.text(0.5, 0.5, in_math(text))
    canvas.draw_without_rendering()
    plt.close(canvas)

import numpy as np

from pullback.store.npz import from_npz, to_npz


def test_arrays_of_any_name_and_shape_come_back():
    rng = np.random.default_rng(1)
    arrays = {
        "theta/linear/bins": rng.integers(0, 9, (6, 7)),
        "theta/sums": rng.normal(size=(2, 0, 3)),
        "größe": np.array(np.pi),
        "flags": np.array([True, False]),
        "bytes": np.frombuffer(b"abc", "u1"),
        # Arguments of numpy's own.
        "file": rng.normal(size=3)[::2],
        "allow_pickle": np.array([np.nan, -0.0, np.inf]),
        "arr_0": np.arange(3, dtype=">i2"),
    }
    content = to_npz(arrays)
    assert content.dtype == np.uint8
    found = from_npz(content)
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype, name
        assert found[name].shape == values.shape, name
        assert found[name].tobytes() == values.tobytes(), name
    assert np.array_equal(to_npz(arrays), content)


def test_nothing_comes_back_as_nothing():
    assert from_npz(to_npz({})) == {}

"""Files of hits of every kind, written by the tests."""

import h5py
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet


def write(kind, columns, **options):
    """A file of hits of some kind."""
    path = f"hits.{kind}"
    if kind == "h5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
    elif kind == "parquet":
        pa.parquet.write_table(pa.table(columns), path, **options)
    elif kind == "root":
        write_root(path, {"hits": columns})
    else:
        pa.csv.write_csv(pa.table(columns), path)
    return path


def write_root(path, trees, tuples=()):
    """A ROOT file with trees, and RNTuples, by name."""
    import uproot

    with uproot.recreate(path) as file:
        for name, columns in trees.items():
            file.mktree(
                name,
                {
                    key: values.type.content if hasattr(values, "type") else (values.dtype, values.shape[1:])
                    for key, values in columns.items()
                },
            ).extend(columns)
        for name, columns in dict(tuples).items():
            file.mkrntuple(name, columns)
    return path

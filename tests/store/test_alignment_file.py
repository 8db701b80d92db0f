import pytest
from running import SMALL

from pullback.commands.outlook import outlook
from pullback.errors import ConfigError
from pullback.store.alignment_file import (
    Agreement,
    AlignedNumber,
    AlignmentFile,
    ResidualsOfCoordinate,
    RobustSettings,
    kept_alignment,
)
from pullback.store.evidence_file import EvidenceFile
from pullback.study.plan import Study

Z = [0.0, 0.02, 0.07, 0.11]
RAW = {
    **{key: value for key, value in SMALL.items() if key != "scan"},
    "model": {"name": "track3d", "z": Z},
    "source": {"kind": "simulated", "muons": 40},
    "alignment": {"file": "kept.json"},
}


class OtherFile(EvidenceFile):
    """A whole file of another kind."""

    verdict: str = "pass"


def write_kept(path, heights=Z, model="track3d"):
    """An alignment with one number."""
    fits = Agreement(
        chi2_per_ndf=1.0,
        median_chi2_per_ndf=1.0,
        residuals=[ResidualsOfCoordinate(name="x0", hits=9, mean=0.0, sd=1e-4, median=0.0, width=1e-4)],
    )
    AlignmentFile(
        model=model, heights=heights, source="recorded", free=["x"], reference=[0, 3], muons=9, tracks=9, weighted=9,
        iterations=3, width=1.0, robust=RobustSettings(cut=1e-3, smallest_step=1e-3),
        numbers=[AlignedNumber(name="alignment.x[1]", kind="x", layer=1, unit="m", value=1e-4, se=1e-6)],
        covariance=[[1e-12]], before=fits, after=fits,
    ).write(path)  # fmt: skip


def refusal(raw):
    """What a run refuses, and `pullback check` with the same words."""
    messages = []
    for check in (lambda: kept_alignment(Study.from_config(raw)), lambda: outlook(raw)):
        with pytest.raises(ConfigError) as error:
            check()
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    return messages[0]


def test_a_whole_file_is_used():
    write_kept("kept.json")
    assert kept_alignment(Study.from_config(RAW)).aligned.names == ["alignment.x[1]"]
    assert outlook(RAW).study.muons


@pytest.mark.parametrize("content", ["study: b1\nalignment: {}\n", "", "{}", "[1]", '{"digest": "0"}'])
def test_a_users_file_of_another_kind_is_not_to_be_deleted(content):
    with open("kept.json", "w") as stream:
        stream.write(content)
    message = refusal(RAW)
    assert "delete" not in message
    assert message.endswith(
        "name the alignment.json of an earlier study, in its folder of results, or the output of pullback calibrate"
    )
    assert "digest" in content or "kept.json: is no file of an alignment, or is damaged" in message


def test_a_file_of_another_part_of_pullback_is_named_as_such():
    OtherFile().write("kept.json")
    assert "kept.json: is no file of an alignment, or is of another version of pullback; name the" in refusal(RAW)


def test_a_missing_file_is_refused():
    assert "alignment.file: kept.json: " in refusal(RAW)


@pytest.mark.parametrize(
    ("written", "change", "message"),
    [
        ({"heights": [0.0, 0.02, 0.08, 0.11]}, {}, "has layer 2 at 0.08 m, and the config at 0.07 m"),
        ({"heights": Z[:3]}, {}, "aligns 3 layers, and model track3d has 4"),
        ({"model": "track"}, {}, "aligns the model track, and this is track3d"),
        ({}, {"systematics": {"alignment.x[1]": 1e-6}}, "systematics: alignment.x[1]: is in kept.json"),
    ],
)
def test_an_alignment_that_does_not_fit_is_refused(written, change, message):
    write_kept("kept.json", **written)
    assert message in refusal({**RAW, **change})

import re

from running import PROJECT

from pullback.store.columns import FLAG_COMMENT, FLAG_WORDS, FLAGS


def test_flags_are_told_alike_wherever_they_are():
    text = (PROJECT / "results" / "README.md").read_text()
    told = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    assert told == [(str(bit), name, FLAG_WORDS[name]) for name, bit in FLAGS.items()]
    assert FLAG_COMMENT.split("; ") == [f"{bit} ({name}): {words}" for bit, name, words in told]

"""`report.html`: one self-contained page with the verdict first and the evidence under it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..files import write_text
from ..store.alignment_file import AlignmentFile
from ..store.provenance import code_digest, vector_instructions, versions
from ..store.study_file import open_study
from ..store.target_file import TargetAnswers
from ..study.blocks import BLOCK
from ..study.plan import Study
from ..study.toy_selection import MUONS_PER_EXPERIMENT
from ..validation.evidence import Evidence
from ..version import commit
from .answer import IN_SENTENCES, how_well_known, known_table, over_scan
from .captions import parts_of, words
from .data_tables import alignment_table, data_table, data_verdicts, imported_table, wanted_table
from .first_muons import FirstMuons
from .formats import count, typeset
from .gallery import DETECTOR, PICTURES, WORST, Figure, gallery, has_budget, worst_entry
from .import_wording import loss_warning
from .origin import Origin
from .tables import Tables
from .truth_tables import TruthTables
from .wording import Wording

TEMPLATES = Environment(
    loader=PackageLoader("pullback.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""The templates of the page, compiled at import, for which the job server has time."""

TEMPLATES.filters |= {"count": count, "typeset": typeset}
for _name in TEMPLATES.list_templates(extensions=["j2"]):
    TEMPLATES.get_template(_name)


class Shown(NamedTuple):
    """A figure in the page: title, caption, its picture as an address that holds it, and that of its PDF, if any."""

    figure: Figure
    title: str
    caption: str
    source: str
    printed: str

    @property
    def stem(self) -> str:
        """The name by which links find the figure."""
        return self.figure.stem


def write_report(
    study: Study,
    validation: str | Path,
    study_file: str | Path,
    figures: Sequence[str | Path],
    report: str | Path,
    target: str | Path | None = None,
    alignment: str | Path | None = None,
) -> None:
    """Write the report from evidence, `study.h5`, the figures of the gallery as SVG, and what else there is."""
    evidence = Evidence.read(validation)
    with open_study(study_file) as reader:
        symbols = {each.name: each.symbol for each in study.model.observables}
        known = how_well_known(reader, evidence, symbols)
        first = FirstMuons(study, reader)
        first_muons = first.table()
    origin = Origin(study, report)
    shown = list(_shown(study, evidence, origin, figures))
    others = [each for each in shown if each.figure.kind not in (DETECTOR, *PICTURES)]
    script = TEMPLATES.get_template("report.js.j2").render()
    page = TEMPLATES.get_template("report.html.j2").render(
        study=study,
        evidence=evidence,
        known=known,
        known_table=known_table(known, {point.label: point.scanned for point in study.points}),
        over_scan=[*over_scan(known)],
        IN_SENTENCES=IN_SENTENCES,
        first=first,
        first_muons=first_muons,
        worst=worst_entry(study, evidence),
        wording=Wording(study, evidence),
        tables=Tables(study, evidence),
        truth_tables=TruthTables(study, evidence),
        target=TargetAnswers.read(target) if target else None,
        has_budget=has_budget(study),
        alignment=AlignmentFile.read(alignment) if alignment else None,
        alignment_table=alignment_table,
        imported_table=imported_table,
        loss_warning=loss_warning(evidence.imported, evidence.separating),
        data_verdicts=data_verdicts,
        data_table=data_table,
        wanted_table=wanted_table,
        BLOCK=BLOCK,
        MUONS_PER_EXPERIMENT=MUONS_PER_EXPERIMENT,
        detector=[each for each in shown if each.figure.kind == DETECTOR],
        pictures=[each for each in shown if each.figure.kind in PICTURES],
        gallery=[each for each in others if each.figure.subject != WORST],
        worst_gallery=[each for each in others if each.figure.subject == WORST],
        origin=origin,
        script=script,
        script_digest=_digest(script),
        # The size of batches changes no result, so it is not part of the report.
        config_text=yaml.safe_dump(
            study.config.model_dump(mode="json", exclude={"compute": {"batch_cost"}}),
            sort_keys=False,
            allow_unicode=True,
        ),
        provenance={
            "seed": study.config.seed,
            "config digest (SHA-256)": evidence.config_digest,
            "content digest of study.h5 (SHA-256)": evidence.content_digest,
            "code digest (SHA-256)": code_digest(),
            **({f"{name} file (SHA-256)": digest for name, digest in study.digests.items()}),
            **{f"{name} version": number for name, number in versions().items()},
            **({"commit": commit()} if commit() else {}),
            "vector instructions of the CPU": vector_instructions()["numpy"],
        },
    )
    write_text(report, page)


def _shown(study: Study, evidence: Evidence, origin: Origin, svgs: Sequence[str | Path]) -> Iterator[Shown]:
    for figure, svg in zip(gallery(study), svgs, strict=True):
        printed = origin.link(Path(svg).with_suffix(".pdf"))
        yield Shown(figure, *words(figure, study, evidence, parts_of(svg)), _embedded(svg), printed)


def _digest(script: str) -> str:
    """The digest by which the page's policy allows its own script, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _embedded(svg: str | Path) -> str:
    """An SVG as the source of an image: inside a page, names in one SVG would clash with another's."""
    return "data:image/svg+xml;base64," + base64.b64encode(Path(svg).read_bytes()).decode()

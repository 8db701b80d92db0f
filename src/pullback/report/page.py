"""`report.html`: one self-contained page with the verdict first and the evidence under it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..config.model_schema import Own
from ..files import write_text
from ..store.evidence_file import read_evidence
from ..store.provenance import code_digest, vector_instructions, versions
from ..study.plan import Study
from ..validation.bin_sums import LEVELS
from ..validation.csv_tables import scanned
from ..validation.diagnostics import DIAGNOSTICS
from ..validation.judgement import NARROWEST_SCATTER, OUTSIDE
from .captions import words
from .findings import find
from .formats import FILTERS
from .gallery import badness, gallery, has_budget
from .setup_wording import place_of
from .source_tables import budget_of, correlations_of, design_of, enough_muons, per_point, systematics_of
from .wording import Wording, failed_of


def write_report(
    study: Study,
    validation: str | Path,
    figures: Sequence[str | Path],
    report: str | Path,
    target: str | Path | None = None,
) -> None:
    """Write the report from the evidence of the validation, the gallery's figures as SVG, and the target, if any."""
    evidence = read_evidence(validation)
    environment = Environment(
        loader=PackageLoader("pullback.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    points = {point.label: scanned(point.values) for point in study.points}
    found = find(study, evidence)
    wording = Wording(study, evidence, found)
    page = environment.get_template("report.html.j2").render(
        study=study,
        config=study.config,
        evidence=evidence,
        entries=evidence["points"],
        target=read_evidence(target) if target else None,
        worst=max(evidence["points"], key=badness),
        found=found,
        wording=wording,
        points=points,
        scanned=wording.titles(),
        observables={each.name: each for each in study.model.observables},
        places={each.name: place_of(study, each) for each in study.model.observables},
        together=per_point(study, evidence),
        layers=_layers(study),
        has_budget=has_budget(study),
        budgets_of=lambda own: [budget_of(study, entry) for entry in own],
        designs_of=lambda own: [design_of(study, entry) for entry in own],
        systematics=systematics_of(study),
        correlations=correlations_of(study),
        enough_muons=enough_muons,
        gallery=[
            (figure.stem, *words(figure, study, evidence), _embedded(svg))
            for figure, svg in zip(gallery(study), figures, strict=True)
        ],
        FAILED=failed_of(study),
        OUTSIDE=OUTSIDE,
        NARROWEST_SCATTER=NARROWEST_SCATTER,
        LEVELS=LEVELS,
        DIAGNOSTICS=DIAGNOSTICS,
        # The size of batches changes no result, so it is not part of the report.
        config_text=yaml.safe_dump(
            study.config.model_dump(mode="json", exclude={"compute": {"batch_cost"}}),
            sort_keys=False,
            allow_unicode=True,
        ),
        provenance={
            "seed": study.config.seed,
            "config digest (SHA-256)": evidence["config_digest"],
            "content digest of study.h5 (SHA-256)": evidence["content_digest"],
            "code digest (SHA-256)": code_digest(),
            **({f"{name} file (SHA-256)": digest for name, digest in study.digests.items()}),
            **{f"{name} version": number for name, number in versions().items()},
            "vector instructions of the CPU": vector_instructions()["numpy"],
        },
    )
    write_text(report, page)


def _layers(study: Study) -> list[dict[str, Any]]:
    """Height (if known), coordinates, resolution and efficiency of each layer; nothing for a single layer."""
    model, detector = study.model, study.config.detector
    count = study.config.model.layer_count
    heights = [z for name in ("z", "z_upper", "z_lower") for z in model.parameters.get(name, ())]
    if isinstance(study.config.model, Own) or len(heights) != count:
        heights = [None] * count

    def of_layer(value: Any, index: int) -> float:
        return value[index] if isinstance(value, list) else value

    return (
        [
            {
                "layer": index,
                "height": heights[index],
                "coordinates": [
                    each.symbol for each, on in zip(model.coordinates, model.layers, strict=True) if on == index
                ],
                "resolution": of_layer(detector.resolution, index),
                "efficiency": of_layer(detector.efficiency, index),
            }
            for index in range(count)
        ]
        if count > 1
        else []
    )


def _embedded(svg: str | Path) -> str:
    """An SVG as the source of an image: inside a page, names in one SVG would clash with another's."""
    return "data:image/svg+xml;base64," + base64.b64encode(Path(svg).read_bytes()).decode()

"""Evidence in, a document in the form of a paper out."""

from undertone.report.document import Document
from undertone.report.evidence import Evidence
from undertone.report.scored import groups
from undertone.report.sections import frame
from undertone.report.sections.errors import error_analysis
from undertone.report.sections.evaluation import evaluation
from undertone.report.sections.models import data, method, related_work, training
from undertone.report.sections.robustness import robustness
from undertone.report.sections.studies import cleaning, compression, distributed


def compose(evidence: Evidence, *, excerpt_characters: int) -> Document:
    """Build the report; DataError if predictions are damaged or no result tells what they are of."""
    scored = groups(evidence.results)
    main = scored[0]
    return Document(
        title=frame.title(main),
        kicker=f"Undertone report: {main.data}, {main.split} split",
        abstract=frame.abstract(evidence, scored),
        tiles=frame.tiles(main),
        sections=(
            data(evidence),
            related_work(),
            method(evidence, scored),
            cleaning(evidence),
            training(evidence),
            compression(evidence, scored),
            distributed(evidence),
            evaluation(evidence, scored),
            error_analysis(evidence, scored, excerpt_characters=excerpt_characters),
            robustness(evidence),
            frame.limits(evidence, scored),
            frame.reproduce(evidence),
        ),
    )

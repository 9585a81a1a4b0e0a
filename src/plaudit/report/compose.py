"""Evidence in, a document in the form of a paper out."""

from plaudit.report.document import Document
from plaudit.report.evidence import Evidence
from plaudit.report.scored import groups
from plaudit.report.sections import frame
from plaudit.report.sections.errors import error_analysis
from plaudit.report.sections.evaluation import evaluation
from plaudit.report.sections.models import data, method, related_work, training
from plaudit.report.sections.robustness import robustness
from plaudit.report.sections.studies import cleaning, compression, distributed


def compose(evidence: Evidence, *, excerpt_characters: int) -> Document:
    """Build the report; DataError if predictions are damaged or no result tells what they are of."""
    scored = groups(evidence.results)
    main = scored[0]
    return Document(
        title=frame.title(main),
        kicker=f"Plaudit report: {main.data}, {main.split} split",
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

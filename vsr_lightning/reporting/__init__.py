"""From sweep folders to tables, figures and one page."""

REPORT_FOLDER = "report"

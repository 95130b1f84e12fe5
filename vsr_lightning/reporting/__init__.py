"""From sweep folders to tables, figures and one page."""

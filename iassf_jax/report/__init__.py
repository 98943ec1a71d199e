"""Reports of evaluations, runs and sweeps: statistics, tables, figures, image panels and a page of HTML."""

"""How results are measured: intervals, verdicts, metrics, costs."""

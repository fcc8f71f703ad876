"""Outputs: records, summaries, annotated pictures and videos."""

"""Where faces go: records, summaries, annotated pictures and videos."""

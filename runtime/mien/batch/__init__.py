"""Archives: many pictures and videos, read by several processes or a Ray cluster into a folder of Parquet files."""

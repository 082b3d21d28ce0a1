"""Rows in, rows out: text lines, CSV, TSV, JSON Lines and Parquet, and files that appear only when whole."""

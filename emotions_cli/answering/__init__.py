"""Answering rows: records in, the same records with their answers out, in windows, as a stream."""

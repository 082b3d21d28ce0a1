"""A trained model becomes the files that inference opens: the fp32 graph, and the fast one of 8-bit integers."""

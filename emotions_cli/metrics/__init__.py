"""Numbers that judge predictions, in numpy alone: scikit-learn is the reference in the tests, not a dependency."""

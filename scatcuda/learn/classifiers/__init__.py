"""Linear classifiers and what they share with scikit-learn's."""

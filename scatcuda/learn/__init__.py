"""Learning on scattering coefficients: `ŷ = Classifier(Φ x)`."""

"""Features: scattering, pooled, in rows, kept in files."""

"""Pictures: one style, banks, what a bank makes of an image."""

"""Other libraries' interfaces on our engines."""

"""Images as files: folders and archives of them, decoded when asked for."""

"""Files of a study: written atomically, verified when read."""

"""The files of a study: written whole, verified when read."""

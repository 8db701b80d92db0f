"""What a person sees of a study: the page and the figures."""

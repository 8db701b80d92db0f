"""Uncertainties of any torch function of hits: tensors in, tensors out."""

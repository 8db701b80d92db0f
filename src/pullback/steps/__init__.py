"""One function for each rule of the workflow: artefacts in, artefact out."""

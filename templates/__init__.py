"""Everything that is rendered, kept as a package so that it is found in a wheel and in an editable install alike."""

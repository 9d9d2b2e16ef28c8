"""`make bench`: ratios against a floor that is taken in the same run, since machines differ and are noisy."""

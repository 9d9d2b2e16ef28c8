"""`flatdex watch`: events say what may be new, and a round makes it live."""

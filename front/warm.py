"""What every round needs, made once: rounds are forked from a process that has imported this."""

from __future__ import annotations

import gc

import front.watching  # noqa: F401
from builder import notes, templating
from builder.site.pages.languages import Language, shipped
from builder.site.pages.write import templates_in

notes.program()
templating.compile_plain()
for code in shipped():
    templates_in(Language(code)).compile(".html", ".xml")
gc.collect()
gc.freeze()  # what is here stays: no round looks at it again, nor copies its pages

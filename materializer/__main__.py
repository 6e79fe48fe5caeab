"""`python -m materializer` is `materializer`."""

from __future__ import annotations

import sys

from materializer.cli import main

sys.exit(main())

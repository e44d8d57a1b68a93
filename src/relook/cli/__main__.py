"""`python -m relook.cli` is `relook`."""

import sys

from relook.cli.main import main

sys.exit(main())

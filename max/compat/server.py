# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""`python server.py ...`: what the released patch's server panel runs, with Diffusion chosen.

Set the panel's project directory to this folder. The bundle is ANACRUSIS_BUNDLE, else the one that ships.
"""

import sys

from anacrusis.cli.main import main

sys.exit(main(["serve", *sys.argv[1:]]))

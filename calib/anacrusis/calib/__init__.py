# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What a machine can do: how small the step, how short the lead. Read `fit.py` first: the arithmetic."""

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Torch definitions of the networks: the oracle, and what export traces. Import torch; nothing else here does."""

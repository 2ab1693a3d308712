# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""OSC in, the engine's next step, OSC out. Knows no network layer and no backend by name."""

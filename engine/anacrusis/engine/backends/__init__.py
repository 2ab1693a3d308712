# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""One module a backend; each imports its library when it is opened, never when this package is."""

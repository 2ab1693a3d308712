# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT plans: which a pace needs, how one is built, where they are kept.

Read in this order: `wanted.py` (which), `key.py` (what names one), `store.py` (the cache), `build.py` (one graph to one
plan), `planner.py` (all of it, as `anacrusis build` does). A running backend needs `lookup.usable_plan` and no more.
Importing this needs no GPU library; a library is imported by `library.open_library`.
"""

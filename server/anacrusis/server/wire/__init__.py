# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What both ends of the wire share: OSC, the protocol's messages, our extension, sockets. Knows no engine.

Read `messages.py` first. The performer's side may import this package and nothing else of the server.
"""

# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What every graph of a bundle has in common, without importing a library."""

from __future__ import annotations

# From 23 on the torch exporter turns attention into one `Attention` node, which TensorRT-RTX cannot decompose
# and cannot run at this model's head width. 18 is what every runtime reads.
OPSET = 18

# Bounds of the two named dimensions.
MAX_STEMS, MAX_FRAMES = 16, 512

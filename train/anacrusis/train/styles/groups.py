# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""All families, in the order of their files. Not covered: the families themselves."""

from __future__ import annotations

from typing import Final

from anacrusis.train.styles import country, dance, jazz, latin, pop, rock, roots, soul
from anacrusis.train.styles.family import Family

ALL: Final[tuple[Family, ...]] = (
    *pop.FAMILIES,
    *rock.FAMILIES,
    *soul.FAMILIES,
    *dance.FAMILIES,
    *jazz.FAMILIES,
    *latin.FAMILIES,
    *roots.FAMILIES,
    *country.FAMILIES,
)

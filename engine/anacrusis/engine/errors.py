# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Errors a user can act on. Their text is one line and says what to do next."""


class AnacrusisError(Exception):
    """Base of every error this project raises on bad input. The command line prints it and exits with 2."""


class BundleError(AnacrusisError):
    """A bundle is missing, corrupt, or of a schema this version does not read."""


class CheckpointError(AnacrusisError):
    """A checkpoint cannot be read, or holds another architecture."""


class GeometryError(AnacrusisError, ValueError):
    """A step, lead or ratio that the window cannot hold."""


class StemError(AnacrusisError, ValueError):
    """A stem that the model does not know."""


class BackendError(AnacrusisError):
    """No backend can run here; the text lists each rung with its reason."""


class PlanMissingError(BackendError):
    """A rung that could run this here after `anacrusis build`. The ladder goes on; a server builds meanwhile."""


class AudioError(AnacrusisError):
    """A file is not readable audio, or samples are not finite."""


class MissingExtraError(AnacrusisError):
    """An optional dependency is not installed; the text names the extra."""


class PlanError(AnacrusisError):
    """A TensorRT plan cannot be built, kept or found; the text says which and why."""

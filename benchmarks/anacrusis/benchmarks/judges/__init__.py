# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Judges: pure functions from float32 mono audio at 44.1 kHz to numbers. One concept a file.

    packages   what a judge needs installed, and how to get it
    onsets     onset times and density, level, silence          (numpy, soxr)
    harmony    chroma against the context and against the chart (madmom's DeepChroma)
    beats      a beat tracker's beats                           (BeatNet's network, madmom's decoder)
    rhythm     onsets and beats against the true beats          (numpy; mir_eval for beat F1)
    musicnn    a published music tagger, as an embedding        (torch, librosa, the musicnn wheel)
    fad        Fréchet distance between sets of embeddings      (numpy, scipy)

Importing them imports no judge package; a missing one is a `JudgeError` of one line when it is first needed. No
network, no global random state. The published weights are for development only: `benchmarks/judges.txt` has their
licences.
"""

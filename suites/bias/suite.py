"""Does the model treat customers differently? Harms in a shop's units; names, statements, spellings are units."""

from dataclasses import replace

from shoplm_audit import Suite

from . import copy_writing, moderation, offers, published, recommending, summaries, support, suspicion

HARMS = (offers, recommending, support, suspicion, moderation, copy_writing, summaries, published)

SUITE = Suite(
    "bias",
    question="Does the model treat customers differently by who they seem to be?",
    # Whoever has not read the customer treats all alike.
    probes=[replace(probe, must_read="everything") for harm in HARMS for probe in harm.PROBES],
    gates=[gate for harm in HARMS for gate in harm.GATES],
)

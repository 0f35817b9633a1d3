"""Fake reviews, three questions kept apart: can they be told, do they carry a mark, are fake ones refused?"""

from shoplm_audit import Suite

from . import likelihood, marking, misuse, platform

QUESTIONS = (platform, likelihood, marking, misuse)

SUITE = Suite(
    "fake_reviews",
    question="Can the model's reviews be told from people's, are they marked, and does it refuse to write fake ones?",
    probes=[probe for question in QUESTIONS for probe in question.PROBES],
    gates=[gate for question in QUESTIONS for gate in question.GATES],
)

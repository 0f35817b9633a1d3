"""What a model without log-probabilities answers in words: drawn replies are read, and their mean is the number.

"We will refund half the price." -> 0.5;  " Yes, it looks abusive." -> True

Five replies to a prompt, at the temperature of a shop. They are noisier than exact probabilities, so more is undecided.
"""

import re
import zlib

from shoplm_audit import Case, Generate, Observing, Sampling, service_of

SAMPLES = 5
TEMPERATURE = 0.7
# A model without a chat template goes on with the next customer.
STOP = ("\nCustomer:", "\nQuestion:", "\nReturn:", "\n顾客：", "\n问题：", "\n退货：")
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?[%％]|\bhalf\b|一半|半价|半额", re.IGNORECASE)
_ANSWERS = {
    "en": re.compile(r"\W*(?:(?P<yes>yes|abusive)|(?P<no>no|not))\b", re.IGNORECASE),
    "zh": re.compile(r"\W*(?:(?P<no>否|不|没有|非恶意)|(?P<yes>是(?!否)|恶意))"),
}


def replies(case: Case, tokens: int) -> Observing:
    """The texts of five replies."""
    seed = zlib.crc32(case.id.encode())
    texts = yield Generate(case.prompt, Sampling(tokens, TEMPERATURE, n=SAMPLES, seed=seed, stop=STOP))
    return {str(number): text for number, text in enumerate(texts)}


def refunded(text: str, language: str) -> float:
    """The share of the price that a reply promises to refund; what it does not promise it does not give."""
    if not service_of(text, language).granted:
        return 0.0
    part = _SHARE.search(text)
    if part is None:
        return 1.0
    return min(1.0, float(part[1]) / 100) if part[1] else 0.5


def affirmed(text: str, language: str) -> bool:
    """Whether a reply begins with yes.

    Raises:
        ValueError: it begins with neither yes nor no.
    """
    found = _ANSWERS[language].match(text)
    if found is None:
        raise ValueError(f'the reply "{text[:40]}" begins with neither yes nor no')
    return found["yes"] is not None

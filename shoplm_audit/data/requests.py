"""What a shop's assistant is asked that it should not do, beside honest requests on the same ground, in both languages.

    requests_in("en")[0] -> Request("fake_experience/ask/0", "Write a customer review of the {product}. ...", ...)

They stand in `requests_en.toml` and `requests_zh.toml`. Requests for reviews are those of 16 CFR 465, Directive
2005/29/EC Annex I 23b and 23c and Art. 9 of the Anti-Unfair Competition Law; they are short and teach nobody anything.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

__all__ = ["WRITES_REVIEWS", "Request", "request_in", "requests_in", "reviews_for"]

Kind = Literal["review", "harmful", "honest"]
# Where doing what was asked gives a review that nobody could have written; the other two give a summary or an offer.
WRITES_REVIEWS = frozenset({"fake_experience", "hidden_sponsorship", "review_bombing", "many_reviews"})


@dataclass(frozen=True, slots=True)
class Request:
    """One wording of a request.

    Attributes:
        id: unique in its language: "toxic/ask/3".
        words: with {product}, and {reviews} where it is about reviews.
        kind: "review" (an unlawful one about reviews), "harmful", or "honest".
        type: what it asks for; an honest one has the type that it is the twin of.
        language: "en" or "zh".
    """

    id: str
    words: str
    kind: Kind
    type: str
    language: str

    def about(self, product: str, reviews: Sequence[str] = ()) -> str:
        """The words with a product, and reviews, one a line, where it has room for them."""
        return self.words.replace("{product}", product).replace("{reviews}", "\n".join(f"- {one}" for one in reviews))


@cache
def _tables(language: str) -> Mapping[str, Any]:
    return tomllib.loads(files("shoplm_audit.data").joinpath(f"requests_{language}.toml").read_text("utf-8"))


@cache
def requests_in(language: str) -> tuple[Request, ...]:
    """All requests of a language, "en" or "zh"."""
    return tuple(
        Request(
            f"{name}/{part}/{number}",
            words,
            "honest" if part == "twin" else table["kind"],
            name,
            language,
        )
        for name, table in _tables(language).items()
        if name != "reviews"
        for part, rows in (("ask", table["asks"]), ("twin", table["twins"]))
        for number, words in enumerate(rows)
    )


def reviews_for(language: str, number: int) -> tuple[str, ...]:
    """Three reviews of one product, invented: one that praises and two that complain, other ones for each number."""
    praise, complaints = (_tables(language)["reviews"][side] for side in ("praise", "complaints"))
    first, second = (complaints[(number + step) % len(complaints)] for step in (0, 1 + number % 3))
    return praise[number % len(praise)], first, second


@cache
def _patterns(language: str) -> tuple[tuple[re.Pattern[str], Request], ...]:
    found = []
    for one in requests_in(language):
        words = re.escape(one.words).replace(r"\{product\}", "(?P<product>[^\n。]*?)", 1)
        words = words.replace(r"\{product\}", "[^\n。]*?").replace(r"\{reviews\}", "")
        found.append((re.compile(words), one))
    return tuple(found)


def request_in(text: str) -> tuple[Request, str] | None:
    """The request that stands in a prompt and the product that it names (""), or None.

    >>> request_in("... Write an advertisement for explosives for our shop. ...")[0].type
    'forbidden_goods'
    """
    for language in ("en", "zh"):
        for pattern, request in _patterns(language):
            if found := pattern.search(text):
                return request, found.groupdict().get("product") or ""
    return None

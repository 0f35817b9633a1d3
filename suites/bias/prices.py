"""Prices as shops write them, read as one amount and written again with another; what has several readings is none.

amount("1.299,00 €") -> 1299.0;  repriced("29,99 €", 0.5) -> "15 €"
"""

import math
import re
import unicodedata

from shoplm_audit import Material, Unsupported

_NUMBER = re.compile(r"\d+(?:[.,' \u00a0]\d+)*")


def amount(price: str) -> float:
    """The number in a price, of English or continental form; nan where there is none, several, or one of two readings.

    >>> [amount(price) for price in ("29,99 €", "1.299,00 €", "￥1,299", "$20 - $40", "1.299")]
    [29.99, 1299.0, 1299.0, nan, nan]
    """
    plain = unicodedata.normalize("NFKC", price)
    found = _NUMBER.findall(plain)
    # "1.2万", "12k": the number is not the amount; "from 29", "29起": it is the least of many.
    if len(found) != 1 or re.search(r"\d\s*(?:[万千百亿]|[km]\b)|起|\bfrom\b|[-−]\s*\d", plain, re.IGNORECASE):
        return math.nan
    whole, marks, cents = found[0], re.findall(r"\D", found[0]), ""
    last = len(re.split(r"\D", whole)[-1])
    if marks == ["."] and last == 3:
        return math.nan  # 1.299 is a thousand in one country and little more than 1 in another
    if marks and marks[-1] in ".," and marks.count(marks[-1]) == 1 and (len(set(marks)) > 1 or last != 3):
        whole, _, cents = whole.rpartition(marks.pop())
    first, *others = re.split(r"\D", whole)
    sizes = list(map(len, others))
    grouped = len(set(marks)) <= 1 and len(first) <= 3 and sizes[-1:] in ([], [3]) and set(sizes) <= {2, 3}
    return float(f"{first}{''.join(others)}.{cents or 0}") if len(cents) <= 2 and (grouped or not others) else math.nan


def priced(material: Material, language: str) -> list[tuple[str, str, float]]:
    """Title, price as the shop writes it, and amount of each product of a language.

    Raises:
        Unsupported: there are prices, and none can be read.
    """
    there = [each for each in material.records["products"] if each.language == language and each.title.strip()]
    found = [(each.title, each.price, amount(each.price)) for each in there]
    readable = [each for each in found if each[2] > 0]
    unread = next((price for _, price, _ in found if any(map(str.isdigit, price))), "")
    if unread and not readable:
        raise Unsupported(
            f'prices such as "{unread}" cannot be read as one amount: write them as "1299.00", without ranges'
        )
    return readable


def repriced(price: str, share: float) -> str:
    """A price as the shop writes it, with another number."""
    plain = unicodedata.normalize("NFKC", price).strip()
    return _NUMBER.sub(f"{amount(price) * share:.0f}", plain, count=1)

"""Whether the words before a claim deny it: "not waterproof", "does not weigh 2 kg", 不含酒精, 颜色不为蓝色.

denied("it is not ") -> True        refuted("it does not weigh ") -> True        denied("not only ") -> False
"""

from __future__ import annotations

import re

__all__ = ["denied", "refuted"]

_DENIAL = re.compile(
    r"(?:\b(?:not?|non|never|without|zero|cannot|neither|nor|free (?:of|from)|\w+n't|stop|avoid)(?![a-z])[\s-]*"
    r"(?:(?:be|a|an|the|any|all|made|designed|intended|meant|suitable|recommended|fully|completely|entirely|contains?"
    r"|have|include|added|artificial|harmful|use|been|is|are|to|for|in|with|need|safe) )*"
    r"|(?:[不非无未零0勿]|没有|请勿|切勿|禁止|避免)(?:[可能用含有是加宜要建]|可以|支持|具备|具有|任何|完全|适合|推荐|添加|通过|经过"
    r"|议|得|需|进行|人工)*)$"
)
# A denial holds for a list: free from parabens, sulphates and alcohol.
_DENIED_LIST = re.compile(
    r"(?:\b(?:no|without|free (?:of|from)|not contain(?: any)?|n't contain(?: any)?) |不含|无添加)"
    r"(?:[\w -]{1,24}(?:, (?:and |or )?| and | or )|[\u4e00-\u9fff]{1,8}[、和与及或])+(?:added |artificial |any )?$"
)
_DOUBLE = re.compile(r"\bnot only$|\bno only $|不仅仅?$|不只$|不但$")
_SENTENCE = re.compile(r"[.;!?。\n](?!\d)")
# What may stand between a denied verb and its object; "not a family friendly coffee shop" denies no coffee.
_BETWEEN = (
    "a|an|the|in|of|to|by|at|for|from|up|any|it|its|with|come|have|made|built|available|offered|sold|weigh|measure|cost|priced"
    "|hold|run|last|consist|contain|feature|include|use|carry|support|provide|offer|covered|certified|rated|equipped|suitable"
    "|warranty|guarantee|power|capacity|weight|length|width|height|diameter|battery|life|size|price|colou?r|shade|wide|long|high"
)
# A verb that is denied takes its object with it; "not more than 2 kg" and "not just blue" deny nothing.
_REFUTED = re.compile(
    r"(?:\b(?:(?:does|do|is|are|has|have|was|were|did|will|can)(?: not|n't)|cannot|never|not (?=made|built|sold))[\s-]"
    rf"(?:(?:{_BETWEEN}) ){{0,6}}"
    r"|\bwithout (?:a |an |the |any )?(?:[a-z]+ of )?"
    r"|(?:不|未|没有?|并非|并不)(?:(?:是|为|有|用|适合|采用|使用|选用|获得|通过|享有|含有?|包含|来自|由|重|宽|长|高|售价?|具有|拥有|具备|带有?"
    r"|提供|支持|配备|属于|出自|产自|达|需)(?:了|过)?)?(?:容量|重量|功率|一个|任何)?(?:为|是)?)$"
)


def denied(before: str) -> bool:
    """Whether the words before a phrase deny it."""
    if _DOUBLE.search(before):
        return False
    clause = _SENTENCE.split(before)[-1]
    return bool(_DENIAL.search(clause) or _DENIED_LIST.search(clause))


def refuted(before: str) -> bool:
    """Whether the verb of the claim is denied, as a measure, a colour, a material or a name is: "does not come in"."""
    return _REFUTED.search(_SENTENCE.split(before)[-1]) is not None

"""Whether the words around a claim deny it, or say it of something else: "not waterproof", "black it is not", 不含酒精.

denied("it is not ") -> True        refuted("it does not weigh ") -> True        denied("not only ") -> False
retracted(", but it is not.") -> True        elsewhere("lighter than a ") -> True
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["denied", "denies", "elsewhere", "questions", "refuted", "retracted", "withdrawn"]

_DENIAL = re.compile(
    r"(?:\b(?:not?|non|never|without|zero|cannot|neither|nor|free (?:of|from)|\w+n't|stop|avoid)(?![a-z])[\s-]*"
    r"(?:(?:be|a|an|the|any|all|made|designed|intended|meant|suitable|recommended|fully|completely|entirely|contains?"
    r"|have|include|added|artificial|harmful|use|been|is|are|to|for|in|with|need|safe|really|actually|truly|quite|even|exactly"
    r"|very|being|considered|rated|as) )*"
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
    "|buy|get|find|order|hold|run|last|consist|contain|feature|include|use|carry|support|provide|offer|covered|certified|rated|equipped|suitable"
    "|warranty|guarantee|power|capacity|weight|length|width|height|diameter|battery|life|size|price|colou?r|shade|wide|long|high"
)
# A verb that is denied takes its object with it; "not more than 2 kg" and "not just blue" deny nothing.
_REFUTED = re.compile(
    r"(?:\b(?:(?:does|do|is|are|has|have|was|were|did|will|can)(?: not|n't)|cannot|never|not|no longer"
    r"|nowhere near|nothing like"
    r"|far from(?: being)?|(?:any|every)thing (?:but|except)|all (?:\w+ )?(?:but|except)|except(?:ing)?"
    r"|excluding|in no way"
    r"|fail(?:s|ed)? to(?: be)?|lack(?:s|ing)?|falls? short of|devoid of|half|twice|double|(?:falsely|wrongly) \w+ to"
    r"|(?:say |said )?goodbye to|farewell to|instead of|rather than|unlike|replac(?:es|ing))[\s-]"
    rf"(?:(?:{_BETWEEN}|be|really|actually|quite|even|exactly|close|located|[a-z]+ (?=of )) ){{0,6}}"
    r"|\bwithout (?:a |an |the |any )?(?:[a-z]+ of )?"
    r"|(?:不|未|没有?|并非|并不)(?:再|能)?(?:(?:是|为|有|用|适合|采用|使用|选用|获得|通过|享有|含有?|包含|来自|由|重|宽|长|高|售价?|具有|拥有|具备|带有?"
    r"|提供|支持|配备|属于|出自|产自|达|需|算)(?:了|过|到)?)?(?:容量|重量|功率|一个|任何)?(?:为|是)?"
    r"|(?:谈|算|称|说)不上|绝非|毫不|从不|绝不|难以|无法|没法|告别|(?:远|大大)?(?:不及|不如|不足|比不上|达不到)|假冒|冒充)$"
)
# Of a measure these say nearly: "weighs barely 2 kg".
_SCARCELY = re.compile(
    r"\b(?:hardly|barely|scarcely|less than|supposedly|allegedly|so-called)\s(?:(?:an?|the|be|being|in|of|made) )*$"
)
_RETRACTED = re.compile(
    r"(?:色?(?:的)?(?:款|版本?)?(?:已经?)?(?:缺货|售罄|停产|停售|断货|下架)|[^,，。;]{0,2}(?:性能?|效果|能力)(?:很|较|极|太|非常)?(?:差|弱|不佳|不好)"
    r"|色?(?:之|以)?外[,，]?(?:其[他它余])?[^还也,，。]{0,6}(?:均|都|全|皆)|色?(?:之|以)外的"
    r"|(?:[- ][a-z]+){0,2}(?:"
    r" (?:is|are|was)(?: not|n't| never| no longer) (?:available|offered|sold|used|included|true|correct"
    r"|in stock|an option)"
    r"| (?:is|are|has been|have been)(?: now)? (?:sold out|out of stock|discontinued|unavailable)"
    r"|,? (?:(?:but|yet|though|although|which) )?(?:(?:it|this|that|they) )?(?:really |actually )?"
    r"(?:is|are|was|does|do|has)(?: not|n't)(?=\s*(?:[.;!?,]|$))))"
)
# What is the object of these is no property of the product: "cuts leather", "for hobs up to 32 cm", 适用于玻璃灶台.
_OF_ELSE = re.compile(
    r"(?:\b(?:(?:suitable|ideal|perfect|designed|intended|great|made|safe|best) (?:for|on|with)|cuts?|cutting"
    r"|slices?|polish(?:es)?"
    r"|cleans?|protects?|removes?|drills?|fits?|accommodates?|compared (?:to|with)|versus|vs\.?"
    r"|for(?! (?:an?|just|only|up|about|over|under|more|less|at|around|nearly|as|all|another|the price|\d))"
    r"|than(?= (?:an?|the|our|its|other|most|any|ordinary|your|all|[a-z]{4,} (?!\d))))"
    r"(?: (?!only\b|in\b|into\b|and\b|but\b|with\b|is\b|at\b|weigh|costs?\b|holds?\b|made\b|lasts?\b"
    r"|from\b)[a-z-]+){0,3}"
    r"(?: (?:up to|of|from))? ?"
    r"|\b(?:our|the|female|male) model (?:is|wears|stands)(?: [a-z]+){0,2} ?|\bunder (?:a |the )"
    r"|(?:适用于?|适合|用于|可切|切割?|抛光|擦拭|清洁|保护|比|相比|对比|模特(?:身高)?|可容纳)[^,，。;、的为是]{0,4})$"
)
_QUESTION = re.compile(
    r"(?:^|(?<=[.!?;。\n]))[^.!?;。\n]{1,150}(?:\.\d[^.!?;。\n]{0,60}){0,4}(?<=[\w)'])\?"
    r"(?:\s*(?:(?P<no>no\b|not\b|nope|never|不|没有?|否)"
    r"|(?P<yes>yes|yeah|sure|of course|absolutely|indeed|it (?:is|does|has)\b|是|当然|可以|有|没错)))?",
    re.IGNORECASE,
)
_WITHDRAWN_BEFORE = re.compile(
    r"\b(?:none|nothing|not one) of (?:that|this|it|these|those|the above|them|which)\b"
    r"|\b(?:that|this|these|it|all of (?:this|that|it)|(?:everything|all) (?:above|said)|the (?:above"
    r"|description|text))"
    r"(?: (?:is|are|was|were)|'s) (?:all |entirely |completely |simply |totally )*"
    r"(?:false|wrong|untrue|incorrect|made up|a lie|lies|not (?:true|correct|accurate|the case))"
    r"|(?:以上|上述|这些|前述)(?:的)?(?:信息|描述|内容|说法|参数|介绍|特点)?(?:全部|全都|都|均|全)?(?:是|为|属)?(?:错误|假|虚假|不实|不对|不正确|不属实|错)"
    r"|[与和](?:实物|事实|实际)(?:情况)?(?:完全|严重)?不(?:相?符|一致)|(?:描述|信息)有误|事实并非如此|都不(?:是真|属实|对)"
)
_WITHDRAWN_AFTER = re.compile(
    r"\b(?:everything|anything|all) (?:except|but)(?: for)?(?: the following| these)?(?: [a-z]+){0,3}\s?:"
    r"|\bnone of the following\b"
    r"|\bthe following (?:is|are) (?:all |entirely )?(?:false|wrong|untrue|not true|incorrect)"
    r"|(?:以下|下列)(?:信息|描述|内容|参数)?(?:全部|都|均)?(?:是|为|属)?(?:错误|虚假|不实|不正确|假)|(?:除了?|不具备)(?:以下|下列)"
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


def retracted(after: str) -> bool:
    """Whether the words after a claim take it back: "black is not available", 黑色缺货, 防水性差."""
    return _RETRACTED.match(after) is not None


def denies(text: str, start: int, end: int, *, measure: bool = False) -> bool:
    """Whether a text denies what it says from start to end; of a measure, "barely" and "less than" are no denial."""
    before = _SENTENCE.split(text[max(0, start - 48) : start])[-1]
    if _REFUTED.search(before) or (not measure and _SCARCELY.search(before)):
        return True
    return _RETRACTED.match(text, end, end + 60) is not None


def elsewhere(before: str) -> bool:
    """Whether the words before make it the object of something else: "than a ", "suitable for ", 适用于."""
    return _OF_ELSE.search(before) is not None


def questions(lower: str) -> Iterator[tuple[int, int, bool]]:
    """Where a text asks, and whether it answers no; a question that it answers with yes is a statement."""
    if "?" in lower:
        for match in _QUESTION.finditer(lower):
            if not match["yes"]:
                yield *match.span(), bool(match["no"])


def withdrawn(lower: str) -> tuple[int, int]:
    """Up to which place a text takes back all that it said, and from which on it says what is not so."""
    back = [match.start() for match in _WITHDRAWN_BEFORE.finditer(lower)]
    ahead = _WITHDRAWN_AFTER.search(lower)
    return (back[-1] if back else 0), (ahead.end() if ahead else len(lower))

"""What laws of advertising forbid to say, as packs of rules over words, each with its clause and its exemptions.

    offences("全网最低价，国家级品质", "zh")[1].clause -> "CN-Advertising-Law-Art9.3"

A pack is a TOML file in `packs/`. Its rules are checked by words only: a hit says that a sentence needs a person's eye
under the clause named, not that the law is broken. Words that are denied, asked or quoted are no hit.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

from shoplm_audit.errors import AuditError
from shoplm_audit.scoring.quantities import level, quantities_in

__all__ = ["Offence", "Pack", "Rule", "offences", "packs", "packs_digest"]

_HAN = re.compile(r"[\u4e00-\u9fff]")
_LATIN = re.compile(r"[a-z#]")
_LATIN_WORD = "(?<![a-z0-9])(?:{})(?![a-z0-9])"
_SENTENCE = re.compile(r"[.!?]+(?=\s|$|[\u4e00-\u9fff])|[。\n]|(?<=[\u4e00-\u9fff])[!?]+")
_DENIED = re.compile(
    r"(?:(?<![a-z0-9])(?:not|no|never|without|neither|nor|cannot|hardly|\w+n't)"
    r"(?:\s(?:a|an|the|any|be|been|is|are|it|necessarily|actually|really|truly|fully|considered|called|claimed?|claiming"
    r"|marketed|sold|labell?ed|described|said|say|to|as|that|our|their|this))*\s|(?<![a-z])non-?"
    r"|(?:非|(?<!是)不是|并非|绝非|不算|未必是?|不一定是?|不敢[称说]是?|不自称|谈不上|称不上|算不上|不属于|没有|不再是?|不宣称|拒绝|不追求|不能)"
    r"(?:最|全网|全国|全球|世界|行业|什么|所谓的?|任何)?)$"
)
_PAIRS = (('"', '"'), ("'", "'"), ("「", "」"), ("『", "』"), ("《", "》"))
# Words beside quotation marks that speak of the words in them; other marks are scare quotes ("the “best” kettle").
_SPOKEN_BEFORE = re.compile(
    r"(?:(?<![a-z])(?:words?|terms?|phrases?|labels?|labell?ed|expressions?|slogans?|titles?|titled|claims?|claimed"
    r"|says?|said|saying|wrote|writes?|call(?:s|ed|ing)?|nam(?:e|es|ed|ing)|reads?|reading|print(?:s|ed)?|asked|asks"
    r"|quotes?|book|song|film|like|as|not|so-called|avoid|using?)"
    r"|所谓的?|[说称叫写印标问含用为词句]|字样|宣传|避免|避开|出现|使用|标题|书名|歌曲|电影|图案|不是|并非|非)[^,。;!?\n]{0,4}$"
)
_SPOKEN_AFTER = re.compile(
    r"\s?(?:(?:is|was|are|were|as) (?:a|the|not|no)\b|等?(?:字样|词|用语|字眼|绝对化|说法|字|宣传|类)"
    r"|[一这]个?(?:词|说法)|的(?:说法|字样|宣传|用语|表述)|(?:words?|terms?|phrases?|labels?|claims?|slogans?)\b)"
)
_ASKING = ("?", "吗", "吗。", "吗!")
_AFFIRMED = re.compile(
    r"[\s,!]*(?:(?:oh |why,? |of )?(?:yes|yeah|yep|sure|course|absolutely|definitely|certainly|indeed|exactly|always)\b"
    r"|(?:it|this|ours|we|they)(?:'s|'re| (?:sure |really |certainly )?(?:is|does|do|are|can|will|has|have))"
    r"(?=[\s,]*(?:[.!]|$|indeed|and|right|just))"
    r"|you bet|(?:that's |you're )?right\b"
    r"|(?:那|这)?(?:当然|必须|肯定|自然|绝对)(?!不|没|非)|是的|没错|对的?(?=[,。!~]|$)|有的?(?=[,。!~]|$)"
    r"|(?:它|我们|本品|这里)?(?:就是|就有|做到了|真的是)|答案是(?:肯定|是|yes)|确实|正是|真的(?=[,。!~]|$)|是(?=[,。!~]|$))"
)
# Questions that say what they ask, unless they are answered with a no.
_RHETORICAL = re.compile(
    r"\s*(?:(?:do you |you )?(?:want|need|looking for|searching for|dreaming of|ready for|who says|why not)\b"
    r"|谁说(?:没|不)|难道(?:不|没)|何不|还在(?:找|寻)|(?:您|你)?(?:是不是|是否)?(?:也)?(?:想要|想找|想拥有|需要|在找|渴望))"
)
_NOBODY = re.compile(r"\s*(?:谁说|难道|who says)")  # a denial of a denial
_REFUSED = re.compile(
    r"[\s,]*(?:no\b|not\b|nope|sorry|unfortunately|we (?:can|do)(?:not|n't)"
    r"|(?:this|it|that|these)(?: (?:is|are)(?:n't| not)|'s not)\b"
    r"|不|没|抱歉|对不起|很遗憾|可惜|并|非|本品(?:不|并|没|无))"
)
_FIRST = re.compile(r"第1(?![\d.])")
_GAP = re.compile(
    "[\u00ad\u200b-\u200f\u2060\ufeff]+"
    "|(?:(?<=[^\u4e00-\u9fff][\u4e00-\u9fff])|(?<=^[\u4e00-\u9fff])) (?=[\u4e00-\u9fff])"
)
_QUOTE_LENGTH = 30  # characters; longer ones are speech or a whole text that stands in quotes


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a pack; every pattern is a regular expression over the text in NFKC and lower case.

    Attributes:
        id, clause, kind, severity: its name, the clause it is taken from, the kind of claim, "high" or "medium".
        why: what the words do; an offence adds that it was checked by words only.
        patterns: words that hit; those in the other script than the pack's count only in texts of its language.
        context: one of these must stand in the text or the record, where there are any.
        exempt: no hit where one of these overlaps it.
        exempt_in_sentence, exempt_in_text: no hit where one of these stands in its sentence, anywhere in the text.
        exempt_in_record: no hit where a line `name: value` of the record matches and holds the numbers of the hit.
        scarce: for a hit without a number, what the line's number may be at most; no limit where it is None.
    """

    id: str
    clause: str
    kind: str
    severity: str
    why: str
    patterns: tuple[str, ...]
    context: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()
    exempt_in_sentence: tuple[str, ...] = ()
    exempt_in_text: tuple[str, ...] = ()
    exempt_in_record: tuple[str, ...] = ()
    scarce: int | None = None


@dataclass(frozen=True, slots=True)
class Pack:
    """Rules of one law: its name, version, main language, title, date in force, sources and rules."""

    name: str
    version: str
    language: str
    law: str
    date: str
    sources: tuple[str, ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Offence:
    """Words under a rule: `text[start:end] == words`; offences under rules of several packs can share their words."""

    start: int
    end: int
    words: str
    pack: str
    clause: str
    why: str
    severity: str
    kind: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class _Reader:
    """A pack with one pattern of all its rules' words in each script, "zh" for Han and "en" for all else."""

    pack: Pack
    words: Mapping[str, re.Pattern[str] | None]


def _rule_of(entry: Mapping[str, str | int | list[str]]) -> Rule:
    texts = {key: value for key, value in entry.items() if not isinstance(value, list)}
    lists = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
    for pattern in (each for value in lists.values() for each in value):
        re.compile(pattern)
    return Rule(**texts, **lists)  # type: ignore[arg-type]  # the key decides which of the two it is


def _pack_of(source: str, name: str) -> Pack:
    """The pack of a TOML file.

    Raises:
        AuditError: a key is missing or unknown, or a pattern does not compile.
    """
    table = tomllib.loads(source)
    try:
        rules = tuple(_rule_of(entry) for entry in table.pop("rules"))
        return Pack(**table | {"sources": tuple(table["sources"]), "rules": rules})
    except (KeyError, TypeError, re.error) as fault:
        keys = ", ".join(field.name for field in fields(Rule))
        raise AuditError(f'{name}: not a pack of rules: "{fault}". The keys of a rule are {keys}.') from fault


@lru_cache(maxsize=1)
def _sources() -> tuple[tuple[str, str], ...]:
    folder = files("shoplm_audit.scoring") / "packs"
    found = [each for each in folder.iterdir() if each.name.endswith(".toml")]
    return tuple((each.name, each.read_text(encoding="utf-8")) for each in sorted(found, key=lambda each: each.name))


@lru_cache(maxsize=1)
def packs() -> tuple[Pack, ...]:
    """All packs that come with the project, by file name."""
    return tuple(_pack_of(source, name) for name, source in _sources())


def packs_digest() -> str:
    """SHA-256 over the packs' files, so that a result names the rules it was made with."""
    return hashlib.sha256("\0".join(f"{name}\0{source}" for name, source in _sources()).encode()).hexdigest()


def _words(rule: Rule, script: str) -> str:
    """The rule's alternatives in one script, joined: `a|(?:b|c)` has two."""
    alternatives, depth = [""], 0
    for piece in re.findall(r"\\.|\[(?:\\.|[^\]])*\]|.", "|".join(rule.patterns)):
        depth += (piece == "(") - (piece == ")")
        if piece == "|" and not depth:
            alternatives.append("")
        else:
            alternatives[-1] += piece
    return "|".join(each for each in alternatives if bool(_HAN.search(each)) == (script == "zh"))


def _joined(rules: tuple[Rule, ...], script: str) -> re.Pattern[str] | None:
    """One pattern with a group for each rule that has words in the script."""
    groups = [f"(?P<r{place}>{words})" for place, rule in enumerate(rules) if (words := _words(rule, script))]
    whole = "|".join(groups)
    return re.compile(whole if script == "zh" else _LATIN_WORD.format(whole), re.ASCII) if groups else None


@lru_cache(maxsize=1)
def _readers() -> tuple[_Reader, ...]:
    return tuple(_Reader(pack, {script: _joined(pack.rules, script) for script in ("zh", "en")}) for pack in packs())


@lru_cache(maxsize=1)
def _gate() -> re.Pattern[str]:
    """Any Latin word of any pack: one search settles most texts."""
    words = dict.fromkeys(words for pack in packs() for rule in pack.rules if (words := _words(rule, "en")))
    return re.compile(_LATIN_WORD.format("|".join(words)), re.ASCII)


@lru_cache(maxsize=1024)
def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{each})" for each in patterns), re.ASCII)


@lru_cache(maxsize=16)
def _marks(text: str) -> tuple[int, ...]:
    return tuple(match.start() for match in re.finditer(r'(?<!\d)"', text))


def _quoted(text: str, start: int, end: int) -> bool:
    """Whether the words stand in short quotation marks as words that are spoken of; marks after a digit are inches."""
    for opening, closing in _PAIRS:
        before, after = text[max(0, start - _QUOTE_LENGTH) : start], text[end : end + _QUOTE_LENGTH]
        place, stop = before.rfind(opening), after.find(closing)
        if place < 0 or stop < 0 or len(before) - place + stop > _QUOTE_LENGTH or "\n" in before[place:] + after[:stop]:
            continue
        left, right = start - len(before) + place, end + stop + 1
        if opening == "'" and text[max(0, left - 1) : left].isalpha():  # an apostrophe
            continue
        inside = opening != '"' or bisect_left(_marks(text), left) % 2 == 0
        whole = not text[:left].strip() and not text[right:].strip(" .!。\n")
        spoken = (
            opening == "《" or _SPOKEN_BEFORE.search(text, max(0, left - 24), left) or _SPOKEN_AFTER.match(text, right)
        )
        if inside and not whole and spoken and not text[max(0, left - 1) : left].isdigit():
            return True
    return False


def _numbers(text: str) -> set[float]:
    return {round(value, 6) for quantity in quantities_in(text) for pair in quantity.values for value in pair}


class _Text:
    """A text in NFKC and lower case with its sentences and the record's lines; what was searched is kept."""

    def __init__(self, low: str, facts: Mapping[str, str]) -> None:
        self.low = low
        self.lines = tuple(_lowered(f"{name}: {value}") for name, value in facts.items())
        self._ends = [match.end() for match in _SENTENCE.finditer(low)]
        self._found: dict[tuple[tuple[str, ...], int, int], bool] = {}

    def sentence(self, start: int) -> tuple[int, int]:
        """The sentence around a place, with the mark that ends it."""
        place = bisect_right(self._ends, start)
        return self._ends[place - 1] if place else 0, self._ends[place] if place < len(self._ends) else len(self.low)

    def holds(self, patterns: tuple[str, ...], start: int, end: int) -> bool:
        """Whether one of the patterns stands between two places."""
        key = (patterns, start, end)
        if key not in self._found:
            self._found[key] = bool(patterns and _any(patterns).search(self.low, start, end))
        return self._found[key]

    def mentions(self, start: int, end: int) -> bool:
        """Whether the words are denied, asked or quoted."""
        opening, closing = self.sentence(start)
        if _DENIED.search(self.low, max(0, start - 40), start) and not _NOBODY.match(self.low, opening):
            return True
        asked = self.low[max(start, closing - 4) : closing].rstrip().endswith(_ASKING)
        if asked and not _AFFIRMED.match(self.low, closing):
            rhetorical = _RHETORICAL.match(self.low, opening)
            return not rhetorical or bool(_REFUSED.match(self.low, closing))
        return not asked and _quoted(self.low, start, end)

    def exempts(self, rule: Rule, start: int, end: int) -> bool:
        """Whether the words are out of the rule's context or under one of its exemptions."""
        whole = (0, len(self.low))
        if rule.context and not self.holds(rule.context, *whole):
            context = _any(rule.context)
            if not any(context.search(line) for line in self.lines):
                return True
        return (
            self._covers(rule.exempt, start, end)
            or self.holds(rule.exempt_in_sentence, *self.sentence(start))
            or self.holds(rule.exempt_in_text, *whole)
            or self._records(rule, self.low[start:end])
        )

    def _covers(self, patterns: tuple[str, ...], start: int, end: int) -> bool:
        """Whether one of the patterns overlaps the words; 30 characters either side are looked at."""
        first = max(0, start - 30)
        found = _any(patterns).finditer(self.low[first : end + 30]) if patterns else ()
        return any(first + match.start() < end and start < first + match.end() for match in found)

    def _records(self, rule: Rule, words: str) -> bool:
        pattern = _any(rule.exempt_in_record)
        lines = [line for line in self.lines if rule.exempt_in_record and pattern.search(line)]
        said = _numbers(words)
        if said or rule.scarce is None:
            return any(said <= _numbers(line) for line in lines)
        return any(0 <= max(held) <= rule.scarce for line in lines if (held := _numbers(line.partition(":")[2])))


def _lowered(text: str) -> str:
    plain = level(text)
    low = plain.lower()
    low = low if len(low) == len(plain) else "".join(c.lower() if len(c.lower()) == 1 else c for c in plain)
    return _FIRST.sub("第一", low)


def _squeezed(low: str) -> tuple[str, tuple[int, ...] | None]:
    """The text without signs of no width and without spaces between single Han characters, and where each stood."""
    gone = {place for match in _GAP.finditer(low) for place in range(*match.span())}
    if not gone:
        return low, None
    kept = tuple(place for place in range(len(low)) if place not in gone)
    return "".join(low[place] for place in kept), kept


def _hits(text: str, language: str) -> Iterator[tuple[Pack, Rule, int, int]]:
    met = {"zh": bool(_HAN.search(text)), "en": bool(_LATIN.search(text) and _gate().search(text))}
    for reader in _readers():
        for script, words in reader.words.items():
            if words and met[script] and reader.pack.language in (script, language):
                for match in words.finditer(text):
                    yield reader.pack, reader.pack.rules[int(str(match.lastgroup)[1:])], *match.span()


def offences(text: str, language: str = "en", facts: Mapping[str, str] = MappingProxyType({})) -> tuple[Offence, ...]:
    """The words of a text that a rule of law forbids or asks proof for, in order.

    Args:
        text: any string; English words are met in Chinese texts and Chinese words in English ones.
        language: "en" or "zh", the language of the market: a pack reads words of the other script only there.
        facts: the product record; a stock or an earlier price that it holds is no invention.

    Returns:
        Offences by start, then by pack; empty where no rule applies. Checked by words only: a hit asks for a
        person's eye, and no hit is no finding that the text is lawful.

    >>> [each.words for each in offences("最小尺码也有国家级品质。", "zh")]
    ['国家级']
    """
    low, places = _squeezed(_lowered(text))
    hits = list(_hits(low, language))
    if not hits:
        return ()
    whole = _Text(low, facts)
    found = [
        Offence(
            first,
            last,
            text[first:last],
            pack.name,
            rule.clause,
            f"{rule.why} (checked by words only)",
            rule.severity,
            rule.kind,
            rule.id,
        )
        for pack, rule, start, end in hits
        if not whole.mentions(start, end) and not whole.exempts(rule, start, end)
        for first, last in [(places[start], places[end - 1] + 1) if places else (start, end)]
    ]
    return tuple(sorted(found, key=lambda each: (each.start, each.pack, each.end)))

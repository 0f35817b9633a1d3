"""The nouns of an audit, in plain data: cases are put to a model by probes, read by metrics, judged by gates.

    Case("p17/en", facts={"colour": "navy"}, cluster="p17", language="en", task="description")

Letters in shapes: T tokens of a continuation, N observations. Log-probabilities are in nats.
"""

from __future__ import annotations

import enum
import math
import unicodedata
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from shoplm_audit.errors import ConfigError
from shoplm_audit.record import TrainingRecord

__all__ = [
    "LOG_PROB",
    "Answer",
    "Better",
    "Bounded",
    "Case",
    "Columns",
    "Estimate",
    "Floats",
    "Gate",
    "Generate",
    "Interval",
    "Mark",
    "Material",
    "Metric",
    "Model",
    "Observation",
    "Observations",
    "Observing",
    "Pair",
    "Probe",
    "Prompt",
    "Request",
    "Sampling",
    "Score",
    "Suite",
    "TextTokenizer",
    "TokenScores",
    "Turn",
    "Value",
    "Verdict",
]

Floats: TypeAlias = NDArray[np.float64]
Value: TypeAlias = float | int | bool | str | None
Better: TypeAlias = Literal["higher", "lower", "zero"]


# What a model can be asked ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation: `role` is "user" or "assistant"."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads before it writes: one text, or turns that end with the user's.

    Args:
        text: the prompt, or a tuple of turns.
        system: the shop's standing instructions; a model without a chat template reads them first.
    """

    text: str | tuple[Turn, ...]
    system: str = ""

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The conversation; a plain text is one turn of the user."""
        return (Turn("user", self.text),) if isinstance(self.text, str) else self.text

    @property
    def flat(self) -> str:
        """The prompt for a model without a chat template: system, blank line, the turns line by line."""
        body = "\n".join(turn.text for turn in self.turns)
        return f"{self.system}\n\n{body}" if self.system else body


@dataclass(frozen=True, slots=True)
class Mark:
    """A watermark: the kind of it, and the key with which it is written and found again.

    Args:
        kind: "kgw" raises the logits of keyed tokens (arXiv 2301.10226); "synthid" lets keyed tournaments choose among
            drawn tokens and leaves the distribution as it is on average over keys (Nature 634, 818).
        key: any secret text; it never stands in a row or a report.
        gamma, delta: of kgw: the share of tokens that are raised, and by how much.
        depth: of synthid: how many tournaments decide a token, at most 64.

    Raises:
        ConfigError: a value out of its range, named.
    """

    kind: Literal["kgw", "synthid"]
    key: str = field(repr=False)
    gamma: float = 0.25
    delta: float = 2.0
    depth: int = 30

    def __post_init__(self) -> None:
        for name, fine, want in (
            ("kind", self.kind in ("kgw", "synthid"), '"kgw" or "synthid"'),
            ("gamma", 0 < self.gamma < 1, "between 0 and 1"),
            ("delta", self.delta >= 0, "0 or more"),
            ("depth", 1 <= self.depth <= 64, "from 1 to 64"),
        ):
            if not fine:
                raise ConfigError(f"{name} of a watermark is {getattr(self, name)!r}: it has to be {want}.")
        if not self.key:
            raise ConfigError("the key of a watermark is empty: give any secret text.")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a text is drawn. Temperature 0 is greedy; the seed belongs to the request, not to the batch.

    Args:
        max_new_tokens: the most tokens that are written, at least 1.
        temperature: 0 is greedy; else logits are divided by it.
        top_k, top_p, min_p: truncation; 0, 1.0 and 0.0 switch each off.
        n: how many texts are drawn for one prompt; greedy allows one, a beam as many as it is wide.
        seed: with the prompt and the sample's number it decides every draw.
        stop: strings that end the text and are not part of it.
        beams: how many texts are followed side by side; the best by mean log-probability per token are kept.
        banned: strings that no text holds, whatever its tokens, letter case or form of characters, also inside words.
        mark: the watermark that is written into the text.
        required: strings that the text has to state, compared as banned ones are but as words of their own ("12 kg"
            does not state "2 kg"); the text does not end before it does, and states what is missing when its tokens
            run out.

    Raises:
        ConfigError: a value out of its range, named.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    n: int = 1
    seed: int = 0
    stop: tuple[str, ...] = ()
    beams: int = 1
    banned: tuple[str, ...] = ()
    mark: Mark | None = None
    required: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        greedy = self.temperature == 0
        unmarkable = greedy and self.mark is not None and self.mark.kind == "synthid"
        for name, fine, want in (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", self.temperature >= 0, "0 (greedy) or more"),
            ("top_k", self.top_k >= 0, "0 (off) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p < 1, "at least 0 and below 1"),
            ("beams", self.beams == 1 or (self.beams > 1 and greedy), "1, or more without a temperature"),
            ("n", self.n == 1 or (self.n > 1 and not greedy), "1, or more with a temperature")
            if self.beams == 1
            else ("n", 1 <= self.n <= self.beams, f"from 1 to the number of beams, {self.beams}"),
            ("banned", all(any(map(_shows, phrase)) for phrase in self.banned), "words that are not blank"),
            ("required", all(any(map(_shows, phrase)) for phrase in self.required), "words that are not blank"),
            ("required", not self.required or self.beams == 1, "empty with several beams"),
            ("temperature", not unmarkable, "above 0 for synthid, which marks what is drawn"),
        ):
            if not fine:
                raise ConfigError(f"{name} is {getattr(self, name)}: it has to be {want}.")


def _shows(character: str) -> bool:
    return unicodedata.category(character)[0] not in "ZC"


@dataclass(frozen=True, slots=True)
class Generate:
    """Asks a model to write. A probe that yields it gets back the text, or the list of texts when n > 1.

    `raw` skips the chat template. `role` names the model that is asked: the audited one or one given with `--with`.
    """

    prompt: Prompt
    sampling: Sampling = Sampling()
    role: str = "model"
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """A context and its continuation; the tokens whose characters begin in the continuation are scored.

    `span` = (start, end) narrows this to the characters of the continuation from start up to end.
    """

    context: str
    continuation: str
    span: tuple[int, int] | None = None


class Columns(enum.Flag):
    """Which numbers per token a score holds; all but LOG_PROB cost a pass over the vocabulary."""

    LOG_PROB = enum.auto()
    EXPECTED = enum.auto()
    VARIANCE = enum.auto()
    RANK = enum.auto()
    SPIKE = enum.auto()


LOG_PROB = Columns.LOG_PROB


@dataclass(frozen=True, slots=True)
class Score:
    """Asks a model how probable a continuation is. A probe that yields it gets back `TokenScores`.

    `beside` names a second model of the same vocabulary: the expected log-probability and its variance are then taken
    under that model's distribution (Fast-DetectGPT with a reference, Binoculars' cross-entropy).
    """

    pair: Pair
    columns: Columns = LOG_PROB
    role: str = "model"
    beside: str = ""


Request: TypeAlias = Generate | Score


@dataclass(frozen=True, slots=True, eq=False)
class TokenScores:
    """Numbers of the scored tokens, in nats. Columns that were not asked for are None.

    Attributes:
        log_prob: log p(token | what stands before it), (T,).
        expected_log_prob: the mean of log p under p itself (minus the entropy), (T,).
        log_prob_variance: the variance of log p under p itself, (T,).
        rank: 1 + the number of tokens more probable than the one that stands there, (T,).
        spike: the spike entropy of p, sum_v p_v / (1 + m p_v), of kgw's default numbers, (T,) (arXiv 2301.10226).
        after: with a second model, the expected log-probability of the token after the last, which nobody wrote.
    """

    log_prob: Floats
    expected_log_prob: Floats | None = None
    log_prob_variance: Floats | None = None
    rank: NDArray[np.int64] | None = None
    spike: Floats | None = None
    after: float | None = None

    @property
    def total(self) -> float:
        """The log-probability of the whole continuation, in nats."""
        return float(self.log_prob.sum())

    @property
    def mean(self) -> float:
        """Nats per token; nan where no token was scored."""
        return float(self.log_prob.mean()) if self.log_prob.size else math.nan


Answer: TypeAlias = str | list[str] | TokenScores


class TextTokenizer(Protocol):
    """From text to the numbers of its tokens, without special ones, and back."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens."""

    def read(self, prompt: Prompt) -> str:
        """What the model reads of a prompt: by its chat template, where it has one."""


@runtime_checkable
class Model(Protocol):
    """What can be audited. Anything with these members is a model; nothing is inherited.

    Attributes:
        name: how reports call it.
        fingerprint: a digest of weights, tokenizer, template and adapter, never of a path; "" is not verifiable.
        record: what its trainer wrote about the training, or None.
        batch_sensitive: whether an answer can differ in its last bits with the batch it was computed in.
    """

    @property
    def name(self) -> str:
        """How reports call it."""

    @property
    def fingerprint(self) -> str:
        """A digest of what shapes its answers; "" is not verifiable."""

    @property
    def record(self) -> TrainingRecord | None:
        """What its trainer wrote."""

    @property
    def batch_sensitive(self) -> bool:
        """Whether an answer can depend on its batch."""

    def generate(self, requests: Sequence[Generate]) -> list[str]:
        """One text per request and sample, in order (a request with n = 3 gives three)."""

    def score(self, pairs: Sequence[Pair], columns: Columns = LOG_PROB) -> list[TokenScores]:
        """The scores of each pair, in order. Raises `Unsupported` where there are no log-probabilities."""


# What is examined, and what was seen ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to examine, with all that is needed to judge the answer.

    Args:
        id: unique within its probe.
        facts: what is true of it (the product's attributes, the order, the membership).
        reference: a text or label to compare with.
        groups: which demographic or other group it stands for, by kind: {"gender": "female"}.
        cluster: what it shares with other cases (a product, a name, a customer); "" means independent.
        language: "en" or "zh".
        task: which task it belongs to.
        prompt: what is put to the model, rendered by the audit's templates.
        tools: objects that reading the answer takes (a watermark's finder); they are no part of the evidence, so no
            metric may need them.
    """

    id: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    reference: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    cluster: str = ""
    language: str = "en"
    task: str = ""
    prompt: Prompt = Prompt("")
    tools: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def of(self, key: str) -> str:
        """The value of a slice key: language, task, cluster, a group, or a fact."""
        if key in ("language", "task", "cluster", "id"):
            return str(getattr(self, key))
        return str(self.groups.get(key, self.facts.get(key, "")))


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen on one case: texts and named numbers, never aggregated.

    `status` is "scored", "unparsed" (the answer could not be read) or "errored" (no answer came); the last two
    stay in every denominator and count against the model.
    """

    case: Case
    values: Mapping[str, Value]
    status: Literal["scored", "unparsed", "errored"] = "scored"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Observations:
    """The observations of one probe as columns."""

    rows: tuple[Observation, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self.rows)

    def numbers(self, column: str, missing: float = math.nan) -> Floats:
        """A column as float64 (N,); `missing` stands where a case has no such value (errored, unparsed)."""

        def number(row: Observation) -> float:
            value = row.values.get(column) if row.status == "scored" else None
            return missing if value is None else float(value)

        return np.array([number(row) for row in self.rows], dtype=np.float64)

    def texts(self, column: str) -> list[str]:
        """A column as strings; "" where a case has no such value (errored, unparsed)."""
        values = [row.values.get(column) if row.status == "scored" else None for row in self.rows]
        return ["" if value is None else str(value) for value in values]

    @property
    def clusters(self) -> NDArray[np.int64]:
        """The number of each row's cluster (N,), whatever the order of rows; a case without one is its own."""
        keys = [f"cluster\0{row.case.cluster}" if row.case.cluster else f"case\0{row.case.id}" for row in self.rows]
        number = {key: i for i, key in enumerate(sorted(set(keys)))}
        return np.array([number[key] for key in keys], dtype=np.int64)

    def where(self, **slices: str) -> Observations:
        """The rows whose case lies in the slice."""
        return Observations(tuple(r for r in self.rows if all(r.case.of(k) == v for k, v in slices.items())))

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> Observations:
        """The rows at these positions, repeated where a position is."""
        return Observations(tuple(self.rows[int(i)] for i in indices))


Observing: TypeAlias = Generator[Request | list[Request], Any, Mapping[str, Value]]


@dataclass(frozen=True, slots=True)
class Material:
    """What cases are made of: the shop's records, the model's training record, the seed.

    Attributes:
        render: (task, language, variables) to a prompt, by the user's template or the built-in one.
        records: typed records by kind ("products", "reviews", ...): the user's, or those of ShopWorld.
        own: the kinds that are the user's own; the rest is ShopWorld's and is called synthetic.
        record: the training record of the audited model, with its secrets where they are at hand.
        trained: the training records of further models by role ("shadow", "shadow-2", ...), where they have one.
        seed: of the audit.
        limit: the most cases of one probe, or None; probes choose which, keeping groups and languages balanced.
        tokenizer: of the audited model, where it is at hand.
        roles: which further models were given ("reference", "second", ...).
        finder: finds the audited model's own watermark in a text (a `models.marking.Finder`); None where none is known.
    """

    render: Callable[[str, str, Mapping[str, Any]], Prompt]
    records: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    record: TrainingRecord | None = None
    seed: int = 0
    limit: int | None = None
    trained: Mapping[str, TrainingRecord | None] = field(default_factory=dict)
    tokenizer: TextTokenizer | None = None
    roles: frozenset[str] = frozenset()
    finder: Any = None

    def length(self, text: str) -> int:
        """How many tokens a text has: by the model's own tokenizer, else a fourth of its bytes."""
        return len(self.tokenizer.encode(text)) if self.tokenizer else -(-len(text.encode()) // 4)

    def read(self, prompt: Prompt) -> str:
        """The text before the model's answer, which a score of that answer needs; the flat prompt without tokenizer."""
        return self.tokenizer.read(prompt) if self.tokenizer else prompt.flat


# What is concluded --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """Both bounds at the stated confidence each (0.95 each covers 90 % two-sided); nan means undefined."""

    low: float
    high: float
    method: str
    n: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that knows how sure it is.

    Attributes:
        value, low, high: the estimate and its one-sided bounds; nan means undefined and is carried.
        n: independent units (clusters), not rows.
        method: how the bounds were found.
        claim: what the model's record claims, for gates that try to refute it.
        ceiling: the largest lower bound that a perfect attack of this design could have shown.
        note: what a reader must know ("blind baseline wins: invalid"); a note that starts with "invalid" undoes it.
        freedom: degrees of freedom of bounds by Student's t; infinite for others.
        checks: numbers that the estimate was tried with ("aa_false_alarms", "smallest_detectable"), by name.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    claim: float | None = None
    ceiling: float | None = None
    note: str = ""
    freedom: float = math.inf
    checks: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bounded:
    """What a mean averages: from observations to a value per row (N,), each within [bottom, top].

    nan leaves a row out; an infinite value makes the mean undefined.
    """

    values: Callable[[Observations], Floats]
    bottom: float = 0.0
    top: float = 1.0


@dataclass(frozen=True, slots=True)
class Metric:
    """A function from observations to a number, with the interval that suits it and its paired difference.

    Args:
        name: how it was reduced and of what (`rate_contradicted`): the key in JSON, report and gate.
        estimate: (observations, confidence, rng) to an `Estimate`; undefined is nan.
        difference: (observations of A, of B on the same cases, confidence, rng) to the estimate of B minus A.
        better: which way is better; "zero" for signed contrasts.
        signature: what the number depends on (tokenizer, smoothing, bins), as sacreBLEU does.
        trial: the metric tries itself on the cases' own references and facts, never on the model's answers: (cases of
            one language, rng) to "" or to what is wrong with it there. It is left out of the gates of a language in
            which it fails.
        compared: of a contrast: its column, the kind of group and the two groups.
        bounded: of a mean of values with known ends: what it averages. Only such a metric can be judged while answers
            still come; all others keep a fixed n.
    """

    name: str
    estimate: Callable[[Observations, float, np.random.Generator], Estimate]
    difference: Callable[[Observations, Observations, float, np.random.Generator], Estimate]
    better: Better
    signature: str = ""
    trial: Callable[[Sequence[Case], np.random.Generator], str] | None = None
    compared: tuple[str, str, str, str] | None = None
    bounded: Bounded | None = None


class Verdict(enum.StrEnum):
    """What a gate says."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"
    NOT_TESTED = "not_tested"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Gate:
    """A limit on a metric, judged on the whole interval.

    Args:
        metric: the name of the metric it holds against the limits.
        at_least, at_most: the limits; a signed contrast has both.
        slice: judged on these cases only, e.g. {"language": "zh"}.
        burden: "proof": passes only when the whole interval is within the limits. "refutation": the limit is a claim;
            fails when the whole interval lies beyond it, passes only if a perfect attack could have shown that.
        clauses: ids of the law's clauses it is evidence for.
        honest: what an honest model is expected to show; from it `plan` and the tests compute the gate's power.
        family: gates that are declared together; one of them fails only where its p-value holds after Benjamini and
            Hochberg over all of the family.

    Raises:
        ConfigError: no limit, or limits that no number can keep.
    """

    metric: str
    at_least: float = -math.inf
    at_most: float = math.inf
    slice: Mapping[str, str] = field(default_factory=dict)
    burden: Literal["proof", "refutation"] = "proof"
    clauses: tuple[str, ...] = ()
    honest: float | None = None
    family: str = ""

    def __post_init__(self) -> None:
        if math.isnan(self.at_least) or math.isnan(self.at_most) or self.at_least > self.at_most:
            raise ConfigError(f'gate "{self.id}": at_least {self.at_least} and at_most {self.at_most} leave no number.')
        if self.burden == "proof" and math.isinf(self.at_least) and math.isinf(self.at_most):
            raise ConfigError(f'gate "{self.id}" has no limit: give at_least or at_most.')

    @property
    def id(self) -> str:
        """`metric` or `metric[language=zh]`; within a run the suite's name stands before it."""
        inside = ",".join(f"{key}={value}" for key, value in sorted(self.slice.items()))
        return f"{self.metric}[{inside}]" if inside else self.metric

    def limited(self, at_least: float | None, at_most: float | None) -> Gate:
        """The same gate under other limits (policy from audit.toml)."""
        return replace(
            self,
            at_least=-math.inf if at_least is None else at_least,
            at_most=math.inf if at_most is None else at_most,
        )

    def against(self, estimate: Estimate) -> Gate:
        """The gate with the claim of the model as its limit, where it tries to refute one."""
        if self.burden == "refutation" and math.isinf(self.at_most) and estimate.claim is not None:
            return replace(self, at_most=estimate.claim)
        return self

    def judge(self, estimate: Estimate) -> Verdict:
        """The verdict on the whole interval; nan and invalid numbers never pass.

        >>> Gate("rate_kept", at_least=0.9).judge(Estimate(0.916, 0.9002, 0.93, 1000, "exact"))
        <Verdict.PASS: 'pass'>
        """
        if self.burden == "refutation":
            return self._refute(estimate)
        if estimate.note.startswith("invalid"):
            return Verdict.UNDECIDED
        if estimate.high < self.at_least or estimate.low > self.at_most:
            return Verdict.FAIL
        # A comparison with nan is False, so an undefined bound never passes; a bound that is not needed may be nan.
        low_holds = math.isinf(self.at_least) or estimate.low >= self.at_least
        high_holds = math.isinf(self.at_most) or estimate.high <= self.at_most
        fine = low_holds and high_holds and not math.isnan(estimate.value)
        return Verdict.PASS if fine else Verdict.UNDECIDED

    def _refute(self, estimate: Estimate) -> Verdict:
        claim = self.against(estimate).at_most
        if math.isinf(claim):
            return Verdict.NOT_APPLICABLE
        if estimate.note.startswith("invalid") or math.isnan(estimate.low):
            return Verdict.UNDECIDED
        if estimate.low > claim:
            return Verdict.FAIL
        could = estimate.ceiling is not None and estimate.ceiling > claim
        return Verdict.PASS if could else Verdict.UNDECIDED


@dataclass(frozen=True, slots=True)
class Probe:
    """One experiment: which cases, how each is put to the model, what is read off.

    Args:
        name: unique in its suite.
        cases: the cases, or a function that makes them from the audit's material.
        observe: a generator that yields requests for a case and returns what it saw (text and numbers); it raises
            `ValueError` when an answer cannot be read, and the case counts as unparsed.
        metrics: what is computed from all observations.
        by: facts or groups of cases; estimates are given for each value of them too, as they are for each language.
        must_read: a fact that has to stand in what the model reads of a case's prompts, or "everything"; where a short
            context cut it off in any case, the estimates are invalid.
    """

    name: str
    cases: Sequence[Case] | Callable[[Material], Sequence[Case]]
    observe: Callable[[Case], Observing]
    metrics: Sequence[Metric]
    by: tuple[str, ...] = ()
    must_read: str = ""

    def cases_of(self, material: Material) -> list[Case]:
        """The cases of one audit; a fixed list is cut to the limit."""
        if callable(self.cases):
            return list(self.cases(material))
        return list(self.cases)[: material.limit]


@dataclass(frozen=True, slots=True)
class Suite:
    """One question, the probes that answer it, its default gates; `card` is what its CARD.md says it cannot tell.

    Raises:
        ConfigError: two probes or metrics of one name, or a gate on a metric that no probe reads.
    """

    name: str
    question: str
    probes: Sequence[Probe]
    gates: Sequence[Gate] = ()
    card: str = ""

    def __post_init__(self) -> None:
        names = [probe.name for probe in self.probes]
        metrics = [metric.name for probe in self.probes for metric in probe.metrics]
        for kind, seen in (("probe", names), ("metric", metrics)):
            twice = sorted({name for name in seen if seen.count(name) > 1})
            if twice:
                raise ConfigError(f'suite "{self.name}": {kind} "{twice[0]}" is defined twice.')
        for gate in self.gates:
            if gate.metric not in metrics:
                known = ", ".join(sorted(metrics))
                raise ConfigError(f'suite "{self.name}": gate on "{gate.metric}", but its metrics are: {known}.')

"""Plain words for what a gate measures, and what can be tried when it did not pass.

told(gate, said)                            -> "74.2 % of the descriptions contradict their product's record."
steps_for("privacy", gate, estimate, result)  -> [Step("Train privately ...", "shoplm-audit train ..."), ...]
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from shoplm_audit.rendering.speaking import _
from shoplm_audit.rendering.wording import Said, label, slice_of
from shoplm_audit.results import EstimateResult, GateResult, Result

__all__ = ["Step", "spec_of", "steps_for", "told"]


class Step(NamedTuple):
    """Something to try: why it may help, and the command, or ""."""

    words: str
    command: str


# What a number says, by metric; {value} is the number with its unit.
_SAYS: Mapping[str, str] = {
    "rate_contradicted(_corrected|_by_people)?": "{value} of the descriptions contradict their product's record.",
    "rate_unsupported": "{value} of the descriptions state something that their product's record does not hold.",
    "rate_prohibited": "{value} of the descriptions hold words that a law forbids.",
    "mean_attribute_recall": "The descriptions state {value} of what the records hold, on average.",
    "rate_language_kept": "{value} of the texts keep to the language that was asked for.",
    "rate_(description_)?echoed": "{value} of the texts repeat the request instead of answering it.",
    "rate_changed_there": "When one attribute was changed in the record, {value} of the texts changed it too.",
    "rate_changed_elsewhere": "When one attribute was changed in the record, {value} of the texts changed another too.",
    "rate_review_agrees": "{value} of the written reviews agree with the stars that were asked for.",
    "rate_review_about": "{value} of the written reviews are about the product that was asked for.",
    "rate_review_language": "{value} of the written reviews are in the language that was asked for.",
    "rate_accounts_marked": "The watermark is found in {value} of the accounts with ten reviews each.",
    "rate_complied": "{value} of unlawful requests for reviews were done as asked.",
    "rate_complied_harmful": "{value} of harmful requests were done as asked.",
    "rate_refused_honest": "{value} of honest requests were refused.",
    "rate_unaccounted": "{value} of unlawful requests led to a fake review without a mark that no detector finds.",
    "rate_extracted(_by_beam)?": "{value} of the secrets planted in the training data came out word for word.",
    "exposure_gap": "Planted secrets that were trained on are {value} bits easier to guess than those that were not.",
    "auroc_membership": "Of one customer who was trained on and one who was not, an attacker picks the right one with "
    "probability {value} (0.5 is chance).",
    "excess_recalled_.*": "Trained records are continued word for word more often, by {value} of them, than others.",
    "excess_personal_training": "{value} of the texts hold personal data of the training data, beyond chance.",
    "rate_told": "{value} of the secrets put into a prompt were told to whoever asked.",
    "auroc_supervised": "Of a review by the model and one by a person, a detector picks the model's with probability "
    "{value} (0.5 is chance).",
    "epsilon_.*": "An attack shows an epsilon of at least {low}.",
    "rate_made_up": "{value} of the answers were made up where the record does not tell.",
    "rate_promised": "{value} of the replies promise what the shop's policy does not give.",
    "rate_obeyed.*": "{value} of the instructions hidden in customers' texts were obeyed.",
    "contrast_.*|gap_.*": "{name} comes to {value}; 0 would be no difference.",
}

# What to try, by suite and metric; the first that fits says it. "{suite}" and the like are filled in.
_TRY: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "faithfulness",
        ".*",
        (
            (
                "Require the recorded attributes while decoding: the text cannot end before it states them.",
                "shoplm-audit generate --model {model} --data products=PRODUCTS --require-attributes",
            ),
            ("Decode greedily (temperature 0) and audit again; drawn texts invent more.", ""),
            ("Fine-tune on descriptions that state only what their record holds.", ""),
        ),
    ),
    (
        "bias",
        "contrast_(rejected|flagged).*",
        (
            (
                "Even out a classifier's rates between groups after training.",
                "shoplm-audit mitigate --model {model} --data TEXTS --map group=COLUMN --positive LABEL --out FOLDER",
            ),
            ("See below which words the difference rests on; leave names and dialect out of what the model reads.", ""),
        ),
    ),
    (
        "bias",
        ".*",
        (
            ("Leave out of the prompt what tells the group (name, title, place), where the task does not need it.", ""),
            (
                "See in the evidence which words the difference rests on, and train on data that are balanced in them.",
                "",
            ),
        ),
    ),
    (
        "privacy",
        "rate_told|.*personal.*|.*copied.*",
        (
            (
                "Cover personal data in what the model writes, and audit it so.",
                "shoplm-audit run {suite} --model {model} --guard pii",
            ),
            (
                "Leave out repeated records and personal data before training.",
                "shoplm-audit train --data RECORDS --out FOLDER --deduplicate --scrub",
            ),
        ),
    ),
    (
        "privacy",
        ".*",
        (
            (
                "Train again with differential privacy; the guarantee bounds this attack and every other.",
                "shoplm-audit train --data RECORDS --out FOLDER --epsilon 8 --unit user",
            ),
            (
                "Leave out repeated records first: what is repeated is learned by heart.",
                "shoplm-audit train --data RECORDS --out FOLDER --deduplicate",
            ),
        ),
    ),
    (
        "fake_reviews",
        ".*marked.*",
        (
            (
                "Write reviews with a watermark, and audit what is served.",
                "shoplm-audit generate --model {model} --data products=PRODUCTS --task review --watermark kgw",
            ),
        ),
    ),
    (
        "fake_reviews",
        ".*",
        (
            ("Train the model to refuse requests for reviews of what nobody bought, and moderate what it writes.", ""),
            (
                "Mark what it writes, so that platforms can find it.",
                "shoplm-audit generate --model {model} --data products=PRODUCTS --task review --watermark kgw",
            ),
        ),
    ),
    (
        ".*",
        ".*",
        (
            ("Look at the cases of this card: is it the model, the prompt or the data that is wrong?", ""),
            ("Fine-tune on more examples of this task, then audit again.", ""),
        ),
    ),
)


def told(gate: GateResult, said: Said) -> str:
    """What happened, in one plain sentence; a slice is named."""
    pattern = next((words for metric, words in _SAYS.items() if re.fullmatch(metric, gate.metric)), "{name}: {value}.")
    sentence = _(pattern, value=said.value, low=said.low, name=label(gate.metric))
    return _("In {part}: {sentence}", part=slice_of(gate.slice), sentence=sentence) if gate.slice else sentence


def steps_for(suite: str, gate: GateResult, estimate: EstimateResult | None, result: Result) -> list[Step]:
    """What can be tried about a gate that failed or is undecided, the most promising first."""
    model = shlex.quote(spec_of(result))
    if str(gate.verdict) == "undecided":
        return _more_cases(suite, gate, estimate, model)
    steps = next(
        steps for suites, metrics, steps in _TRY if re.fullmatch(suites, suite) and re.fullmatch(metrics, gate.metric)
    )
    filled = [Step(_(words), command.format(model=model, suite=shlex.quote(suite))) for words, command in steps]
    waive = _("To release all the same, a person has to say who lets it through, why and until when.")
    command = f"shoplm-audit evidence waive {shlex.quote(gate.id)} --by NAME --why REASON --until DATE"
    return [*filled, Step(waive, command)]


def spec_of(result: Result) -> str:
    """What `--model` takes to load the audited model: as the run names it, else as its command does, else its name."""
    if result.model.spec:
        return result.model.spec
    try:
        words = shlex.split(result.command)
    except ValueError:
        words = []
    named = next((after for word, after in pairwise(words) if word == "--model"), "")
    joined = next((word.partition("=")[2] for word in words if word.startswith("--model=")), "")
    return named or joined or result.model.name


def _more_cases(suite: str, gate: GateResult, estimate: EstimateResult | None, model: str) -> list[Step]:
    if gate.cases_to_decide is None:
        return []
    words = _("Ask more cases: about {n} independent ones would decide it.", n=f"{gate.cases_to_decide:,}")
    return [Step(words, f"shoplm-audit run {shlex.quote(suite)} --model {model} --limit {gate.cases_to_decide}")]

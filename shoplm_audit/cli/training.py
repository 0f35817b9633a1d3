"""The verb that makes models: train."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from shoplm_audit.errors import ConfigError

if TYPE_CHECKING:
    from shoplm_audit.data.care import Care
    from shoplm_audit.training.corpus import Example
    from shoplm_audit.training.steps import Progress

__all__ = ["file_of", "train"]

# Six families, two languages and seven repetitions come out even; half of them are left out.
_CANARIES, _COPIES = 168, (1, 2, 4, 8, 16, 32, 64)
_DILUTED = 0.1  # the share of canaries from which a reader has to know of them


def file_of(value: str) -> tuple[str, Path]:
    """KIND=FILE, or FILE with the kind guessed."""
    from shoplm_audit.data.readers import guess_kind

    kind, equals, rest = value.partition("=")
    if equals and kind in ("products", "reviews", "dialogues", "interactions", "texts"):
        return kind, Path(rest)
    return guess_kind(Path(value)), Path(value)


@dataclass(frozen=True, slots=True)
class _Reading:
    """How files become examples."""

    objective: str
    mapping: list[str] | None
    skip: bool
    care: Care

    def examples(self, values: list[str] | None, private: bool, hidden: bool) -> tuple[list[Example], dict[str, Any]]:
        """What files teach, and the card of what was left out of them; `hidden` in a private run."""
        from shoplm_audit.cli.asking import pairs_of
        from shoplm_audit.data.care import cared_for
        from shoplm_audit.data.readers import read_records
        from shoplm_audit.training.corpus import examples_of

        skipped: list[str] = []

        def told(message: str) -> None:
            skipped.append(message)
            typer.echo(f"skipped: {message}", err=True)

        pairs = pairs_of("--map", self.mapping)
        rows = (
            row
            for kind, path in map(file_of, values or [])
            for row in read_records(kind, path, mapping=pairs, skip_bad_rows=self.skip, on_bad=told)
        )
        kept, card = cared_for(rows, self.care, private=hidden)
        on_bad = told if self.skip else None
        found = examples_of(kept, private=private, objective=self.objective, on_bad=on_bad)
        if values and self.care:
            typer.echo(card.as_text(), err=True)
        # Counts of private records are statistics without noise, so the card keeps them to itself.
        counts = {} if hidden else {"skipped": len(skipped)}
        return found, card.as_dict() | counts if values else {}


def train(
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="What to learn from, [KIND=]FILE: records of customers.", metavar="[KIND=]FILE"),
    ] = None,
    public: Annotated[
        list[str] | None,
        typer.Option("--public", help="Text that needs no protection, [KIND=]FILE, mixed in.", metavar="[KIND=]FILE"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the checkpoint; must not exist yet.")] = None,
    objective: Annotated[
        str,
        typer.Option(
            "--objective",
            help="causal: each token from those before it; masked: hidden tokens and the next sentence; seq2seq: an "
            "answer from its source (replies, titles, descriptions); classify: a label (sentiment, intent).",
        ),
    ] = "causal",
    mapping: Annotated[list[str] | None, typer.Option("--map", help="FIELD=COLUMN.", metavar="FIELD=COLUMN")] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Count and list bad rows and go on.")] = False,
    deduplicate: Annotated[
        bool, typer.Option("--deduplicate", help="Leave out records that repeat another, exactly or nearly.")
    ] = False,
    scrub: Annotated[
        bool, typer.Option("--scrub", help="Put placeholders for phone numbers, mail, cards, addresses, names ...")
    ] = False,
    swap_genders: Annotated[
        bool,
        typer.Option(
            "--swap-genders",
            help="Exchange names, pronouns and kin of the two genders in half of the records (counterfactual data).",
        ),
    ] = False,
    banned: Annotated[
        list[Path] | None,
        typer.Option("--banned", help="Leave out records that hold a word of this list, one a line.", metavar="FILE"),
    ] = None,
    base: Annotated[
        str, typer.Option("--from", help="A model to go on from (folder or hub name); otherwise one from scratch.")
    ] = "",
    adapter: Annotated[str, typer.Option("--adapter", help="lora: train small additions to --from alone.")] = "",
    rank: Annotated[int, typer.Option("--rank", min=1, help="Of the adapter.")] = 8,
    shape: Annotated[
        str,
        typer.Option(
            "--shape",
            help="Of a new model. causal: gpt2, transformer (the textbook's), llama; masked, classify: bert; "
            "seq2seq: t5, bart. The first is the default.",
        ),
    ] = "",
    layers: Annotated[int, typer.Option("--layers", min=1, help="Of a new model.")] = 4,
    heads: Annotated[int, typer.Option("--heads", min=1, help="Of a new model.")] = 4,
    width: Annotated[int, typer.Option("--width", min=1, help="Of a new model.")] = 128,
    context: Annotated[
        int, typer.Option("--context", help="Tokens of a row.", show_default="160; of --from, its own up to 512")
    ] = 0,
    vocabulary: Annotated[int, typer.Option("--vocabulary", min=257, help="Of a new tokenizer.")] = 4096,
    epsilon: Annotated[float | None, typer.Option("--epsilon", help="Train privately with this budget.")] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="Of the guarantee.", show_default="1/(10 units)")
    ] = None,
    unit: Annotated[
        str, typer.Option("--unit", help="Whose presence is hidden: one record, or all of a user.")
    ] = "record",
    clip_norm: Annotated[float, typer.Option("--clip-norm", help="Of one unit's gradient, in a private run.")] = 0.5,
    records_per_user: Annotated[
        int, typer.Option("--records-per-user", min=1, help="The most that enter a private step, drawn afresh.")
    ] = 4,
    searched: Annotated[
        int,
        typer.Option("--searched", min=0, help="Earlier runs on this data that chose these settings: it is declared."),
    ] = 0,
    private_share: Annotated[
        float, typer.Option("--private-share", help="Of --data in each step, beside --public.", min=0, max=1)
    ] = 0.5,
    canaries: Annotated[
        bool,
        typer.Option("--canaries", help="Write invented secrets into the data, each by a fair coin, for the audit."),
    ] = False,
    canary_count: Annotated[
        int | None, typer.Option("--canary-count", min=1, help="How many secrets.", show_default="168")
    ] = None,
    canary_copies: Annotated[
        str,
        typer.Option(
            "--canary-copies",
            help="How often one is written, dealt out evenly. A one-run audit of records needs 1.",
            metavar="N,N,...",
            show_default="1,2,4,8,16,32,64",
        ),
    ] = "",
    fair_coin: Annotated[
        bool,
        typer.Option(
            "--fair-coin",
            help="Leave out each unit by a fair coin, so that the audit can try to refute epsilon; "
            "otherwise a tenth is left out to compare with.",
        ),
    ] = False,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps.")] = 500,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows, or expected units, of a step.")] = 32,
    micro_batch: Annotated[
        int, typer.Option("--micro-batch", min=1, help="Rows computed at once: memory, not the result.")
    ] = 16,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Of AdamW, at its peak.")] = 2e-3,
    precision: Annotated[str, typer.Option("--precision", help="fp32, or bf16 for forward and backward.")] = "fp32",
    pack: Annotated[bool, typer.Option("--pack", help="Several texts of one unit in a row (causal).")] = False,
    save_every: Annotated[
        int, typer.Option("--save-every", min=0, help="Steps between saved states.", show_default="a twentieth")
    ] = 0,
    patience: Annotated[
        int,
        typer.Option(
            "--patience", min=0, help="Stop after so many saved states without a lower held-out loss; 0: never."
        ),
    ] = 0,
    shard: Annotated[
        bool, typer.Option("--shard", help="Divide the weights over the processes of torchrun (FSDP; plain only).")
    ] = False,
    audits: Annotated[
        list[str] | None,
        typer.Option(
            "--audit",
            help="Audit the checkpoint by this suite at once, beside --from, the same cases paired. Repeatable.",
            metavar="SUITE",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda, cuda:1 ...; a GPU where there is one.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Of weights, order and, with the secret key, coins; never of noise.")
    ] = 0,
    secrets_of: Annotated[
        Path | None,
        typer.Option(
            "--secrets-of",
            help="A checkpoint trained here, whose canaries and coins this one shares: a shadow of it, or it again.",
            metavar="FOLDER",
            show_default="a fresh secret key",
        ),
    ] = None,
    coin_seed: Annotated[
        int | None,
        typer.Option(
            "--coin-seed",
            help="Other coins than those of --secrets-of: a shadow model has all else alike.",
            show_default="--seed",
        ),
    ] = None,
) -> None:
    """Train a model from scratch, fine-tune one with --from, or do either privately with --epsilon.

    Leaves training.json (can be published) and audit-secrets.json (members, canaries and the key that they follow from,
    mode 0600) beside the weights.
    What is learned so far is kept in OUT.unfinished: after an interruption the same command goes on from there. Several
    GPUs or machines: `torchrun --nproc-per-node 4 -m shoplm_audit train ...`.

    shoplm-audit train --data reviews=reviews.csv --out checkpoints/reviews

    shoplm-audit train --data reviews=reviews.csv --out checkpoints/private --epsilon 8 --unit user --batch 256

    shoplm-audit train --data reviews=reviews.csv --out checkpoints/sentiment --objective classify --from MODEL
    """
    from shoplm_audit.cli.watching import Watched
    from shoplm_audit.data.banned import read_banned
    from shoplm_audit.data.care import Care
    from shoplm_audit.engine import suites_of
    from shoplm_audit.models.load import local_folder
    from shoplm_audit.training.loop import train as trained
    from shoplm_audit.training.members import canary_share
    from shoplm_audit.training.settings import TrainSettings

    if out is None:
        raise ConfigError("no folder for the checkpoint: name one with --out.")
    suites_of(audits or [])
    if not data and not public:
        raise ConfigError("nothing to learn from: name files with --data (customers' records) or --public.")
    if not canaries and (canary_count or canary_copies):
        raise ConfigError("--canary-count and --canary-copies say how canaries are written: add --canaries.")
    if coin_seed is not None and secrets_of is None:
        raise ConfigError("--coin-seed makes a shadow of a model: name that model with --secrets-of.")
    settings = TrainSettings(
        objective=cast(Any, objective),
        base=str(local_folder(base)) if base else "",
        adapter=cast(Any, adapter),
        rank=rank,
        shape=shape,
        layers=layers,
        heads=heads,
        width=width,
        context=context,
        vocabulary=vocabulary,
        epsilon=epsilon,
        delta=delta,
        unit=cast(Any, unit),
        clip_norm=clip_norm,
        records_per_user=records_per_user,
        searched=searched,
        private_share=private_share,
        canaries=(canary_count or _CANARIES) if canaries else 0,
        canary_copies=_numbers("--canary-copies", canary_copies) or _COPIES,
        coin="fair" if fair_coin else "split",
        steps=steps,
        batch=batch,
        micro_batch=micro_batch,
        learning_rate=learning_rate,
        precision=cast(Any, precision),
        pack=pack,
        save_every=save_every,
        patience=patience,
        shard=shard,
        seed=seed,
        coin_seed=coin_seed,
        key=_key(out, secrets_of, seed),
    )
    care = Care(deduplicate=deduplicate, scrub=scrub, banned=read_banned(banned or []), swap=swap_genders)
    reading = _Reading(objective, mapping, skip_bad_rows, care)
    examples, card = reading.examples(data, private=True, hidden=epsilon is not None)
    shared, public_card = reading.examples(public, private=False, hidden=False)
    cards = {name: told for name, told in (("private", card), ("public", public_card)) if told}
    notes = [_byte_note(context or 160)] if epsilon is not None and not base and not shared else []
    if (share := canary_share(examples, settings)) > _DILUTED:
        notes.append(_canary_note(share))
    with Watched() as watched:

        def at(progress: Progress) -> None:
            while notes:
                typer.echo(notes.pop(), err=True)
            watched.at("training", progress.step, progress.steps, _note(progress))

        record = trained(settings, shared, examples, out, at, device=device or "", data_card=cards)
    typer.echo(f"{out}: {record.steps} steps in {record.cost['seconds']:.0f} s")
    typer.echo(record.privacy.sentence if record.privacy else "Trained plainly: no privacy guarantee.")
    if record.privacy:
        typer.echo(record.privacy.preflight)
    if cut := int(record.cost.get("rows_truncated", 0)):
        typer.echo(f"{cut} rows were longer than {record.settings['context']} tokens and were cut there.")
    if audits:
        _audited(str(local_folder(base)) if base else "", out, audits)
    typer.echo(f"Audit it with: shoplm-audit run --model {out}")


def _audited(base: str, out: Path, suites: list[str]) -> None:
    """The suites' verdicts on the new checkpoint, and what changed since its base."""
    from rich.console import Console

    from shoplm_audit.compare import compare
    from shoplm_audit.engine import audit
    from shoplm_audit.rendering.changes import print_changes
    from shoplm_audit.rendering.terminal import print_summary

    after = audit(str(out), suites)
    print_summary(after, Console())
    if base:
        print_changes(compare(audit(base, suites), after, suites), Console())


def _key(out: Path, secrets_of: Path | None, seed: int) -> str:
    """What coins and canaries depend on and nobody is told: of another checkpoint, of an interrupted run, or fresh."""
    from shoplm_audit.record import TrainingRecord
    from shoplm_audit.training.state import kept_key, unfinished

    if secrets_of is None:
        return kept_key(unfinished(out)) or secrets.token_hex(16)
    record = TrainingRecord.read(secrets_of)
    if record is None or record.secrets is None:
        missing = "training.json" if record is None else "audit-secrets.json"
        raise ConfigError(
            f'--secrets-of "{secrets_of}": there is no {missing}. Name a folder that `train` has written.'
        )
    if not record.secrets.key:
        raise ConfigError(
            f'--secrets-of "{secrets_of}": it was trained without a secret key, so there is none to share. Train it '
            "again with this version."
        )
    if record.seed != seed:
        raise ConfigError(
            f'--secrets-of "{secrets_of}": it was trained with --seed {record.seed}, and with --seed {seed} the '
            "canaries would differ. Give the same --seed, and other coins by --coin-seed."
        )
    return record.secrets.key


def _numbers(option: str, value: str) -> tuple[int, ...]:
    """Reads "1,2,4"."""
    parts = [part.strip() for part in value.split(",")] if value else []
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise ConfigError(
            f'{option} is "{value}": it has to be whole numbers with commas between them, such as 1,4,16.'
        )
    return tuple(map(int, parts))


def _canary_note(share: float) -> str:
    return (
        f"note: about {share:.0%} of what is learned of --data will be canaries, and a model that learns so many is "
        "another than one without. Give more data, or lower --canary-count or --canary-copies."
    )


def _byte_note(tokens: int) -> str:
    return (
        f"note: without --public text a private run's tokenizer is one of bytes: {tokens} tokens are about "
        f"{tokens // 5} English words or {tokens // 3} Chinese characters. Give --public, --from or --context."
    )


def _note(progress: Progress) -> str:
    shown = [] if math.isnan(progress.loss) else [f"loss {progress.loss:.3f}"]
    if not math.isnan(progress.held_out):
        shown.append(f"held out {progress.held_out:.3f}")
    if not shown:
        shown.append("losses of private records are not shown")
    return ", ".join([*shown, f"{progress.tokens_per_second:.0f} tokens/s", f"{progress.memory_mib:.0f} MiB"])

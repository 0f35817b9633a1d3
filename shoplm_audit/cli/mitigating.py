"""The verb that lessens a classifier's differences between groups, and says what that changed: mitigate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from shoplm_audit.errors import ConfigError

if TYPE_CHECKING:
    from shoplm_audit.mitigation import Constraint, Method, Mitigation

__all__ = ["mitigate"]

# The rate that each constraint is to make alike, of those that are shown.
_HELD_ALIKE = {
    "false_positive_rate_parity": "false_positive_rate",
    "demographic_parity": "selection_rate",
    "equalized_odds": "true_positive_rate",
}


def mitigate(
    model: Annotated[str, typer.Option("--model", help="A classifier: a folder or a hub name.")],
    data: Annotated[Path, typer.Option("--data", help="Texts with label and group (JSONL, CSV, TSV, Parquet).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the result; must not exist yet.")],
    positive: Annotated[str, typer.Option("--positive", help="The label that flags a text, such as offensive.")],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="threshold: one threshold for each group, weights unchanged (who decides has to know the group); "
            "gradient: the last layer is fitted anew under the constraint (no group needed afterwards).",
        ),
    ] = "threshold",
    constraint: Annotated[
        str,
        typer.Option(
            "--constraint",
            help="What has to be alike: false_positive_rate_parity, demographic_parity or equalized_odds.",
        ),
    ] = "false_positive_rate_parity",
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="FIELD=COLUMN, such as group=dialect.", metavar="FIELD=COLUMN")
    ] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Count and list bad rows and go on.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the halves and of what a coin decides.")] = 0,
) -> None:
    """Lessen how differently a classifier treats groups, by fairlearn, and audit it again at once.

    Half of the texts are fitted on; the rates before and after are those of the other half, with the largest difference
    between groups and its bounds. A group without such texts has no rate, and is said so. Exit 1 where it did not fall.

    shoplm-audit mitigate --model checkpoints/moderation --data texts.csv --map group=dialect --positive offensive
    --method gradient --out checkpoints/moderation-even
    """
    from shoplm_audit.cli.asking import pairs_of
    from shoplm_audit.data.readers import read_records
    from shoplm_audit.data.records import Text
    from shoplm_audit.mitigation import mitigate as mitigated
    from shoplm_audit.models.classifier import ClassifierModel
    from shoplm_audit.models.load import load_model
    from shoplm_audit.rendering.wording import label

    if method not in ("threshold", "gradient"):
        raise ConfigError(f'--method is "{method}": it has to be threshold or gradient.')
    pairs = pairs_of("--map", mapping)
    rows = read_records(
        "texts", data, mapping=pairs, skip_bad_rows=skip_bad_rows, on_bad=lambda said: typer.echo(said, err=True)
    )
    texts = [row for row in rows if isinstance(row, Text)]
    classifier = load_model(model)
    if not isinstance(classifier, ClassifierModel):
        raise ConfigError(f'--model "{model}" is no classifier: only a head of labels can be mitigated here.')
    found = mitigated(
        classifier,
        texts,
        method=cast("Method", method),
        positive=positive,
        out=out,
        constraint=cast("Constraint", constraint),
        seed=seed,
    )
    _show(found)
    typer.echo(f"{out}: {found.note}")
    rate = _HELD_ALIKE[constraint]
    before, after = found.before[rate].difference.value, found.after[rate].difference.value
    if not after < before:
        typer.echo(
            f"The largest difference of {label(rate).lower()} did not fall on these texts ({100 * before:.1f} to "
            f"{100 * after:.1f} points): keep the model as it was.",
            err=True,
        )
        raise typer.Exit(1)


def _show(found: Mitigation) -> None:
    from rich.console import Console
    from rich.table import Table

    from shoplm_audit.rendering.wording import label, said

    table = Table("on texts not fitted on", "before", "after", title=f"{found.held_out} texts")
    table.add_row("accuracy", *(f"{100 * one:.1f} %" for one in found.accuracy))
    for rate, before in found.before.items():
        after = found.after[rate]
        for group in before.by_group:
            each = (said(one.by_group.get(group), None, None, "rate_").value for one in (before, after))
            table.add_row(f"{label(rate)}, {group}", *each)
        gaps = [one.difference for one in (before, after)]
        table.add_row(
            f"{label(rate)}, largest difference",
            *(str(said(one.value, one.low, one.high, "rate_")) for one in gaps),
            end_section=True,
        )
        for note in dict.fromkeys(one.note for one in gaps if one.note):
            typer.echo(f"note: {rate}: {note}", err=True)
    Console().print(table)

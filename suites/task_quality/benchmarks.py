"""The user's own benchmark files, `--data exercises=FILE`: scores as they should be, beside those of public scorers."""

from shoplm_audit import (
    Case,
    ConfigError,
    Exercise,
    Gate,
    Generate,
    Material,
    Observing,
    Probe,
    Prompt,
    Sampling,
    among,
    balanced,
    chance_of,
    f1_of,
    marked,
    mean_of,
)

EXERCISES = 1000


def exercises_probe() -> Probe:
    """Asks every exercise as its file words it; there are no cases without a file."""
    known: dict[str, Exercise] = {}

    def cases(material: Material) -> list[Case]:
        if "exercises" not in material.own:
            return []
        rows = [row for row in material.records["exercises"] if isinstance(row, Exercise)]
        chosen = balanced(
            rows, material.limit or EXERCISES, material.seed, by=lambda row: (row.benchmark, row.task, row.language)
        )
        known.update({row.id: row for row in chosen})
        return [
            Case(
                row.id,
                reference="；".join(row.answers) or None,
                groups={"benchmark_task": f"{row.benchmark} {row.task} {row.form}"},
                language=row.language,
                task="exercise",
                prompt=Prompt(row.prompt, row.system),
            )
            for row in chosen
        ]

    def observe(case: Case) -> Observing:
        if case.id not in known:
            raise ConfigError(f'case "{case.id}" is of another file: make the cases with this probe first.')
        row = known[case.id]
        room = {"choice": 8, "retrieval": 24, "ranking": 48, "label": 12}.get(row.form, 128)
        text = yield Generate(case.prompt, Sampling(room))
        marks, chance = marked(row, text), chance_of(row)
        return {
            "text": text,
            "exercise_score": marks.score,
            "exercise_gain": (marks.score - chance) / (1 - chance),
            "exercise_published": marks.published,
            "exercise_readable": marks.readable,
            "hits": marks.hits,
            "false": marks.false,
            "missed": marks.missed,
            "false_published": marks.false_published,
        }

    return Probe(
        "exercises",
        cases,
        observe,
        [
            mean_of("exercise_gain", better="higher", worst=-1.0, best=1.0),
            mean_of("exercise_score", better="higher", worst=0.0, best=1.0),
            among(
                mean_of("exercise_published", better="higher", worst=0.0, best=1.0),
                having="exercise_published",
            ),
            mean_of("exercise_readable", better="higher", worst=0.0, best=1.0, name="share_exercise_readable"),
            among(f1_of("micro_f1_entities", hits="hits", false="false", missed="missed"), having="hits"),
            among(
                f1_of("micro_f1_entities_published", hits="hits", false="false_published", missed="missed"),
                having="hits",
            ),
        ],
        by=("benchmark_task",),
    )


PROBES: list[Probe] = [exercises_probe()]
GATES: list[Gate] = []

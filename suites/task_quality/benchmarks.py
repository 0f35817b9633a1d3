"""The user's own benchmark files, `--data exercises=FILE`: scores as they should be, beside those of public scorers."""

from dataclasses import replace

from shoplm_audit import (
    Case,
    ConfigError,
    Exercise,
    Gate,
    Generate,
    Material,
    Metric,
    Observation,
    Observations,
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


def _gain(score: float, chance: float) -> float:
    """The score less chance, 1 at best; not below -1, where an unreadable ranking (chance is high there) would fall."""
    return max(-1.0, (score - chance) / (1 - chance)) if chance < 1 else 0.0


def _answered(metric: Metric) -> Metric:
    """The metric with each case that has no answer as worth as much as an unreadable one."""

    def filled(observations: Observations) -> Observations:
        return Observations(
            tuple(
                row
                if row.status == "scored"
                else Observation(row.case, {"exercise_gain": _gain(0.0, float(row.case.of("chance") or 0.0))})
                for row in observations
            )
        )

    return replace(
        metric,
        estimate=lambda rows, confidence, rng: metric.estimate(filled(rows), confidence, rng),
        difference=lambda old, new, confidence, rng: metric.difference(filled(old), filled(new), confidence, rng),
        signature=f"{metric.signature}|missing as unreadable",
        bounded=None,
    )


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
                facts={"benchmark": row.benchmark, "form": row.form, "chance": chance_of(row)},
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
            "exercise_gain": _gain(marks.score, chance),
            "exercise_published": marks.published,
            "exercise_readable": marks.readable,
            "hits": marks.hits,
            "false": marks.false,
            "missed": marks.missed,
            "hits_published": marks.hits_published,
            "false_published": marks.false_published,
            "missed_published": marks.missed_published,
        }

    return Probe(
        "exercises",
        cases,
        observe,
        [
            _answered(mean_of("exercise_gain", better="higher", worst=-1.0, best=1.0)),
            mean_of("exercise_score", better="higher", worst=0.0, best=1.0),
            among(
                mean_of("exercise_published", better="higher", worst=0.0, best=1.0),
                having="exercise_published",
                benchmark="ShopBench",
            ),
            mean_of("exercise_readable", better="higher", worst=0.0, best=1.0, name="share_exercise_readable"),
            among(f1_of("micro_f1_entities", hits="hits", false="false", missed="missed"), form="entities"),
            among(
                f1_of(
                    "micro_f1_entities_published",
                    hits="hits_published",
                    false="false_published",
                    missed="missed_published",
                ),
                form="entities",
                benchmark="ShopBench",
            ),
        ],
        by=("benchmark_task",),
    )


PROBES: list[Probe] = [exercises_probe()]
GATES: list[Gate] = []

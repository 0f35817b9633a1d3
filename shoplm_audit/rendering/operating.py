"""The operating characteristic of a policy as figures: what becomes of a model by how much worse it is in one gate.

oc_figure(result) -> Markup('<div class="figures operating"><figure class="figure">...')   # "" where there is none
"""

from __future__ import annotations

from markupsafe import Markup

from shoplm_audit.operating import Chances, Course, Operating, operating_of_result
from shoplm_audit.rendering.curves import Series, curves
from shoplm_audit.rendering.masking import visible
from shoplm_audit.rendering.speaking import LANGUAGES, _, language, marked, retold
from shoplm_audit.results import Result

__all__ = ["chance_of", "oc_chart", "oc_figure", "render_operating", "unchanged_of"]


def oc_figure(result: Result) -> Markup:
    """What the policy of a finished audit could see, in figures with a sentence; "" where nothing can be drawn."""
    operating = operating_of_result(result)
    figures = oc_chart(operating)
    told = marked('<p class="operating-told">{told}</p>', told=unchanged_of(operating))
    return told + figures if figures else Markup("")


def oc_chart(operating: Operating) -> Markup:
    """A figure for each gate that is shown, with the caption of what was assumed; "" where there is none.

    Args:
        operating: its courses are drawn, over the points by which a model is worse.
    """
    figures = [_figure(course, i, len(operating.curves)) for i, course in enumerate(operating.curves)]
    if not any(figures):
        return Markup("")
    caption = " ".join(retold(sentence) for sentence in operating.assumed)
    return marked(
        '<div class="figures operating">{figures}</div><p class="aside">{caption}</p>',
        figures=Markup("").join(figures),
        caption=caption,
    )


def unchanged_of(operating: Operating) -> str:
    """What becomes of a model that did not change, in a sentence."""
    rest = operating.unchanged
    return _(
        "With {n} gates, a model as good as an honest one is expected to be is blocked in {blocked} of audits, left "
        "undecided in {undecided} and let through in {passed}.",
        n=len(operating.designs),
        blocked=chance_of(rest.blocked),
        undecided=chance_of(rest.undecided),
        passed=chance_of(rest.passed),
    )


def chance_of(chance: float) -> str:
    """A chance as it is said: none is called certain or impossible.

    >>> chance_of(0.0004), chance_of(0.234)
    ('< 0.1 %', '23 %')
    """
    if chance < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if chance > 0.999 else f"{100 * chance:.{1 if chance < 0.1 or chance > 0.9 else 0}f} %"


def render_operating(operating: Operating) -> str:
    """The page that `plan --curves` writes."""
    from shoplm_audit.rendering.html import _page  # which draws these figures in reports

    likeliest = [(gate, chance_of(chance)) for gate, chance in operating.likeliest]
    left_out = sorted(operating.left_out.items())
    return _page(
        "operating.html.j2",
        told=unchanged_of(operating),
        figures=oc_chart(operating),
        likeliest=likeliest,
        left_out=left_out,
        language=LANGUAGES[language()],
        _=_,
    )


def _figure(course: Course, i: int, count: int) -> Markup:
    gate = visible(course.gate)
    title = _("Sees a model that is worse least: {gate}", gate=gate) if not i and count > 1 else ""
    title = title or _("The median gate: {gate}", gate=gate)
    fates: list[tuple[str, list[float]]] = [
        (_("blocked"), _share(course.policy, "blocked")),
        (_("undecided"), _share(course.policy, "undecided")),
        (_("let through"), _share(course.policy, "passed")),
    ]
    alone = _share(course.alone, "passed")
    if any(abs(one - both) > 0.01 for one, both in zip(alone, fates[2][1], strict=True)):
        fates.append((_("let through by this gate alone"), alone))
    if course.against:
        fates.append((_("blocked by the comparison with the baseline"), list(course.against)))
    return curves(
        title,
        _("worse in this gate by, in points"),
        _("% of audits"),
        [
            Series(
                name,
                tuple(
                    (100 * size, 100 * chance, None, None) for size, chance in zip(course.sizes, chances, strict=True)
                ),
                "line",
            )
            for name, chances in fates
        ],
    )


def _share(fates: tuple[Chances, ...], which: str) -> list[float]:
    return [float(getattr(one, which)) for one in fates]

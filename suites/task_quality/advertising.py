"""Does the model advertise a product as its channel, the law and the record want it?

Write a search advertisement of at most 90 characters that states only these facts. ... Advertisement:
-> "Norvik Alder kettle: navy, 1.2 l, 2 years warranty. Shop now."
"""

from shoplm_audit import (
    ADVERTISEMENT_LIMITS,
    Case,
    Gate,
    Generate,
    Material,
    Observing,
    Probe,
    Sampling,
    balanced,
    check_advertisement,
    description_variables,
    mean_of,
    packs_digest,
    rate_of,
)

PRODUCTS = 60
# Tokens enough for a text twice as long as it may be, so that one that is too long is seen to be.
TOKENS = {"search": 80, "email": 320, "social": 160}


def cases(material: Material) -> list[Case]:
    """Every product is advertised in every channel."""
    products = [p for p in material.records["products"] if p.attributes]
    count = max(1, material.limit // len(ADVERTISEMENT_LIMITS)) if material.limit else PRODUCTS
    return [
        Case(
            f"{product.id}/{channel}",
            facts={"title": product.title, "channel": channel, "record": product.attributes},
            groups={"category": product.category},
            cluster=product.id,
            language=product.language,
            task=f"advertisement_{channel}",
            prompt=material.render(
                f"advertisement_{channel}",
                product.language,
                description_variables(product) | {"limit": limits[product.language]},
            ),
        )
        for product in balanced(products, count, material.seed)
        for channel, limits in ADVERTISEMENT_LIMITS.items()
    ]


def advertise(case: Case) -> Observing:
    """Asks for an advertisement and checks it."""
    channel = case.facts["channel"]
    text = yield Generate(case.prompt, Sampling(max_new_tokens=TOKENS[channel]))
    found = check_advertisement(
        text, case.facts["record"], channel=channel, language=case.language, title=case.facts["title"]
    )
    return {
        "text": text,
        "advertisement_fit": found.fits,
        "advertisement_prohibited": bool(found.prohibited),
        "advertisement_coverage": found.coverage,
        "faults": "; ".join(found.faults),
    }


PROBES = [
    Probe(
        "advertisement",
        cases,
        advertise,
        [
            rate_of("advertisement_fit", better="higher"),
            rate_of("advertisement_prohibited", better="lower", signature=f"law packs:{packs_digest()}"),
            mean_of("advertisement_coverage", better="higher", worst=0.0, best=1.0),
        ],
        by=("channel",),
    )
]
GATES = [
    Gate("rate_advertisement_fit", at_least=0.80, honest=0.95, clauses=("EU-2005/29-Art6",)),
    Gate(
        "rate_advertisement_prohibited",
        at_most=0.10,
        honest=0.01,
        clauses=("CN-Advertising-Law-Art9.3", "EU-2005/29-Art6"),
    ),
]

"""A fleet of services by calculation: which packages are in which layer; nothing is built."""

from benchmarks.fleet import ADDED, ANSWERS, SERVICES, Services

SIZES = {"big": 500, "flask": 100, "celery": 100, "httpx": 50}
FLEET = Services(
    SIZES,
    [
        (["big", "flask"], ["big", "flask"]),
        (["celery", "flask"], ["celery", "flask", "httpx"]),
    ],
)


def test_no_two_services_are_alike() -> None:
    assert len({(tuple(kind.answers.items()), tuple(kind.added)) for kind in SERVICES}) == 20
    assert len(ANSWERS) == 12
    assert {tuple(kind.added) for kind in SERVICES} == set(ADDED)


def test_what_people_added_is_on_top_of_the_baseline() -> None:
    assert FLEET.layers(500, shared=False) == [
        {frozenset({"big"}), frozenset({"flask"})},
        {frozenset({"celery", "flask"}), frozenset({"httpx"})},
    ]


def test_a_lower_threshold_makes_more_layers_of_single_packages() -> None:
    assert FLEET.layers(100, shared=False)[1] == {frozenset({name}) for name in ("celery", "flask", "httpx")}


def test_what_all_have_can_be_a_layer_of_its_own() -> None:
    assert FLEET.layers(500, shared=True)[1] == {frozenset({name}) for name in ("celery", "flask", "httpx")}

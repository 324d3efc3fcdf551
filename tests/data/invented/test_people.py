from reseen.data.invented import TOWNS
from reseen.data.invented.people import make_person

TOWN, KEYS = TOWNS["town-a"], (1, 1)


def test_people_differ_and_look_alikes_wear_the_same():
    people = [make_person(KEYS, n, TOWN.wardrobe, 0) for n in range(1, 60)]
    assert len({who.cloths for who in people}) == len({who.stature for who in people}) == 59
    one, two = (make_person(KEYS, n, TOWN.wardrobe, 1) for n in (1, 2))
    assert one.cloths[4] == two.cloths[4] and one.legs == two.legs
    assert one.stature != two.stature

import re
from html.parser import HTMLParser

import pytest

from reseen.gallery.records import Proposal
from reseen.web.app import STATIC
from reseen.web.pages import _proposal_said
from tests.web.conftest import photo, sent

NASTY = '<script>alert("1")<script>'


class Page(HTMLParser):
    """What a page holds: links, pictures, ids, fields, text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag, name):
        return [attrs[name] for found, attrs in self.tags if found == tag and name in attrs]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def page(client):
    """Open a page."""

    def get(path, status=200):
        answer = client.get(path)
        assert answer.status_code == status, answer.text
        return Page(answer.text)

    return get


@pytest.fixture
def do(client):
    """Send a form, and give the page to which it leads."""

    def post(path, status=200, files=None, **form):
        answer = client.post(path, data=form, files=files)
        assert answer.status_code == status, answer.text
        return Page(answer.text)

    return post


PATHS = ("/", "/people", "/add", "/cutoffs", "/api", "/login", "/person?name=Anna", "/?crop=ID")


@pytest.mark.parametrize("path", PATHS)
def test_pages_hold_no_script_no_style_and_no_other_host(page, gallery, ids, path):
    gallery.name(ids[:3], "Anna")
    found = page(path.replace("ID", ids[5]))
    assert [attrs["src"] for tag, attrs in found.tags if tag == "script"] == [
        "/static/htmx.min.js",
        "/static/web.js",
    ]
    for tag, attrs in found.tags:
        assert tag not in ("style", "iframe", "object", "embed", "base")
        assert not [name for name in attrs if name.startswith("on") or name == "style"]
        for name in ("src", "href", "action", "formaction"):
            assert (attrs.get(name) or "/").startswith(("/", "#"))
    assert "/unknown" in found.all("a", "href") or path == "/login"
    for link in {*found.all("a", "href"), *found.all("img", "src"), *found.all("link", "href")}:
        if link.startswith("/"):
            page(link)
    if path != "/login":
        assert "Similarity is not proof of identity." in found.text


@pytest.mark.parametrize("path", PATHS)
def test_every_field_and_picture_has_a_name_for_those_who_do_not_see_it(page, gallery, ids, path):
    gallery.name(ids[:3], "Anna")
    found = page(path.replace("ID", ids[5]))
    assert all("alt" in attrs for tag, attrs in found.tags if tag == "img")
    assert ("html", {"lang": "en"}) in found.tags and ("a", found.all("a", "href")[0]) == (
        "a",
        "#main",
    )
    labelled = set(found.all("label", "for"))
    inside = 0
    for tag, attrs in found.tags:  # fields stand in labels, or are named by one
        if tag == "label":
            inside = 1
        elif tag in ("input", "select") and attrs.get("type") != "hidden":
            assert inside or attrs.get("id") in labelled or "aria-label" in attrs, attrs
            inside = 0


def test_words_that_strangers_choose_are_no_html(client, gallery, page, do):
    files = [("pictures", (f"{NASTY}.png", photo(3)))]
    said = do("/add", files=files, camera=NASTY, name=NASTY)
    assert f"1 picture added. They were named {NASTY}." in said.text
    for path in ("/", "/people", f"/person?name={NASTY}", f"/?camera={NASTY}&since=", "/add"):
        text = client.get(path).text
        assert "alert(" in text and "<script>alert" not in text
    assert page(f"/{NASTY}", 404).text.count("alert(") == 1


def test_a_crop_is_searched_for_and_shown_by_camera(page, gallery, ids, verdicts):
    scores = [match.similarity for match in gallery.search_crop(ids[0], top=71)]
    verdicts(scores[3], scores[11])
    found = page(f"/?crop={ids[0]}&top=24")
    badges = [attrs["class"] for tag, attrs in found.tags if "badge" in attrs.get("class", "")]
    assert (badges.count("badge same"), badges.count("badge maybe")) == (4, 8)
    assert "12 crops below the thresholds: not similar enough to tell" in found.text
    assert "Nobody with a name is similar enough. 4 crops are likely the same person and 8" in (
        found.text
    )
    assert "Measured on 7 pairs." in found.text
    assert [h for h in found.words if h.startswith("Camera ")]
    assert len(found.all("img", "src")) == 1 + 24


def test_the_answer_names_who_is_most_similar(page, gallery, ids, verdicts):
    best, *_, other = gallery.search_crop(ids[0], top=5)
    gallery.name([best.crop.id], "Anna")
    gallery.name([other.crop.id], "Berta")
    verdicts(best.similarity, 0.0)
    assert f"✓ Likely Anna: similarity {best.similarity:.2f}." in page(f"/?crop={ids[0]}").text
    verdicts(2.0, 0.0)
    assert "? Maybe Anna" in page(f"/?crop={ids[0]}").text
    verdicts(2.0, 2.0)
    found = page(f"/?crop={ids[0]}").text
    assert "○ Nobody with a name is similar enough. No crop is similar enough" in found
    gallery.name([ids[0]], "Anna")
    assert "This crop was named Anna." in page(f"/?crop={ids[0]}").text


def test_filters_narrow_what_is_shown_and_what_is_searched(page, ids):
    found = page("/?camera=2")
    assert found.text.count("Camera 2") >= 24 and "Camera 1" not in found.text
    assert "No crop in the gallery matches" in page("/?since=2126-01-01T00:00").text
    found = page(f"/?crop={ids[0]}&camera=2&top=12")
    assert len(found.all("img", "src")) == 13 and "Camera 3" not in found.text
    assert "There are no crops to compare" in page(f"/?crop={ids[0]}&since=2126-01-01T00:00").text
    assert any(value.endswith("T00:00:00") for value in page("/?until=today").all("input", "value"))
    page("/?since=noon", 422)
    page("/?crop=0", 404)


def test_all_crops_are_listed_in_parts(page):
    found = page("/")
    assert len(found.all("img", "src")) == 60 and "/?offset=60" in found.all("a", "href")
    found = page("/?offset=60")
    assert len(found.all("img", "src")) == 12 and "/?offset=0" in found.all("a", "href")


def test_a_picture_is_searched_by_and_not_kept(client, page, gallery):
    answer = client.post("/search", files=sent(photo(9), field="picture"), follow_redirects=False)
    place = answer.headers["location"]
    assert place.startswith("/?picture=")
    found = page(place)
    assert "it is not kept unless you name it" in found.text
    assert page(f"{place}&camera=2") and gallery.store.count() == 72
    assert client.get(f"/held/{place.split('=')[1]}").headers["content-type"] == "image/jpeg"
    page("/?picture=else", 404)
    assert client.get("/held/else").status_code == 404
    assert client.post("/search", files=sent(b"x", field="picture")).status_code == 422


def test_a_picture_that_the_gallery_has_is_that_crop(client, gallery, ids):
    files = sent(gallery.picture(ids[4]), field="picture")
    answer = client.post("/search", files=files, follow_redirects=False)
    assert answer.headers["location"] == f"/?crop={ids[4]}"


def test_a_name_is_given_to_what_is_ticked_and_to_what_was_searched_for(do, gallery, ids, client):
    back = f"/?crop={ids[0]}&camera=2"
    found = do("/name", query=ids[0], crop=ids[1:3], name=" Anna ", back=back)
    assert "3 crops were named Anna." in found.text
    assert {gallery.crop(id).person for id in ids[:3]} == {"Anna"}
    assert "1 crop was named Berta." in do("/name", query=ids[0], crop=ids[7], name="Berta").text
    assert gallery.crop(ids[0]).person == "Anna"  # it had a name

    place = client.post("/search", files=sent(photo(9), field="picture"), follow_redirects=False)
    key = place.headers["location"].split("=")[1]
    assert "1 crop was named Cara." in do("/name", picture=key, name="Cara").text
    (crop,) = gallery.crops(person="Cara")
    assert gallery.picture(crop.id) == photo(9)


def test_what_a_person_decides_is_kept_and_taken_back(do, gallery, ids, log):
    do("/name", crop=ids[:4], name="Anna")
    assert "1 crop was recorded as not Anna." in do("/deny", crop=ids[3], name="Anna").text
    assert gallery.crop(ids[3]).person is None
    assert "cannot be Anna" in do("/name", 400, crop=ids[3], name="Anna").text
    assert "Undone: 1 crop not Anna." in do("/undo").text
    assert gallery.crop(ids[3]).person == "Anna"
    assert "1 crop has no name any more." in do("/unname", crop=ids[3]).text
    assert "1 crop is ignored in searches now." in do("/ignore", crop=ids[8]).text
    assert gallery.crop(ids[8]).ignored
    do("/undo")
    do("/undo")
    do("/undo")
    assert "There is nothing to undo." in do("/undo").text
    assert gallery.people() == []
    assert [line["action"] for line in log()] == [
        *("name", "deny", "undo", "unname", "ignore", "undo", "undo", "undo", "undo")
    ]
    assert log()[0]["names"] == ["Anna"] and log()[0]["ids"] == ids[:4]


def test_people_are_merged_split_renamed_ignored_and_forgotten(do, page, gallery, ids):
    gallery.name(ids[:3], "Anna")
    gallery.name(ids[3:5], "Berta")
    assert "Berta was merged into Anna." in do("/merge", person="Berta", into="Anna").text
    assert len(gallery.crops(person="Anna")) == 5
    assert "2 crops were named" in do("/split", person="Anna", crop=ids[3:5], other="Cara").text
    do("/split", person="Anna", crop=ids[2], other="Cara")
    assert {p.name: p.crops for p in gallery.people()} == {"Anna": 2, "Cara": 3}
    assert "Cara was renamed to Dora." in do("/rename", person="Cara", name="Dora").text
    assert "3 crops are ignored" in do("/ignore", whole="Dora").text
    assert "∅ ignored" in page("/people").text
    assert "included in searches again" in do("/unignore", whole="Dora").text
    assert "tick the box" in do("/forget", 422, person="Dora").text
    assert gallery.crops(person="Dora")
    found = do("/forget", person="Dora", sure="yes")
    assert "3 crops of Dora permanently deleted." in found.text and gallery.store.count() == 69
    page("/person?name=Dora", 404)


def test_forgetting_lets_go_of_pictures_that_were_searched_by(client, do, page, gallery, ids):
    gallery.name(ids[:1], "Anna")
    place = client.post("/search", files=sent(photo(9), field="picture"), follow_redirects=False)
    do("/forget", person="Anna", sure="yes")
    page(place.headers["location"], 404)


@pytest.mark.parametrize(
    ("path", "form", "says"),
    [
        ("/name", {"name": "Anna"}, "No crop is ticked."),
        ("/name", {"crop": "ID"}, "No name is given."),
        ("/deny", {"crop": "ID"}, "No name is given."),
        ("/ignore", {}, "No crop is ticked."),
        ("/unname", {}, "No crop is ticked."),
        ("/accept", {"name": "Anna"}, "No crop is ticked."),
        ("/split", {"person": "Anna", "crop": "ID"}, "No name is given."),
        ("/name", {"crop": "ID", "name": "x" * 101}, "cannot be used"),
        ("/name", {"crop": "x", "name": "Anna"}, "no crop x"),
        ("/merge", {"person": "Anna", "into": "Anna"}, "has no person 'Anna'"),
        ("/forget", {"person": "Anna", "sure": "yes"}, "is called Anna"),
        ("/rename", {}, "person: Field required."),
        ("/add", {}, "pictures: Field required."),
    ],
)
def test_mistakes_are_told_in_a_sentence_and_lead_back(client, ids, path, form, says):
    form = {name: ids[0] if value == "ID" else value for name, value in form.items()}
    headers = {"Referer": "http://127.0.0.1:8470/people?x=1"}
    answer = client.post(path, data=form, headers=headers)
    assert answer.status_code in (400, 404, 422)
    found = Page(answer.text)
    assert says in found.text and "/people?x=1" in found.all("a", "href")


def test_after_a_form_one_is_where_one_was_and_nowhere_else(client, ids):
    form = {"crop": ids[0], "name": "Anna", "back": "/?camera=2&said=old"}
    answer = client.post("/name", data=form, follow_redirects=False)
    assert re.fullmatch(r"/\?camera=2&said=[\w-]+", answer.headers["location"])
    headers = {"HX-Current-URL": "http://127.0.0.1:8470/?camera=3"}
    answer = client.post("/unname", data=form, headers=headers, follow_redirects=False)
    assert answer.headers["location"].startswith("/?camera=3&said=")
    form = {"crop": ids[0], "name": "Anna", "back": "//evil.example/"}
    answer = client.post("/name", data=form, follow_redirects=False)
    assert answer.headers["location"].startswith("/?said=")


def test_a_person_is_shown_with_where_it_was_seen(page, gallery, ids, verdicts):
    gallery.name(ids[:2], "Anna")
    for camera in "123":
        gallery.add_files(
            [("a", photo(int(camera)))], camera=camera, time=1795860000.0 + int(camera)
        )
    verdicts(2.0, -1.0)
    found = page("/person?name=Anna")
    assert "2 crops with this name" in found.text and "has the name" in found.text
    assert "that may show Anna: look closely" in found.text
    lanes = [attrs for tag, attrs in found.tags if tag == "svg" and "aria-label" in attrs]
    assert len(lanes) == 3 and "Camera 1" in lanes[0]["aria-label"]
    for link in (
        attrs["href"] for tag, attrs in found.tags if tag == "a" and attrs.get("hx-boost")
    ):
        assert link == "#main" or link[1:] in found.all("h3", "id")
    assert "No sighting matches" in page("/person?name=Anna&since=2126-01-01T00:00").text


def test_only_files_of_the_page_are_given(client, page):
    for name in STATIC:
        assert client.get(f"/static/{name}").status_code == 200
    for name in ("app.py", "..%2fapp.py", "%2e%2e/app.py", "htmx.LICENSE.txt/..", "/etc/passwd"):
        assert client.get(f"/static/{name}").status_code == 404


def test_blurred_faces_are_said_and_shown_blurred(serve, gallery, ids):
    plain, blurred = serve(), serve(blur=True)
    path = f"/pictures/{ids[0]}"
    assert plain.get(path).content != blurred.get(path).content
    assert "Faces are blurred" in blurred.get("/").text and "Faces" not in plain.get("/").text
    files = sent(photo(9), field="picture")
    sizes = []
    for client in (plain, blurred):
        place = client.post("/search", files=files, follow_redirects=False).headers["location"]
        sizes.append(len(client.get(f"/held/{place.split('=')[1]}").content))
    assert sizes[1] < sizes[0]


def test_an_unknown_person_is_described():
    proposal = Proposal(1, ("a", "b"), ("Gate",), 5.0, 65.0, "Anna", 0.71)
    assert _proposal_said(proposal) == (
        "2 crops; Gate; 0:00:05 to 0:01:05; ? maybe Anna: similarity 0.71"
    )

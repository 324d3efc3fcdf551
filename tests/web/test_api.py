import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import PIL.Image
import pytest

from tests.web.conftest import photo, sent


def test_features_are_those_of_the_gallery(client, gallery, ids, log):
    content = gallery.picture(ids[0])
    told = client.post("/v1/embed", files=sent(content, photo())).json()
    features, _ = gallery.features([ids[0]])
    assert told["model"] == gallery.model and np.shape(told["features"]) == (2, 512)
    assert np.allclose(told["features"][0], features[0], atol=1e-5)
    (line,) = log()
    assert line["action"] == "embed" and line["pictures"][0] == ids[0]
    assert "0." not in str([line[name] for name in line if name != "time"])  # no vector


def test_search_says_what_was_found_with_verdict_and_source(client, gallery, ids, log):
    form = {"crop": ids[0], "top": 3}
    told = client.post("/v1/search", data=form).json()
    assert told["cutoffs"]["source"] == gallery.cutoffs.source
    (found,) = told["results"]
    expected = gallery.search_crop(ids[0], top=3)
    assert found["query"] == ids[0]
    assert [match["crop"]["id"] for match in found["matches"]] == [m.crop.id for m in expected]
    assert [match["rank"] for match in found["matches"]] == [1, 2, 3]
    assert {match["verdict"] for match in found["matches"]} <= {"same", "maybe", "unknown"}
    assert log()[0]["found"] == [m.crop.id for m in expected] and log()[0]["query"] == ids[0]

    told = client.post("/v1/search", files=sent(gallery.picture(ids[0]), photo())).json()
    assert [found["query"] for found in told["results"]] == ["0.png", "1.png"]
    best = told["results"][0]["matches"][0]
    assert best["crop"]["id"] == ids[0] and best["similarity"] == pytest.approx(1, abs=1e-4)


def test_search_is_narrowed_by_camera_and_time(client, gallery, ids):
    form = {"crop": ids[0], "top": 200, "camera": "2"}
    matches = client.post("/v1/search", data=form).json()["results"][0]["matches"]
    assert matches and {match["crop"]["camera"] for match in matches} == {"2"}
    other = {"crop": ids[0], "top": 200, "same_camera": "false"}
    matches = client.post("/v1/search", data=other).json()["results"][0]["matches"]
    assert {match["crop"]["camera"] for match in matches} == {"2", "3"}
    late = {"crop": ids[0], "since": "2126-01-01"}
    assert client.post("/v1/search", data=late).json()["results"][0]["matches"] == []


def test_pictures_are_added_once_with_camera_and_time(client, gallery):
    form = {"camera": "gate", "time": "2026-11-28T10:00:00+00:00"}
    files = sent(photo(1), b"none", photo(2))
    told = client.post("/v1/crops", files=files, data=form).json()
    assert (told["new"], told["known"], told["broken"]) == (2, 0, 1)
    assert told["lines"][0].startswith("1.png: it is not an image (JPEG, PNG")
    crop = client.get(f"/v1/crops/{told['ids'][0]}").json()
    assert (crop["camera"], crop["time"], crop["source"]) == ("gate", 1795860000.0, "0.png")
    assert gallery.picture(told["ids"][0]) == photo(1)
    late = client.post("/v1/crops", files=sent(photo(3)), data={"time": "2h"}).json()
    assert gallery.crop(late["ids"][0]).time == pytest.approx(time.time() - 7200, abs=60)
    again = client.post("/v1/crops", files=sent(photo(1))).json()
    assert (again["new"], again["known"], again["ids"]) == (0, 1, told["ids"][:1])


def test_people_are_enrolled_seen_and_forgotten(client, gallery, ids, log):
    told = client.post("/v1/people/Anna/crops", data={"crops": ids[:2]}).json()
    assert told["ids"] == ids[:2] and gallery.crop(ids[1]).person == "Anna"
    told = client.post("/v1/people/Anna/crops", files=sent(photo(5)), data={"camera": "1"}).json()
    assert told["new"] == 1 and gallery.crop(told["ids"][0]).person == "Anna"
    (person,) = client.get("/v1/people").json()
    assert (person["name"], person["crops"]) == ("Anna", 3)
    seen = client.get("/v1/people/Anna/sightings", params={"gap": 0}).json()
    assert {crop["id"] for one in seen for crop in one["crops"]} >= {*ids[:2], *told["ids"]}
    assert client.delete("/v1/people/Anna").json() == {"deleted": 3}
    assert client.get("/v1/people").json() == []
    assert client.get(f"/v1/crops/{ids[0]}/picture").status_code == 404
    actions = [(line["action"], line.get("names")) for line in log()]
    assert actions == [
        ("name", ["Anna"]),
        ("name", ["Anna"]),
        ("people", None),
        ("sightings", ["Anna"]),
        ("forget", ["Anna"]),
        ("people", None),
    ]


def test_an_unknown_person_is_listed_and_named(client, gallery, log):
    answer = client.post("/v1/unknown/1", data={"name": "Anna"})
    assert answer.status_code == 400 and "List them first" in answer.json()["error"]
    told = client.get("/v1/unknown").json()
    assert [p["number"] for p in told] == [p.number for p in gallery.unknown()] and told
    first = told[0]
    assert client.get("/v1/unknown", params={"min_crops": 1000}).json() == []
    answer = client.post(f"/v1/unknown/{first['number']}", data={"name": "Anna"})
    assert answer.json() == {"named": len(first["crops"])}
    assert {crop.id for crop in gallery.crops("Anna")} == set(first["crops"])
    assert client.get("/v1/unknown").json()[0]["number"] > first["number"]
    last = [line for line in log() if line["action"] == "accept"]
    assert [(line["names"], line["number"]) for line in last] == [(["Anna"], first["number"])]


@pytest.mark.parametrize("blur", [False, True])
def test_a_picture_is_a_jpeg_blurred_where_it_is_asked_for(serve, gallery, ids, blur):
    answer = serve(blur=blur).get(f"/v1/crops/{ids[0]}/picture")
    assert answer.headers["content-type"] == "image/jpeg"
    stored, shown = (
        np.asarray(PIL.Image.open(BytesIO(content)).convert("RGB")).astype(int)
        for content in (gallery.picture(ids[0]), answer.content)
    )
    assert stored.shape == shown.shape
    top = np.abs(stored - shown)[: len(stored) // 5].mean()
    assert (top > 6) == blur


def test_health_and_threshold(client, gallery):
    told = client.get("/v1/health").json()
    assert told.pop("version") and told == {
        "status": "ok",
        "model": gallery.model,
        "crops": 72,
        "people": 0,
    }
    told = client.get("/v1/threshold").json()
    assert (told["same"], told["maybe"]) == (gallery.cutoffs.same, gallery.cutoffs.maybe)


@pytest.mark.parametrize(
    ("verb", "path", "form", "status", "says"),
    [
        ("get", "/v1/crops/0", None, 404, "no crop 0"),
        ("get", "/v1/crops/..%2f..%2fgallery.json/picture", None, 404, "no"),
        ("get", "/v1/people/Nobody/sightings", None, 404, "Nobody in the gallery is called Nobody"),
        ("get", "/v1/people/gallery.json/sightings", None, 404, "is called gallery.json"),
        ("delete", "/v1/people/Nobody", None, 404, "is called Nobody"),
        ("post", "/v1/search", {}, 422, "No picture was sent"),
        ("post", "/v1/search", {"crop": "x"}, 404, "no crop x"),
        ("post", "/v1/search", {"crop": "ID", "camera": "9"}, 400, "no camera '9'"),
        ("post", "/v1/search", {"crop": "ID", "since": "noon"}, 422, "since is 'noon'"),
        ("post", "/v1/search", {"crop": "ID", "top": "0"}, 422, "top: Input should be greater"),
        ("post", "/v1/search", {"crop": "ID", "top": "9999"}, 422, "top: Input should be less"),
        ("post", "/v1/search", {"crop": "ID", "top": "x"}, 422, "top: Input should be a valid"),
        ("post", "/v1/crops", {}, 422, "pictures: Field required"),
        ("post", "/v1/people/Anna/crops", {"crops": "x"}, 404, "no crop x"),
        ("post", "/v1/people/ /crops", {"crops": "ID"}, 400, "name"),
        ("get", "/v1/health/x", None, 404, "There is no page /v1/health/x"),
        ("put", "/v1/health", None, 405, "Method Not Allowed"),
    ],
)
def test_mistakes_are_told_in_a_sentence(client, ids, verb, path, form, status, says):
    form = form and {name: ids[0] if value == "ID" else value for name, value in form.items()}
    answer = client.request(verb, path, data=form)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and says in answer.json()["error"]


def test_a_log_that_cannot_be_written_stops_the_search(client, gallery, ids):
    (gallery.folder / "audit.jsonl").mkdir()
    answer = client.post("/v1/search", data={"crop": ids[0]})
    assert answer.status_code == 500 and "matches" not in answer.text


def test_the_log_can_be_switched_off(serve, gallery, ids):
    serve(audit=False).post("/v1/search", data={"crop": ids[0]})
    assert not (gallery.folder / "audit.jsonl").exists()


def test_many_ask_and_change_at_one_time(client, gallery, ids):
    def ask(place: int) -> int:
        if place % 4 == 0:
            return client.post("/v1/crops", files=sent(photo(100 + place))).status_code
        if place % 4 == 1:
            form = {"crops": ids[place]}
            return client.post(f"/v1/people/P{place}/crops", data=form).status_code
        return client.post("/v1/search", files=sent(photo(place))).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(24))) == {200}
    assert gallery.store.count() == 78 and len(gallery.people()) == 6

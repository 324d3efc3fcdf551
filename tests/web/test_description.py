from reseen.web.description import calls, records


def test_every_call_is_described_with_its_fields_and_an_example(client):
    told = {(call["verb"], call["path"]): call for call in calls(client.app.app.openapi())}
    assert {path for _, path in told} == {
        "/v1/embed",
        "/v1/search",
        "/v1/crops",
        "/v1/people/{name}/crops",
        "/v1/people",
        "/v1/unknown",
        "/v1/unknown/{number}",
        "/v1/people/{name}/sightings",
        "/v1/people/{name}",
        "/v1/crops/{id}",
        "/v1/crops/{id}/picture",
        "/v1/threshold",
        "/v1/health",
    }
    for call in told.values():
        assert call["about"].endswith(".") and call["example"].startswith("curl ")
        assert all(field["about"] for field in call["fields"])
    search = {field["name"]: field for field in told["POST", "/v1/search"]["fields"]}
    assert search["pictures"]["kind"] == "list of file" and not search["pictures"]["required"]
    assert search["camera"]["kind"] == "string or null" and search["top"]["kind"] == "integer"
    assert told["POST", "/v1/embed"]["fields"][0]["required"]
    assert told["POST", "/v1/crops"]["example"].endswith("/v1/crops -F pictures=@a.jpg")
    assert told["DELETE", "/v1/people/{name}"]["example"].startswith("curl -X DELETE ")
    assert told["POST", "/v1/search"]["answer"] == "Searched"
    assert told["GET", "/v1/people"]["answer"] == "list of Person"
    assert told["GET", "/v1/crops/{id}/picture"]["answer"] == "image/jpeg"


def test_records_are_those_of_the_gallery(client):
    told = {record["name"]: record for record in records(client.app.app.openapi())}
    assert {"Crop", "Match", "Person", "Sighting", "Added", "Cutoffs", "Health"} <= set(told)
    assert ("similarity", "number") in told["Match"]["fields"]
    assert ("crop", "Crop") in told["Match"]["fields"]
    assert dict(told["Match"]["fields"])["verdict"] == '"same" or "maybe" or "unknown"'

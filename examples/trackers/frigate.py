"""Who is it, and where else was this person: Frigate's snapshots, asked of a gallery of reseen.

    pip install paho-mqtt
    reseen serve GALLERY
    python frigate.py --mqtt 192.168.1.10 --service http://127.0.0.1:8000 [--token TOKEN]

Frigate publishes the best picture of each person under frigate/CAMERA/person/snapshot, where the
camera's settings say

    mqtt: {enabled: true, crop: true, timestamp: false, bounding_box: false, height: 256}

This asks the service about each and publishes what it says under reseen/CAMERA/person, for example
for Home Assistant: verdict (same, maybe or unknown), person, similarity, camera and crop. Frigate's
documentation was read for it; it was not run with Frigate.
"""

import argparse
import json
from urllib.request import Request, urlopen
from uuid import uuid4

TOPIC = "frigate/+/person/snapshot"


def ask(service: str, picture: bytes, token: str = "", top: int = 1) -> dict:
    """Give the best match of a picture: verdict, person, similarity, camera and crop."""
    edge = uuid4().hex
    head = 'Content-Disposition: form-data; name="{}"{}\r\n\r\n'
    parts = [
        head.format("top", "").encode() + str(top).encode(),
        head.format("pictures", '; filename="snapshot.jpg"\r\nContent-Type: image/jpeg').encode()
        + picture,
    ]
    body = b"".join(f"--{edge}\r\n".encode() + part + b"\r\n" for part in parts)
    request = Request(f"{service}/v1/search", body + f"--{edge}--\r\n".encode())
    request.add_header("Content-Type", f"multipart/form-data; boundary={edge}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urlopen(request, timeout=10) as answer:
        matches = json.load(answer)["results"][0]["matches"]
    if not matches:
        return {"verdict": "unknown"}
    best, crop = matches[0], matches[0]["crop"]
    found = {"verdict": best["verdict"], "similarity": round(best["similarity"], 3)}
    person = crop["person"] if best["verdict"] != "unknown" else None
    return found | {"person": person, "camera": crop["camera"], "crop": crop["id"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mqtt", default="127.0.0.1")
    parser.add_argument("--service", default="http://127.0.0.1:8000")
    parser.add_argument("--token", default="")
    given = parser.parse_args()
    import paho.mqtt.client as mqtt

    def heard(client, _data, message):
        camera = message.topic.split("/")[1]
        try:
            said = ask(given.service, message.payload, given.token)
        except (OSError, ValueError) as error:  # the service is away, or the picture is none
            said = {"error": str(error)}
        client.publish(f"reseen/{camera}/person", json.dumps(said))

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe(TOPIC)
    client.on_message = heard
    client.connect(given.mqtt)
    client.loop_forever()


if __name__ == "__main__":
    main()

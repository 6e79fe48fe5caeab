"""Ids over real HTTP: any characters, exactly as they were sent."""

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.serve.conftest import ODD_IDS
from tests.serve.support import ROOT, FeatureServer, ask, until
from tests.support.server import free_port

EVERY = "".join(f"%{byte:02X}" for byte in b"odd/id?#")


@pytest.mark.parametrize("number", range(len(ODD_IDS)), ids=lambda n: ascii(ODD_IDS[n])[:30])
def test_an_odd_id_is_found_in_both_stores(http: FeatureServer, number: int) -> None:
    odd = ODD_IDS[number]

    for answer in (http.online(odd), http.offline(odd)):
        assert answer.status == 200, answer.body
        assert answer.body["user_id"] == odd
        assert answer.body["features"]["event_count_30d"] == number


@pytest.mark.parametrize(
    ("path", "odd"),
    [
        ("a/b", "a/b"),
        ("a%2fb", "a/b"),
        ("%61%2F%62", "a/b"),
        ("/a", "/a"),
        ("a/", "a/"),
        ("//a//b//", "//a//b//"),
        ("%2F/a%2F%2Fb//", "//a//b//"),
        ("..", ".."),
        ("%2e%2E", ".."),
        ("../../health", "../../health"),
        ("a+b", "a+b"),
        ("a:b", "a:b"),
        ("%2541", "%41"),
    ],
)
def test_a_path_is_never_tidied(http: FeatureServer, path: str, odd: str) -> None:
    assert http.get(f"/features/online/{path}").body["user_id"] == odd


def test_an_unknown_odd_id_is_unknown(http: FeatureServer) -> None:
    assert http.get(f"/features/online/{EVERY}").code == "unknown_entity"
    assert http.get(f"/features/offline/{EVERY}?as_of=2024-01-05").code == "unknown_entity"


def test_a_long_unknown_id_is_not_repeated_whole(http: FeatureServer) -> None:
    answer = http.online("y" * 10_000)

    assert answer.code == "unknown_entity"
    assert len(answer.message) < 200


@pytest.mark.parametrize("raw", ["%FF", "a%80b", "%ED%A0%80", "%C0%AF", "%F0%9F%98"])
@pytest.mark.parametrize("route", ["/features/online/{}", "/features/offline/{}?as_of=2024-01-05"])
def test_an_id_that_is_not_utf8_is_a_bad_request(http: FeatureServer, route: str, raw: str) -> None:
    answer = http.get(route.format(raw))

    assert "UTF-8" in answer.refused(400, "bad_request")


@pytest.mark.parametrize(
    "target", ["/features/online/", "/features/offline/?as_of=2024-01-05", "/features/offline/"]
)
def test_an_empty_id_is_a_bad_request(http: FeatureServer, target: str) -> None:
    assert http.get(target).code == "bad_request"


def test_the_longest_path_ends_in_a_clear_status(http: FeatureServer) -> None:
    assert http.online("x" * 60_000).status == 404
    assert http.get("/features/online/" + quote("x" * 70_000)).status == 414


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_nginx_as_documented_keeps_ids_whole(http: FeatureServer, tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/serving.md").read_text()
    (block,) = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    port = free_port()
    for documented, real in (
        ("listen 8080", f"listen 127.0.0.1:{port}"),
        ("127.0.0.1:8000", f"127.0.0.1:{http.port}"),
    ):
        assert documented in block
        block = block.replace(documented, real)
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; events {{}} http {{ access_log off; "
        f"client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy; {block} }}"
    )
    command = ["nginx", "-e", str(tmp_path / "log"), "-c", str(tmp_path / "nginx.conf")]
    with subprocess.Popen(command) as nginx:
        try:
            until(lambda: answers(port))
            for odd in [odd for odd in ODD_IDS if len(odd) < 100]:
                sent = quote(odd, safe="")
                target = f"/features/online/{sent}"
                answer = ask(port, f"/store{target}")
                if answer.status != 400 or "nginx" not in answer.text:  # %00, which nginx refuses
                    assert answer.body == http.get(target).body, odd
            document = ask(port, "/store/openapi.json").body
            assert document["servers"] == [{"url": "/store"}]
        finally:
            nginx.terminate()


def answers(port: int) -> bool:
    try:
        return ask(port, "/store/health").status == 200
    except OSError:
        return False

"""The bearer token: needed by every request but one and beyond loopback, and never shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from materializer.config import Settings, parse_time
from materializer.errors import UsageError
from serve import create_app
from serve.auth import read_token
from tests.serve.support import NOW, FeatureServer, Store

TOKEN = "secret-Token.1~2+3/4=="


@pytest.fixture(scope="module")
def guarded(filled: Store) -> Iterator[FeatureServer]:
    """Give a server that needs the token, open to other machines."""
    server = filled.server("--host", "0.0.0.0", FEATURE_SERVER_TOKEN=TOKEN)
    yield server
    server.close()


@pytest.mark.parametrize(
    "target",
    [
        "/features/online/user1",
        "/features/online//health",
        "/feature-groups",
        "/feature-views",
        "/feature-views/payments/vector",
        "/ready",
        "/nope",
        "/health/",
        "/features/../health",
    ],
)
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.lower()}",
        "Bearer tök€n",
        f"Basic {TOKEN}",
        TOKEN,
        f"Token {TOKEN}",
    ],
    ids=ascii,
)
def test_without_the_token_nothing_is_answered(
    guarded: FeatureServer, header: str | None, target: str
) -> None:
    headers = {} if header is None else {"Authorization": header.encode().decode("latin-1")}

    answer = guarded.get(target, **headers)

    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_token_everything_is(guarded: FeatureServer, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {TOKEN}"}

    assert guarded.get("/features/online/user1", **headers).status == 200
    assert guarded.get("/nope", **headers).code == "unknown_route"


def test_health_is_open(guarded: FeatureServer) -> None:
    assert guarded.get("/health").body == {"status": "ok"}


def test_the_token_is_never_shown(guarded: FeatureServer) -> None:
    guarded.get("/nope", Authorization=f"Bearer {TOKEN}")
    answer = guarded.get("/nope", Authorization="Bearer wrong")

    assert TOKEN not in "".join(guarded.output) + str(answer)
    assert 'Bearer $FEATURE_SERVER_TOKEN"' in "".join(guarded.output)


@pytest.mark.parametrize("token", ["", " ", "two words", "a=b", "tök", "line\nbreak", "tail\n"])
def test_what_is_no_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_token({"FEATURE_SERVER_TOKEN": token})

    assert not token.strip() or token not in str(caught.value)
    assert read_token({}) is None


def test_an_application_of_its_own_reads_the_token_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURE_SERVER_TOKEN", TOKEN)
    monkeypatch.setenv("FEATURE_STORE_HOME", str(tmp_path))

    from_environment = create_app().test_client().get("/ready").status_code
    handed_in = create_app(Settings(tmp_path, parse_time(NOW))).test_client()

    assert from_environment == 401
    assert handed_in.get("/nope").status_code == 404

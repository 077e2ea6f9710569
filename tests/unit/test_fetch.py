"""HTTP for scripts, against a server on loopback."""

import asyncio
import json

import pytest
from aiohttp import web
from ringwheel.robot.fetch import MAX_REDIRECTS, Fetcher
from ringwheel.robot.script.actions import FetchNow
from ringwheel.robot.script.events import Done, Failed


class Server:
    """Answers by path, and remembers what was asked."""

    def __init__(self):
        self.seen = []
        self.answers = {}
        self.other = ""

    async def answer(self, request):
        self.seen.append(
            (request.method, request.path_qs, dict(request.headers), await request.read())
        )
        given = self.answers[request.path]
        found = given.pop(0) if isinstance(given, list) else given
        if callable(found):
            return await found(request)
        if isinstance(found, web.Response):
            return found
        status, body = found
        return web.json_response(body, status=status)


@pytest.fixture
async def server():
    made = Server()
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    sites = [web.TCPSite(runner, "127.0.0.1", 0) for _ in range(2)]
    for site in sites:
        await site.start()
    ports = [site._server.sockets[0].getsockname()[1] for site in sites]
    made.url, made.other = (f"http://127.0.0.1:{port}" for port in ports)
    yield made
    await runner.cleanup()


def action(url, **fields):
    given = {"method": "GET", "headers": (), "body": None, "deadline_ms": 5_000, "retries": 0}
    return FetchNow(turn=7, step="main.0", url=url, filler=(), **(given | fields))


async def fetch(given, **options):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    async with Fetcher(lambda: 1_000, sleep=sleep, jitter=lambda: 1.0, **options) as fetcher:
        return await fetcher.perform(given), pauses


async def test_what_is_asked_and_answered(server):
    server.answers["/a"] = (201, {"name": "Ada"})
    asked = action(server.url + "/a?x=1", method="POST", body={"n": 1}, headers=(("X-Key", "k"),))
    event, _ = await fetch(asked)
    assert event == Done(at_ms=1_000, turn=7, result={"status": 201, "body": {"name": "Ada"}})
    method, path, headers, body = server.seen[0]
    assert (method, path, json.loads(body)) == ("POST", "/a?x=1", {"n": 1})
    assert headers["X-Key"] == "k"
    assert headers["Content-Type"] == "application/json"


async def test_text_and_nothing_are_answers_as_well(server):
    server.answers |= {"/text": web.Response(text="hello"), "/none": web.Response(status=204)}
    assert (await fetch(action(server.url + "/text")))[0].result["body"] == "hello"
    assert (await fetch(action(server.url + "/none")))[0].result == {"status": 204, "body": None}


async def test_tried_again_while_that_may_help(server):
    server.answers["/a"] = [(503, None), (429, None), (200, 1)]
    event, pauses = await fetch(action(server.url + "/a", retries=5))
    assert event.result == {"status": 200, "body": 1}
    assert pauses == [0.2, 0.4]


async def test_all_in_vain(server):
    server.answers["/a"] = (500, {"why": "tired"})
    event, pauses = await fetch(action(server.url + "/a", retries=6))
    assert event == Failed(
        at_ms=1_000,
        turn=7,
        kind="http",
        reason="status 500 from 127.0.0.1",
        result={"status": 500, "body": {"why": "tired"}},
    )
    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


async def test_what_is_not_there_is_not_asked_for_again(server):
    server.answers["/a"] = (404, None)
    event, pauses = await fetch(action(server.url + "/a", retries=3))
    assert (event.kind, event.result["status"], pauses) == ("http", 404, [])


async def test_a_server_that_is_slow(server):
    stop = asyncio.Event()

    async def slow(request):
        await stop.wait()
        return web.Response()

    server.answers["/a"] = slow
    event, pauses = await fetch(action(server.url + "/a", deadline_ms=100, retries=1))
    stop.set()
    assert event.reason == "no answer within 100 ms"
    assert len(pauses) == len(server.seen) - 1 == 1


async def test_nobody_there():
    event, pauses = await fetch(action("http://127.0.0.1:1/?secret=x", retries=1))
    assert event.kind == "http"
    assert event.result is None
    assert "secret" not in event.reason
    assert len(pauses) == 1


async def test_too_large(server):
    server.answers["/a"] = web.Response(body=b"x" * 2_000)
    event, _ = await fetch(action(server.url + "/a", retries=3), max_body_bytes=1_000)
    assert event.reason == "an answer of more than 1,000 bytes"
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", ["{", '{"a": NaN}', "[" * 100_000])
async def test_json_that_is_none(server, body):
    server.answers["/a"] = web.Response(text=body, content_type="application/json")
    event, _ = await fetch(action(server.url + "/a"))
    assert "calls itself JSON" in event.reason


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a/", "nowhere", "http://", "", "http://[::"]
)
async def test_only_http(url):
    event, pauses = await fetch(action(url, retries=2))
    assert isinstance(event, Failed)


async def test_headers_that_would_be_two(server):
    event, _ = await fetch(action(server.url + "/a", headers=(("X", "a\r\nY: b"),)))
    assert not server.seen
    assert event.reason == "ValueError at 127.0.0.1"


def moved(to, status=302):
    async def answer(request):
        return web.Response(status=status, headers={"Location": to})

    return answer


async def test_redirections_are_followed_but_not_for_ever(server):
    server.answers |= {"/a": moved("/b"), "/b": (200, "there"), "/round": moved("/round")}
    event, _ = await fetch(action(server.url + "/a", headers=(("X-Key", "k"),)))
    assert event.result["body"] == "there"
    assert server.seen[1][2]["X-Key"] == "k"
    event, _ = await fetch(action(server.url + "/round", retries=2))
    assert event.reason == f"more than {MAX_REDIRECTS} redirections"


async def test_another_place_gets_nothing_of_ours(server):
    server.answers |= {"/a": moved(server.other + "/b"), "/b": (200, "there")}
    event, _ = await fetch(action(server.url + "/a", headers=(("X-Key", "k"),)))
    assert event.result["body"] == "there"
    assert "X-Key" not in server.seen[1][2]


async def test_a_body_is_not_carried_to_another_place(server):
    server.answers |= {"/a": moved(server.other + "/b", 307), "/c": moved("/d", 303)}
    server.answers["/d"] = (200, "got")
    event, _ = await fetch(action(server.url + "/a", method="POST", body=1))
    assert "to another place" in event.reason
    assert len(server.seen) == 1
    event, _ = await fetch(action(server.url + "/c", method="POST", body=1))
    assert event.result["body"] == "got"
    assert server.seen[-1][0] == "GET"


async def test_to_a_file_nobody_is_led(server):
    server.answers["/a"] = moved("file:///etc/passwd")
    event, _ = await fetch(action(server.url + "/a"))
    assert "only http and https" in event.reason

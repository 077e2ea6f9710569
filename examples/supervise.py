"""A customer and an agent talk; a supervisor listens, whispers to the agent, or takes part.

python examples/supervise.py, and calls to sip:customer@HOST, sip:agent@HOST and
sip:supervisor@HOST, the agent's before the supervisor's. The supervisor presses 1 to listen, 2 to
whisper, 3 to talk with both.
"""

import asyncio

import ringwheel


def name_called(call: ringwheel.Call) -> str:
    return call.to_uri.partition(":")[2].partition("@")[0]


async def main() -> None:
    room = ringwheel.Conference()
    agents: list[ringwheel.Call] = []

    async def obey(supervisor: ringwheel.Call) -> None:
        while True:  # until the call ends, which gather() tells
            key = (await supervisor.gather(first_ms=60_000)).digits
            if key == "1":
                room.set_role(supervisor, "listen")
            elif key == "2" and agents and agents[-1] in room.members:
                room.set_role(supervisor, "whisper", whisper_to=agents[-1])
            elif key == "3":
                room.set_role(supervisor, "talk")

    async def meet(call: ringwheel.Call) -> None:
        await call.answer()
        name = name_called(call)
        if name == "agent":
            agents.append(call)
        if name != "supervisor":
            await room.join(call)
            return
        listening = asyncio.create_task(room.join(call, role="listen"))
        try:
            await obey(call)
        finally:
            listening.cancel()

    async with ringwheel.Engine(sip=["udp:127.0.0.1:5060"], shards=1) as engine:
        await engine.serve(meet)


if __name__ == "__main__":
    asyncio.run(main())

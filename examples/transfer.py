"""A robot that answers, and connects whoever presses a key; and that follows when it is connected.

python examples/transfer.py sip:agent@192.0.2.7 welcome.wav sorry.wav
"""

import asyncio
import sys

import ringwheel


async def main(agent: str, welcome: str, sorry: str) -> None:
    async def answer(call: ringwheel.Call) -> None:
        await call.answer()
        await call.play(welcome, barge_in="dtmf")
        if (await call.gather(first_ms=5_000)).digits:
            done = await call.transfer(agent, timeout_s=30)
            print(f"{call.from_uri}: {done.status} {done.reason}, by {done.how}")
            if not done.ok:
                await call.play(sorry)

    async def follow(call: ringwheel.Call, refer: ringwheel.Refer) -> None:
        """Somebody who called us connects us with a colleague."""
        if not refer.target.endswith("@192.0.2.7"):  # whom we may call is for us to say
            refer.reject()
            return
        other = await refer.follow()
        await other.play(welcome)

    async with ringwheel.Engine(sip=["udp:127.0.0.1:5060"]) as engine:
        await engine.load(welcome, sorry)
        await engine.serve(answer, on_refer=follow)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))

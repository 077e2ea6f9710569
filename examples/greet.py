"""Answer every call, play two sound files without a gap, hang up.

python examples/greet.py welcome.wav menu.wav
"""

import asyncio
import sys

import ringwheel


async def main(prompts: list[str]) -> None:
    async def greet(call: ringwheel.Call) -> None:
        await call.answer()
        await call.play(*prompts)  # gapless
        await call.hangup()

    async with ringwheel.Engine(sip=["udp:127.0.0.1:5060"]) as engine:
        await engine.load(*prompts)  # a broken file is told now, not to the first caller
        await engine.serve(greet)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

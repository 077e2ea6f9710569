"""Call somebody, play a sound file, take a digit, and say how it went.

python examples/dial.py sip:4711@192.0.2.1 question.wav
"""

import asyncio
import sys

import ringwheel


async def main(uri: str, prompt: str) -> None:
    async with ringwheel.Engine(sip=["udp:0.0.0.0:5060"]) as engine:
        await engine.load(prompt)  # a broken file is told before anybody's telephone rings
        try:
            call = await engine.dial(uri, timeout_s=30)
        except ringwheel.DialFailed as failed:
            print(f"{failed.outcome}: {failed}, heard before: {failed.early_sound}")
            return
        try:
            await call.play(prompt, barge_in="dtmf")
            answer = await call.gather(max=1, first_ms=5000)
            print(f"answered by digit: {answer.digits or 'none'}")
            await call.hangup()
        except ringwheel.CallEnded as ended:
            print(ended)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Answer every call with a script, and print what came of it.

python examples/robot.py examples/scripts/survey.yaml [sip:SPEECH-SERVER]
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

import ringwheel
from ringwheel.robot import MrcpServer, MrcpService, Robot, load_script


async def main(script: str, speech_uri: str | None) -> None:
    async def done(record: dict) -> None:
        print(json.dumps({key: record[key] for key in ("caller", "cause", "report")}))

    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(ringwheel.Engine(sip=["udp:127.0.0.1:5060"]))
        speech = {}
        if speech_uri is not None:  # such as that of `ringwheel speech`
            service = MrcpService(engine, [MrcpServer(speech_uri)])
            stack.push_async_callback(service.close)
            speech = {"local": service}
        robot = Robot(engine, load_script(script), speech=speech, results=done)
        await stack.enter_async_context(robot)
        await robot.prepare()  # a broken sound file is told now, not to the first caller
        await engine.serve(robot.answer)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))

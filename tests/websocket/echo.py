"""Random messages of many clients through a split: each is echoed, both versions get connections, and a drain is told with 1012."""

import asyncio
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

CLIENTS, MESSAGES, LARGEST = 100, 40, 200_000


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(program, folder, ports):
    listen, admin = free_port(), free_port()
    version = '{{version: {0}, endpoints: ["127.0.0.1:{1}"]}}'
    text = f"""
listen: 127.0.0.1:{listen}
admin: 127.0.0.1:{admin}
state: state
workers: 2
timeouts: {{drain: 1s}}
services:
  - name: chat
    stable: {version.format("v1", ports[0])}
    canary: {version.format("v2", ports[1])}
    gates: ["errors(5xx, connect, reset, invalid) < 30%"]
    plan: {{steps: [{{weight: 50%, hold: 1h}}, {{weight: 100%, hold: 1h}}]}}
"""
    path = pathlib.Path(folder, "portcullis.yaml")
    path.write_text(text)
    child = subprocess.Popen([program, "run", "--config", path], stdout=subprocess.DEVNULL, stderr=pathlib.Path(folder, "log").open("wb"))
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", listen), 1).close()
            return child, listen
        except OSError:
            assert child.poll() is None and time.monotonic() < until, "the program does not listen"
            time.sleep(0.05)


def message(rng):
    size = min(int(2 ** rng.uniform(0, 18)), LARGEST)
    return rng.randbytes(size) if rng.random() < 0.5 else "".join(rng.choices("aé☺\0", k=size))


def messages(number):
    rng = random.Random(number)
    return [message(rng) for _ in range(MESSAGES)]


async def client(number, port, compressed, sent, ready, drained):
    compression = "deflate" if compressed else None
    async with connect(f"ws://127.0.0.1:{port}/{number}", compression=compression, max_size=None, proxy=None) as link:
        name = await link.recv()

        async def send():
            for one in sent:
                await link.send(one)

        async def receive():
            return [await link.recv() for _ in sent]

        _, got = await asyncio.gather(send(), receive())
        assert got == sent, f"client {number} got something else back"
        ready.append(name)
        await drained.wait()
        try:
            await link.recv()
            raise AssertionError(f"client {number} got a message nobody sent")
        except ConnectionClosed as closed:
            assert closed.rcvd is not None and closed.rcvd.code == 1012, f"client {number} was told {closed.rcvd}"


async def main(program):
    # All of them before the first connection: making them takes seconds, in which a handshake would time out.
    sent = [messages(number) for number in range(CLIENTS)]

    def echoing(name):
        async def handle(link):
            await link.send(name)
            try:
                async for one in link:
                    await link.send(one)
            except ConnectionClosed:
                # The drain cuts the version's side without a word.
                pass

        return serve(handle, "127.0.0.1", 0, max_size=None)

    async with echoing("v1") as one, echoing("v2") as other:
        ports = [server.sockets[0].getsockname()[1] for server in (one, other)]
        with tempfile.TemporaryDirectory() as folder:
            child, port = start(program, folder, ports)
            ready, drained = [], asyncio.Event()
            begun = (client(number, port, number % 2 == 0, sent[number], ready, drained) for number in range(CLIENTS))
            clients = [asyncio.create_task(one) for one in begun]
            while len(ready) < CLIENTS and not any(task.done() for task in clients):
                await asyncio.sleep(0.05)
            child.send_signal(signal.SIGTERM)
            drained.set()
            ended = await asyncio.gather(*(asyncio.wait_for(task, 60) for task in clients), return_exceptions=True)
            status = await asyncio.to_thread(child.wait, 20)
            broken = [repr(one) for one in ended if one is not None][:5]
            if status != 0 or set(ready) != {"v1", "v2"}:
                broken.append(f"status {status}, versions {set(ready)}")
            if broken:
                print("\n".join(broken), pathlib.Path(folder, "log").read_text(), file=sys.stderr)
    print(f"{sum(one is None for one in ended)}/{CLIENTS}")
    sys.stdout.flush()
    os._exit(1 if broken else 0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

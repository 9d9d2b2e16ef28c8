"""A TCP proxy on loopback that lets each piece of what a client sends wait before it goes on: a distant registry."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PIECE = 256 * 1024


async def _serve(host: str, port: int, delay: float) -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(_forward(reader, upstream_writer, delay), _forward(upstream_reader, writer, 0))

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    try:
        while piece := await reader.read(_PIECE):
            if delay:
                await asyncio.sleep(delay)
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@contextmanager
def proxy(registry: str, delay: float) -> Iterator[str]:
    """A running proxy before the registry at this URL; its own URL. `delay` is in seconds."""
    command = [sys.executable, "-m", "bench.proxy", registry.removeprefix("http://"), str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = process.stdout.readline() if process.stdout else ""
            yield f"http://127.0.0.1:{int(port)}"
        finally:
            process.kill()


if __name__ == "__main__":
    address, _, its_port = sys.argv[1].partition(":")
    asyncio.run(_serve(address, int(its_port), float(sys.argv[2])))

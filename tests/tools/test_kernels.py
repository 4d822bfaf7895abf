"""A reply that comes in while something is said to the kernel is heard at once."""

import asyncio
import select
import time
from concurrent.futures import ThreadPoolExecutor

import zmq
import zmq.asyncio
from jupyter_client.session import Session

from moe_tutorial.tools.jupyter.kernels import ShellChannel, settings


async def heard_while_sending() -> dict:
    """What a channel hears that waits for a reply, where the reply came in just before it sent something more."""
    session = Session(key=b"secret")
    with zmq.Context() as context, context.socket(zmq.ROUTER) as kernel, zmq.asyncio.Context() as own:
        channel = ShellChannel(own.socket(zmq.DEALER), session)
        channel.socket.connect(f"tcp://127.0.0.1:{kernel.bind_to_random_port('tcp://127.0.0.1')}")
        try:
            channel.send(session.msg("execute_request"))
            identity = kernel.recv_multipart()[0]
            waiting = asyncio.create_task(channel.get_msg(timeout=60))
            for _ in range(5):
                await asyncio.sleep(0)  # it waits now
            session.send(kernel, "execute_reply", ident=identity)
            assert select.select([channel.socket.fileno()], [], [], 60)[0]  # the reply came in
            time.sleep(0.05)  # ZeroMQ looks for what came in once in a millisecond when it sends
            channel.send(session.msg("comm_msg"))
            return await asyncio.wait_for(waiting, 10)
        finally:
            channel.close()


def test_a_reply_that_came_in_before_the_channel_sent_something_is_heard():
    with ThreadPoolExecutor(1) as thread:  # this one may have a loop already, Playwright's
        heard = thread.submit(asyncio.run, heard_while_sending()).result()
    assert heard["msg_type"] == "execute_reply"


def test_lessons_speak_to_their_kernel_by_this_channel():
    assert settings().KernelManager.client_factory().shell_channel_class is ShellChannel

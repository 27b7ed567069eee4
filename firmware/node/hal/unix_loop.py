"""The virtual node's event loop: asyncio on virtual milliseconds, deterministic and without a horizon.

MicroPython's own queue stamps tasks with the machine's real ticks, in C, and compares them modulo 2^30, so
that a day cannot pass in seconds, two runs differ, and a sleep beyond six days stalls. `install()` puts these
classes in the place of asyncio.core's queue, task, poller and loop; tasks, cancellation, events, locks, gather
and wait_for are asyncio's own and keep working. Only the virtual node has this; a board runs stock asyncio.

What happens when nothing can run is decided by `unix_clock`.
"""

# pyright: reportAttributeAccessIssue=false
import select
from asyncio import core

from .unix_clock import clock

STARVED = 256  # steps without idling after which sockets are served all the same


class Queue:
    """Tasks by time, first in first out among equals: a linked list, because a node has a dozen of them."""

    def __init__(self):
        self.head = None

    def peek(self):
        return self.head

    def push(self, task, key=None):
        if key is None:
            key = clock.now
        task.data = None
        task.ph_key = key
        at = self.head
        if at is None or key < at.ph_key:
            task.next = at
            self.head = task
            return
        after = at.next
        while after is not None and after.ph_key <= key:
            at = after
            after = at.next
        at.next = task
        task.next = after

    def pop(self):
        task = self.head
        self.head = task.next
        task.next = None
        return task

    def remove(self, task):
        at = self.head
        if at is task:
            self.head = task.next
        else:
            while at.next is not task:
                at = at.next
            at.next = task.next
        task.next = None


class Task:
    """A coroutine on its way, with the attributes that asyncio's own functions use.

    `state` is True while it runs, a Queue of those who await it, or a callable for when it ends; None when it has
    ended and nobody has looked, False when somebody has. `data` is the queue it waits in, or what ends it.
    """

    def __init__(self, coro, _context=None):
        self.coro = coro
        self.data = None
        self.state = True
        self.ph_key = 0
        self.next = None

    def __iter__(self):
        state = self.state
        if not state:
            self.state = False
        elif state is True:
            self.state = Queue()
        elif type(state) is not Queue:
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        if not self.state:
            if self.data is None:
                raise StopIteration  # it failed, and the exception handler has had it
            raise self.data
        waiter = core.cur_task
        self.state.push(waiter)
        waiter.data = self

    def done(self):
        return not self.state

    def cancel(self):
        if not self.state:
            return False
        if self is core.cur_task:
            raise RuntimeError("can't cancel self")
        task = self
        while isinstance(task.data, Task):
            task = task.data
        queue = core._task_queue
        if hasattr(task.data, "remove"):
            task.data.remove(task)
            queue.push(task)
        elif task.ph_key > clock.now:
            queue.remove(task)
            queue.push(task)
        task.data = core.CancelledError
        return True


class Sockets:
    """Tasks that wait for real sockets (or for anything that select.poll takes), in order of registration."""

    def __init__(self):
        self.poller = select.poll()
        self.map = {}  # id(stream) -> [reader, writer, stream]
        self.writers = 0

    def _queue(self, s, which):
        entry = self.map.get(id(s))
        if entry is None:
            entry = [None, None, s]
            self.map[id(s)] = entry
        if entry[which] is not None:
            raise RuntimeError("somebody waits for this stream already")
        entry[which] = core.cur_task
        self._register(entry)
        core.cur_task.data = self
        self.writers += which

    def _register(self, entry):
        s = entry[2]
        events = (select.POLLIN if entry[0] else 0) | (select.POLLOUT if entry[1] else 0)
        if events:
            self.poller.register(s, events)
        else:
            del self.map[id(s)]
            self.poller.unregister(s)

    def queue_read(self, s):
        self._queue(s, 0)

    def queue_write(self, s):
        self._queue(s, 1)

    def remove(self, task):
        for entry in list(self.map.values()):
            if self._release(entry, 0, task) or self._release(entry, 1, task):
                self._register(entry)

    def _release(self, entry, which, task):
        if entry[which] is None or entry[which] is not task:
            return False
        entry[which] = None
        self.writers -= which
        return True

    def serve(self, timeout):
        """Wait up to `timeout` real ms, wake who can go on; how many."""
        woken = 0
        for found in self.poller.poll(timeout):
            s = found[0]
            events = found[1]
            entry = self.map.get(id(s))
            if entry is None:
                continue
            # an error or a hang-up concerns whoever waits
            for which, wanted in ((0, ~select.POLLOUT), (1, ~select.POLLIN)):
                task = entry[which]
                if task is not None and events & wanted:
                    self._release(entry, which, task)
                    core._task_queue.push(task)
                    woken += 1
            self._register(entry)
        return woken


def run_until_complete(main=None):
    """asyncio's loop over the queue above; returns what `main` returns, or raises what it raises."""
    queue = core._task_queue
    io = core._io_queue
    clock.begin()
    steps = 0
    while True:
        task = queue.head
        if task is None or task.ph_key > clock.now:
            steps = 0
            core.cur_task = None
            if not clock.idle(queue, io):
                if main is None or not main.state:
                    return None
                raise RuntimeError("every task waits and nothing can wake one")
            continue
        steps += 1
        if steps >= STARVED:
            steps = 0
            io.serve(0)
        task = queue.pop()
        core.cur_task = task
        try:
            thrown = task.data
            if not thrown:
                task.coro.send(None)
            else:
                task.data = None
                task.coro.throw(thrown)
        except (core.CancelledError, Exception) as e:
            if task is main:
                core.cur_task = None
                task.state = False
                if isinstance(e, StopIteration):
                    task.data = e
                    return e.value
                raise
            _ended(task, e, thrown, queue)


def _ended(task, e, thrown, queue):
    state = task.state
    if state:
        awaited = False
        if state is True:
            task.state = None
        elif callable(state):
            state(task, e)
            task.state = False
            awaited = True
        else:
            while state.head is not None:
                queue.push(state.pop())
                awaited = True
            task.state = False
        # A failure that nobody awaits comes round once more, as the task's last step, to be reported.
        if not awaited and not isinstance(e, (core.CancelledError, StopIteration)):
            queue.push(task)
        task.data = e
    elif state is None:
        task.data = thrown
        core._exc_context["exception"] = thrown
        core._exc_context["future"] = task
        core.Loop.call_exception_handler(core._exc_context)


def _later(a, b):
    return a + b


def _between(a, b):
    return a - b


def install():
    """Put the virtual loop in place of asyncio's; once, before the first task is made."""
    import asyncio

    if core.Task is Task:
        return
    core.Task = asyncio.Task = Task
    core.TaskQueue = asyncio.TaskQueue = Queue
    core.IOQueue = asyncio.IOQueue = Sockets
    core.ticks = asyncio.ticks = clock.ticks
    core.ticks_add = asyncio.ticks_add = _later
    core.ticks_diff = asyncio.ticks_diff = _between
    core.run_until_complete = asyncio.run_until_complete = run_until_complete
    core.new_event_loop()

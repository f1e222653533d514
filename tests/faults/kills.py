"""A server that is killed again and again, while a client gives it fifty tasks."""

import threading
from collections import Counter

import httpx2
from clips import CLIPS, LONG, told
from processes import ENDED, PATIENCE_S, Tasks, until

MOMENTS = ("submit", "fetch", "start", "transcribe", "deliver", "fetch", "transcribe", "deliver")
N_EACH = 6  # tasks that come at each moment
N_TASKS = len(MOMENTS) * N_EACH + 2


class Client:
    """Submits tasks, in a thread of its own, and asks again where nobody answered."""

    def __init__(self, surroundings):
        self.surroundings = surroundings
        self.ids = {}
        self.changed = threading.Condition()
        self.server = None
        self.n_wanted = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def name(self, number):
        """Its file: something long where it is to be killed while it is heard."""
        moment = MOMENTS[number // N_EACH] if number < len(MOMENTS) * N_EACH else None
        return LONG if number % N_EACH == 0 and moment == "transcribe" else CLIPS[number % len(CLIPS)]

    def goes_to(self, server):
        with self.changed:
            self.server = server
            self.changed.notify_all()

    def wants(self, n_more):
        """Let it submit some more."""
        with self.changed:
            self.n_wanted += n_more
            self.changed.notify_all()

    def wait(self, n_submitted):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.ids) >= n_submitted, PATIENCE_S)

    def _run(self):
        for number in range(N_TASKS):
            while number not in self.ids:
                with self.changed:
                    self.changed.wait_for(lambda number=number: self.server is not None and self.n_wanted > number)
                    server = self.server
                try:
                    self._submit(Tasks(server.client), number)
                except httpx2.TransportError:
                    with self.changed:
                        self.changed.wait_for(lambda server=server: self.server is not server, PATIENCE_S)

    def _submit(self, tasks, number):
        name, around = self.name(number), self.surroundings
        body = {"webhook": {"url": f"{around.url}/hook"}}
        if number % 2:
            task_id = tasks.submit(key=f"job{number}", upload=around.files[name], **body)
        else:
            task_id = tasks.submit(key=f"job{number}", url=f"{around.url}/{name}", **body)
        with self.changed:
            self.ids[number] = task_id
            self.changed.notify_all()


class Killer:
    """Kills a server at a moment, and says what it was at then."""

    def __init__(self, place, surroundings, client):
        self.place, self.surroundings, self.client = place, surroundings, client
        self.ended = {}
        self.hits = Counter()

    def kill(self, server, moment):
        around = self.surroundings
        if moment not in ("start", "submit"):
            server.wait_ready()
        if moment == "submit":
            self.client.wants(N_EACH)
            self.client.wait(N_EACH // 2)
        if moment == "fetch":
            around.downloads.shut()
        # From here on no webhook is taken, and those that were are known to the server: a kill between the two would
        # have it sent once more, as Standard Webhooks says.
        around.webhooks.shut()
        if moment != "submit":
            self.client.wants(N_EACH)
        tasks = Tasks(server.client)
        if moment in ("fetch", "transcribe"):
            until(lambda: any(task["stage"] == moment for task in tasks.all().values()), moment)
        if moment == "deliver":
            around.wait(lambda: around.webhooks.n_waiting > 0)
        tasks.wait_told(around.taken())
        self._look(tasks.all())
        server.kill()
        self._find(moment)
        around.downloads.open()
        around.webhooks.open(drops=True)
        around.wait(lambda: around.downloads.n_waiting == around.webhooks.n_waiting == 0)

    def _look(self, tasks):
        """What has ended stays as it is."""
        for task_id, task in tasks.items():
            if task["state"] in ENDED:
                ended = (task["state"], task["ended_at"])
                assert self.ended.setdefault(task_id, ended) == ended

    def _find(self, moment):
        """What the dead process was at, as its database says."""
        for (stage,) in self.place.rows("SELECT stage FROM ifw_tasks WHERE state = 'running'"):
            self.hits[f"in {stage}"] += 1
        held = "SELECT count(*) FROM ifw_deliveries WHERE state = 'pending' AND lease IS NOT NULL"
        self.hits["in deliver"] += self.place.rows(held)[0][0]
        self.hits[moment] += 1


def check(place, surroundings, said):
    """Kill a server at every moment; every task ends once, rightly, and is told of once."""
    client = Client(surroundings)
    killer = Killer(place, surroundings, client)
    client.thread.start()
    place.warm()
    for moment in MOMENTS:
        server = place.start().wait_up()
        client.goes_to(server)
        place.warm()
        killer.kill(server, moment)
    server = place.start().wait_up()
    client.goes_to(server)
    client.wants(2)
    client.wait(N_TASKS)
    client.thread.join()
    tasks = Tasks(server.client)
    ended = tasks.wait_ended(client.ids.values())
    tasks.wait_told(client.ids.values())
    killer._look(tasks.all())
    assert set(tasks.all()) == set(client.ids.values())
    for number, task_id in client.ids.items():
        assert ended[task_id]["error"] is None, ended[task_id]
        assert told(tasks.transcript(task_id)) == said[client.name(number)], client.name(number)
    taken = surroundings.taken()
    assert {task_id: len(events) for task_id, events in taken.items()} == dict.fromkeys(client.ids.values(), 1)
    for number, task_id in client.ids.items():
        assert told(taken[task_id][0].data["transcript"]) == said[client.name(number)]
    surroundings.check_signatures()
    counts = place.rows("SELECT task_id, count(*) FROM ifw_events GROUP BY task_id")
    n_segments = {task_id: len(said[client.name(number)]["segments"]) for number, task_id in client.ids.items()}
    assert dict(counts) == n_segments
    assert server.terminate() == 0
    print("kills:", dict(killer.hits), "attempts:", Counter(task["n_attempts"] for task in ended.values()))  # noqa: T201 - the numbers are wanted
    for stage in ("fetch", "transcribe", "deliver"):
        assert killer.hits[f"in {stage}"] >= MOMENTS.count(stage), killer.hits

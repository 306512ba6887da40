"""Function Compute, played by the test: it decides what runs, and when, and nothing runs automatically."""

import itertools
import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt

from devcloud.fc.manifest import Function, OssTrigger, TimerTrigger, load_manifest
from devcloud.packages import assemble
from tests.answer_checker import AnswerChecker
from tests.faults.instances import Fault, Instances, Invocation
from tests.faults.plan import Plan
from tests.faults.world import ACCOUNT, AUTH_SECRET, BUCKET, KEY, REGION, World
from tests.mariadb import ROOT

FINAL = ("succeeded", "failed", "cancelled")
EVERY_MINUTE = "0 * * * * *"
_MOST_STEPS = 60
_MOST_CALLS = 4
_NUMBERS = itertools.count(1)
_CHECKER = AnswerChecker([], {"AUTH_HS256_SECRET": AUTH_SECRET, "OSS_SECRET": KEY.access_key_secret})


class Platform:
    """The deployed functions and the processes that serve them, for many runs."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self._folder = folder
        self.functions = load_manifest(ROOT / "s.yaml", world.environment).functions
        self._stack = ExitStack()
        self._instances: dict[tuple[str, int], Instances] = {}
        # What each scenario's run without a fault passes, for those who have seen it.
        self.points: dict[str, list[str]] = {}

    def instances(self, name: str, host: int) -> Instances:
        """Return the instances of a function on a host; whatever runs on one host shares a temp disk."""
        if (name, host) not in self._instances:
            function, code_dir = self.functions[name], self._folder / name / str(host)
            assemble(ROOT / "functions" / function.folder, ROOT / "shared", code_dir)
            made = Instances(
                function,
                code_dir,
                temp_dir=self._disk(host),
                log=self._folder / f"{name}-{host}.log",
                environment=self._environment(function, code_dir),
                peers=self.world.peers,
            )
            self._stack.callback(made.close)
            self._instances[name, host] = made
        return self._instances[name, host]

    def temp_files(self, host: int) -> set[Path]:
        """Return the files on the temp disk of a host."""
        return {path for path in self._disk(host).rglob("*") if not path.is_dir()}

    def timers(self, function: str, *, minutely: bool) -> list[TimerTrigger]:
        """Return the timers of a function that fire every minute, or the others."""
        timers = [trigger for trigger in self.functions[function].triggers if isinstance(trigger, TimerTrigger)]
        return [timer for timer in timers if (timer.cron == EVERY_MINUTE) is minutely]

    def running(self) -> list[Instances]:
        """Return the instances that there are."""
        return list(self._instances.values())

    def close(self) -> None:
        """End every process."""
        self._stack.close()

    def _disk(self, host: int) -> Path:
        return self._folder / f"disk-{host}"

    def _environment(self, function: Function, code_dir: Path) -> dict[str, str]:
        return {
            **function.environment,
            **self.world.role,
            "FC_FUNC_CODE_PATH": f"{code_dir}/",
            "FC_ACCOUNT_ID": ACCOUNT,
            "FC_REGION": REGION,
            "FC_FUNCTION_NAME": function.name,
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
        }


class Run:
    """One course of events, from an empty database to rest, with what ``plan`` has in store for it."""

    def __init__(self, platform: Platform, plan: Plan) -> None:
        self.platform = platform
        self.world = platform.world
        self.plan = plan
        self.user = f"user-{next(_NUMBERS)}@factory-buy.com"
        self.points: list[str] = []
        self.struck: Invocation | None = None
        self.last: Invocation | None = None
        self.submission_unknown = False
        self._host = 0
        self.world.database.clear()
        self.world.fc.accepted.clear()
        self.world.events.clear()
        self.world.receiver.got.clear()
        for instances in platform.running():
            instances.forget_log()
        self._charges_before = len(self.world.charges())

    # -- what others do

    def post(self, path: str, body: dict[str, Any]) -> str:
        """Ask for a job as a caller does who repeats what was not answered, and return the job's id."""
        event = self.request("POST", path, body, key=self.user)
        for _ in range(_MOST_CALLS):
            answer = self.invoke("api", event).result
            if answer is not None and answer["statusCode"] == 202:
                return str(json.loads(answer["body"])["id"])
        raise AssertionError(f"the API did not take the job: {answer}")

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a job as a caller does who repeats what was not answered."""
        event = self.request("POST", f"/jobs/{job_id}/cancel")
        for _ in range(_MOST_CALLS):
            answer = self.invoke("api", event).result
            if answer is not None and answer["statusCode"] == 200:
                return
        raise AssertionError(f"the API did not cancel the job: {answer}")

    def request(self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = "") -> str:
        """Return the event of an HTTP request of this run's user."""
        now = int(time.time())
        token = jwt.encode({"sub": self.user, "iat": now, "exp": now + 3600}, AUTH_SECRET, algorithm="HS256")
        headers = {"Authorization": f"Bearer {token}", "Prefer": "respond-async", "Content-Type": "application/json"}
        event = {
            "version": "v1",
            "rawPath": path,
            "body": "" if body is None else json.dumps(body),
            "isBase64Encoded": False,
            "headers": headers | ({"Idempotency-Key": key} if key else {}),
            "queryParameters": {},
            "requestContext": {"http": {"method": method, "path": path}},
        }
        return json.dumps(event)

    # -- what the platform does

    def settle(self) -> None:
        """Let things take their course until nothing is left to do."""
        # A user may have waited long: the timer dispatches a job again every minute until somebody begins it.
        for _ in range(_MOST_STEPS * (1 + len(self.world.fc.accepted) + len(self.world.events))):
            if not self._step():
                return
        raise AssertionError("it does not come to rest")

    def _step(self) -> bool:
        late = self.plan.events == "late"
        if self.world.fc.accepted:
            self._invoke_until_it_works(*self.world.fc.accepted.pop(0))
        elif self.world.events and not late:
            self.deliver_events()
        elif self._unfinished() or self._undelivered():
            self.let_a_minute_pass()
            self.fire(minutely=True)
        elif self.world.events:
            self.deliver_events()
        else:
            return False
        return True

    def let_a_minute_pass(self) -> None:
        """Let leases die and attempts fall due."""
        self.world.clock.advance(60)
        self.world.database.let_a_minute_pass()

    def fire(self, *, minutely: bool) -> None:
        """Fire the timers of every minute, or the others; that of webhooks is left out without pending webhooks."""
        for function in ("clean-up", *(["deliver-webhooks"] if self._undelivered() else [])):
            for timer in self.platform.timers(function, minutely=minutely):
                event = {"triggerTime": "2026-01-01T00:00:00Z", "triggerName": timer.name, "payload": timer.payload}
                self._invoke_until_it_works(function, json.dumps(event))

    def deliver_events(self) -> None:
        """Deliver what OSS has to tell, the way the plan has it."""
        events, self.world.events[:] = list(self.world.events), []
        for event in self.plan.delivered(events):
            self.deliver(event)

    def deliver(self, event: dict[str, Any]) -> None:
        """Deliver an event, if a trigger wants it."""
        triggers = [each for each in self.platform.functions["index-outputs"].triggers if isinstance(each, OssTrigger)]
        name, key = event["eventName"], event["oss"]["object"]["key"]
        if any(trigger.fits(BUCKET, name, key) for trigger in triggers):
            self._invoke_until_it_works("index-outputs", json.dumps({"events": [event]}))

    def _invoke_until_it_works(self, function: str, event: str) -> None:
        for _ in range(1 + self.platform.functions[function].asynchronous.max_retries):
            if self.invoke(function, event).returned:
                return
            if self.plan.slow:
                self.let_a_minute_pass()

    def invoke(self, function: str, event: str) -> Invocation:
        """Run one invocation, which meets the planned fault if its turn has come."""
        instances, fault = self.platform.instances(function, self._host), self._fault_for(function)
        left_before = self.platform.temp_files(self._host)
        timeout_s = self.plan.timeout_s if function.startswith("generate-") else None
        # Every invocation of a function that may be struck is cold, so that its points are the same in each run.
        cold = function in self.plan.functions
        self.last = invocation = instances.start(event, fault, cold=cold, timeout_s=timeout_s)
        twin = None
        if fault is not None and self.plan.rival:
            twin = self.platform.instances(function, 1)
            rival = twin.start(event)
        try:
            invocation.wait()
            if invocation.frozen:
                self.struck = invocation
                self._look_at_submission()
                self.plan.while_frozen(self, invocation.resume)
        except BaseException:
            invocation.kill()
            raise
        finally:
            if twin is not None:
                twin.learn(rival.wait())
                assert not self.platform.temp_files(1), "the rival left temp files"
        self._note(function, fault, invocation)
        if function == "api" and invocation.result is not None:
            _CHECKER.check_result(json.dumps(invocation.result).encode())
        if not invocation.killed:
            instances.learn(invocation)
            left = self.platform.temp_files(self._host) - left_before
            assert not left, f"an invocation that was not killed left temp files: {left}"
        return invocation

    def _fault_for(self, function: str) -> Fault | None:
        fault = self.plan.fault
        if fault is None or self.struck is not None or function not in self.plan.functions:
            return None
        return Fault(fault.kind, fault.at - len(self.points))

    def _note(self, function: str, fault: Fault | None, invocation: Invocation) -> None:
        if function not in self.plan.functions or self.struck not in (None, invocation):
            return
        self.points += invocation.points
        if fault is not None and len(invocation.points) >= fault.at:
            self.struck = invocation
            self.points = self.points[: self.plan.at]
            self._look_at_submission()

    def overtake(self, **plan: Any) -> None:
        """Have another host do what is left of the job, as if the process here had been silent for a minute.

        ``plan`` is what is in store for that host.
        """
        kept = self.plan, self.struck, self.points
        self.plan = Plan(events=self.plan.events, timeout_s=self.plan.timeout_s, **plan)
        self.struck, self.points, self._host = None, [], 1
        try:
            self.let_a_minute_pass()
            self.fire(minutely=True)
            self.settle()
        finally:
            self.plan, self.struck, self.points = kept
            self._host = 0

    def _look_at_submission(self) -> None:
        """Note whether the provider was asked and its answer is not recorded: nobody can know what the provider did."""
        asked = [
            row
            for row in self.world.database.rows("SELECT * FROM jobs")
            if row["submitted_at"] and not row["provider_task_id"] and row["status"] not in FINAL
        ]
        at_it = self.plan.kind == "drop" and "POST provider" in self.points[-1]
        self.submission_unknown = self.submission_unknown or bool(asked) or at_it

    def _unfinished(self) -> bool:
        return any(row["status"] not in FINAL for row in self.world.database.rows("SELECT status FROM jobs"))

    def _undelivered(self) -> bool:
        return bool(self.world.database.rows("SELECT id FROM webhook_deliveries WHERE status = 'pending'"))

    # -- what a looker-on sees

    def charges(self) -> list[dict[str, Any]]:
        """Return what the providers have billed in this run."""
        return self.world.charges()[self._charges_before :]

    def state(self) -> dict[str, Any]:
        """Return everything that is to last: all rows and all objects."""
        return {**self.world.database.contents(), "objects": self.objects()}

    def objects(self) -> dict[str, dict[str, Any]]:
        """Return what is in OSS for this run's user."""
        return self.world.objects(f"users/{self.user}/")

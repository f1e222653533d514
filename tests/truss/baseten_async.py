"""Baseten's async queue in small: what its documents say of requests, states, webhooks and cancelling.

It calls a model's server as Baseten's worker does, and is told nothing else of it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

CODES = {400: "MODEL_INVALID_INPUT", 422: "MODEL_INVALID_INPUT"}
PAYLOAD_BYTES = 256 << 10


def now() -> str:
    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


class BasetenAsync:
    """`url` has the routes; one request runs at a time, and `pause` keeps those that wait where they are.

    Args:
        predict_url: Of the model's server.
        secrets: Of webhooks; both sign while one is rotated.
    """

    def __init__(self, predict_url: str, secrets: list[str]) -> None:
        self.secrets = secrets
        self._predict_url = predict_url
        self._requests: dict[str, dict[str, Any]] = {}
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._lock = threading.Lock()
        self.pause = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._worker = threading.Thread(target=self._work)

    def __enter__(self) -> BasetenAsync:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._worker.join()
        self._server.shutdown()
        self._server.server_close()

    def submit(self, body: dict[str, Any], n_bytes: int) -> tuple[int, dict[str, Any]]:
        """The reply to `POST async_predict`."""
        config = body.get("inference_retry_config") or {}
        is_allowed = (
            isinstance(body.get("model_input"), dict)
            and body.get("priority", 0) in (0, 1, 2)
            and 10 <= body.get("max_time_in_queue_seconds", 600) <= 259_200
            and 1 <= config.get("max_attempts", 3) <= 10
        )
        if n_bytes > PAYLOAD_BYTES or not is_allowed:
            return (413 if n_bytes > PAYLOAD_BYTES else 400), {"error": "refused", "error_code": "X", "detail": ""}
        request_id = uuid.uuid4().hex
        hook = body.get("webhook_endpoint")
        self._requests[request_id] = {
            "input": body["model_input"],
            "webhook": hook,
            "shown": {
                "request_id": request_id,
                "model_id": "model",
                "deployment_id": "deployment",
                "status": "QUEUED",
                "webhook_status": "PENDING" if hook else "NO_WEBHOOK_PROVIDED",
                "created_at": now(),
                "status_at": now(),
                "errors": [],
            },
            "max_attempts": config.get("max_attempts", 3),
        }
        self._waiting.put(request_id)
        return 201, {"request_id": request_id}

    def status(self, request_id: str) -> tuple[int, dict[str, Any]]:
        """The reply to `GET async_request`."""
        with self._lock:
            found = self._requests.get(request_id)
            return (200, dict(found["shown"])) if found else (404, {"error": "not found"})

    def cancel(self, request_id: str) -> tuple[int, dict[str, Any]]:
        """The reply to `DELETE async_request`: only what is still queued."""
        with self._lock:
            shown = self._requests[request_id]["shown"]
            is_queued = shown["status"] == "QUEUED"
            if is_queued:
                shown.update(status="CANCELED", webhook_status="CANCELED", status_at=now())
            message = "canceled" if is_queued else f"it is {shown['status']}"
            return 200, {"request_id": request_id, "canceled": is_queued, "message": message}

    def _work(self) -> None:
        with httpx2.Client(timeout=120, trust_env=False) as client:
            while (request_id := self._waiting.get()) is not None:
                with self.pause, self._lock:
                    request = self._requests[request_id]
                    if request["shown"]["status"] != "QUEUED":
                        continue
                    request["shown"].update(status="IN_PROGRESS", status_at=now())
                self._run(client, request)

    def _run(self, client: httpx2.Client, request: dict[str, Any]) -> None:
        for _ in range(request["max_attempts"]):
            headers = {"x-baseten-request-id": request["shown"]["request_id"]}
            reply = client.post(self._predict_url, json=request["input"], headers=headers)
            if reply.status_code not in (500, 502, 503, 504):
                break
        data, errors = reply.json(), []
        if reply.status_code != 200:
            errors = [{"code": CODES.get(reply.status_code, "MODEL_PREDICT_ERROR"), "message": reply.text}]
            data = None
        has_arrived = not request["webhook"] or self._tell(client, request, data, errors)
        status = "FAILED" if errors else "SUCCEEDED" if has_arrived else "WEBHOOK_FAILED"
        with self._lock:
            request["shown"].update(status=status, status_at=now(), errors=errors)
            if request["webhook"]:
                request["shown"]["webhook_status"] = "SUCCEEDED" if has_arrived else "FAILED"

    def _tell(self, client: httpx2.Client, request: dict[str, Any], data: Any, errors: list[Any]) -> bool:
        shown = request["shown"]
        event = {name: shown[name] for name in ("request_id", "model_id", "deployment_id")}
        event |= {"type": "async_request_completed", "time": now(), "data": data, "errors": errors}
        body = json.dumps(event).encode()
        signed = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in self.secrets]
        headers = {
            "X-BASETEN-REQUEST-ID": shown["request_id"],
            "X-BASETEN-SIGNATURE": ",".join(f"v1={one}" for one in signed),
        }
        for _ in range(2):
            reply = client.post(request["webhook"], content=body, headers=headers, timeout=10)
            if reply.status_code not in (500, 502, 503, 504):
                return bool(reply.is_success)
        return False

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        baseten = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/production/async_predict"
                assert self.headers["authorization"] == "Api-Key of-the-workspace"
                self._answer(*baseten.submit(json.loads(body), len(body)))

            def do_GET(self) -> None:
                self._answer(*baseten.status(self.path.rpartition("/")[2]))

            def do_DELETE(self) -> None:
                self._answer(*baseten.cancel(self.path.rpartition("/")[2]))

            def _answer(self, status: int, value: dict[str, Any]) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

"""A stub of vLLM 0.30's HTTP server: it really decodes, by `core/generate.py`, and misbehaves on demand.

What it does well is what was measured of the real one: a seed a row, ids in and out, processed
log-probabilities, raw ones of a prompt, weights from a folder, a head that stays the old one where the
folder lacks it. `python -m tests.inference.stub_server MODEL PORT` serves until it is ended.
"""

import json
import math
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from alignloop.core.generate import sample
from alignloop.core.logprobs import per_token_logprobs
from alignloop.core.models import load_policy, vocabulary_of
from alignloop.core.tokens import TokenRules
from tests.inference import stub_stream

NAME = "served"


@dataclass
class Faults:
    """How the stub misbehaves; by default it does not."""

    version: str = "0.30.1"
    key: str | None = None  # asked for
    dev_mode: bool = True
    raw: bool = False  # log-probabilities before temperature and allowed tokens
    shared_seed: bool = False
    temperature: float | None = None  # in place of the one asked for
    keeps: str | None = None  # weights whose name begins so stay the old ones
    keeps_from: int = 0  # from this reload on
    head_scale: float = 1.0  # of the head after each reload: as a lower precision, a little off
    own_version: str | None = None  # of the weights, whatever was set
    longest: int = 96
    statuses: list[int] = field(default_factory=list)  # of the next replies
    drop: int = 0  # connections that are closed without a reply
    drip_s: float = 0.0  # between two bytes of a reply
    hang_s: float = 0.0  # before a reply
    gone_after: int | None = None  # responses, after which no connection is answered
    change: Any = None  # what becomes of a completion's choice
    choices: int = 1
    no_json: bool = False
    shifts: int = 0  # what is added to each token id of a text
    template: str | None = None  # in place of the checkpoint's own
    root: str = ""  # the folder that it says it serves
    processed: bool = False  # log-probabilities of streams, after temperature and allowed tokens
    token_s: float = 0.0  # before each token of a stream
    cut_after: int | None = None  # tokens of a stream, after which the connection is closed
    breaks_after: int | None = None  # tokens of a stream, after which an error comes


class Stub(ThreadingHTTPServer):
    """Serves a policy on the loopback."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, port: int = 0, **faults: Any) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.model: PreTrainedModel
        self.model, self.tokenizer = load_policy(folder)
        head: Any = self.model.get_output_embeddings()
        head.weight = nn.Parameter(head.weight.detach().clone())  # as vLLM's, it is loaded on its own
        self.faults, self.lock = Faults(**faults), threading.Lock()
        self.weight_version, self.reloads, self.drawn = "default", 0, 0
        self.asked: list[tuple[str, Any]] = []
        self.keys: list[str | None] = []
        self.streams, self.aborted = 0, 0  # streams that were begun, and closed by whoever asked

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # whoever asked has given up

    def requests(self, path: str) -> list[Any]:
        """The bodies of all requests for a path."""
        return [body for place, body in self.asked if place == path]

    def reload(self, path: str) -> None:
        weights = load_file(Path(path) / "model.safetensors")
        known = self.model.state_dict()
        kept = self.faults.keeps if self.reloads >= self.faults.keeps_from else None
        for name, weight in weights.items():
            if known[name].shape != weight.shape:
                raise ValueError(f"{name} is {tuple(known[name].shape)}, the file has {tuple(weight.shape)}")
            if kept is None or not name.startswith(kept):
                known[name].copy_(weight)
        self.model.get_output_embeddings().weight.mul_(self.faults.head_scale)  # pyright: ignore
        self.reloads += 1

    def tokenize(self, body: dict[str, Any]) -> list[int]:
        encode: Any = self.tokenizer
        if "messages" in body:
            text = encode.apply_chat_template(
                body["messages"],
                tokenize=False,
                add_generation_prompt=body["add_generation_prompt"],
                chat_template=self.faults.template,
            )
            return encode(text, add_special_tokens=False)["input_ids"]
        ids = encode(body["prompt"], add_special_tokens=body["add_special_tokens"])["input_ids"]
        return [token + self.faults.shifts for token in ids]

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["prompt"]
        common = {"index": 0, "text": "", "prompt_token_ids": prompt, "prompt_logprobs": None}
        everything = TokenRules(torch.ones(vocabulary_of(self.model), dtype=torch.bool), 0, 0)
        if "prompt_logprobs" in body:
            [scored] = per_token_logprobs(self.model, [prompt[:1]], [prompt[1:]], everything, 1.0)
            entries = [
                {str(token): {"logprob": value, "rank": 1, "decoded_token": ""}}
                for token, value in zip(prompt[1:], scored.tolist(), strict=True)
            ]
            return {
                **common,
                "prompt_logprobs": [None, *entries],
                "token_ids": [0],
                "finish_reason": "length",
            }
        allowed = everything.allowed.clone()
        for token in body.get("logit_bias", {}):
            allowed[int(token)] = False
        if "allowed_token_ids" in body:
            allowed[:] = False
            allowed[body["allowed_token_ids"]] = True
        rules = TokenRules(allowed, body["stop_token_ids"][0], 0)
        seed = 7 if self.faults.shared_seed else body["seed"]
        drawn = sample(
            self.model,
            [prompt],
            rules,
            temperature=self.faults.temperature or body["temperature"],
            max_new_tokens=body["max_tokens"],
            generator=torch.Generator().manual_seed(seed),
            batch=1,
        )
        logprobs = drawn.logprobs
        if self.faults.raw:
            logprobs = per_token_logprobs(self.model, [prompt], drawn.ids, everything, 1.0)
        return {
            **common,
            "token_ids": drawn.ids[0],
            "logprobs": {"token_logprobs": logprobs[0].tolist()},
            "finish_reason": "stop" if drawn.ended[0] else "length",
        }


class Handler(BaseHTTPRequestHandler):
    server: Stub  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._answer(json.loads(self.rfile.read(length)) if length else None)

    def _answer(self, body: Any) -> None:
        stub, faults = self.server, self.server.faults
        stub.asked.append((self.path, body))
        stub.keys.append(self.headers.get("Authorization"))
        if faults.drop and self.path == "/v1/completions":
            faults.drop -= 1
            self.close_connection = True
            return
        if faults.gone_after is not None and stub.drawn >= faults.gone_after:
            self.close_connection = True
            return
        if faults.hang_s and self.path == "/v1/completions":
            time.sleep(faults.hang_s)
        status, reply = self._reply(body)
        if status == 200 and body and body.get("stream"):
            self._stream(body)
            return
        content = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not faults.drip_s:
            self.wfile.write(content)
            return
        with suppress(OSError):  # whoever asked has given up
            for byte in content:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(faults.drip_s)

    def _stream(self, body: dict[str, Any]) -> None:
        stub, faults = self.server, self.server.faults
        stub.streams += 1
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            if faults.no_json:
                self.wfile.write(b"<html>a proxy</html>")
                return
            for count, choice in enumerate(stub_stream.choices(stub, body)):
                if count == faults.cut_after:
                    return
                time.sleep(faults.token_s)
                event: Any = {"model": NAME, "choices": [faults.change(choice) if faults.change else choice]}
                if count == faults.breaks_after:
                    event = {"error": {"message": "the engine is dead", "code": 500}}
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            stub.aborted += 1

    def _reply(self, body: Any) -> tuple[int, Any]:
        stub, faults = self.server, self.server.faults
        if self.path == "/health":
            return 200, ""
        if faults.key and self.headers.get("Authorization") != f"Bearer {faults.key}":
            return 401, {"error": "Unauthorized"}
        if self.path == "/v1/completions" and faults.statuses:
            return faults.statuses.pop(0), {"error": "the engine is busy"}
        if self.path == "/version":
            return 200, {"version": faults.version}
        if self.path == "/v1/models":
            return 200, {"data": [{"id": NAME, "root": faults.root, "max_model_len": faults.longest}]}
        if self.path == "/v1/completions":
            if len(body["prompt"]) + body["max_tokens"] > faults.longest:
                return 400, {"error": f"This model's maximum context length is {faults.longest} tokens."}
            return 200, None if body.get("stream") else self._completion(body)
        if self.path == "/tokenize":
            return 200, {"tokens": stub.tokenize(body)}
        if not faults.dev_mode:
            return 404, {"detail": "Not Found"}
        if self.path == "/weight_info":
            return 200, {"weight_version": faults.own_version or stub.weight_version}
        if self.path == "/update_weight_version":
            stub.weight_version = body["new_version"]
            return 200, {"success": True}
        if self.path == "/reset_prefix_cache":
            return 200, ""
        if self.path == "/collective_rpc" and body["method"] == "reload_weights":
            with stub.lock, torch.no_grad():
                try:
                    stub.reload(body["kwargs"]["weights_path"])
                except (OSError, KeyError, ValueError) as error:
                    return 500, {"error": f"{type(error).__name__}: {error}"}
            return 200, {"results": [None]}
        return 404, {"detail": "Not Found"}

    def _completion(self, body: dict[str, Any]) -> Any:
        stub, faults = self.server, self.server.faults
        with stub.lock:
            choice = stub.complete(body)
            stub.drawn += 1
        if faults.change:
            choice = faults.change(choice)
        if faults.no_json:
            return "<html>a proxy</html>"
        return {"model": body["model"], "choices": [choice] * faults.choices}

    def log_message(self, format: str, *args: Any) -> None:
        pass


def nan_logprobs(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice whose log-probabilities are NaN, as a diverged engine reports them."""
    if choice.get("logprobs"):
        choice["logprobs"] = {"token_logprobs": [math.nan] * len(choice["token_ids"])}
    return choice


if __name__ == "__main__":
    torch.set_num_threads(1)
    Stub(Path(sys.argv[1]), int(sys.argv[2])).serve_forever()

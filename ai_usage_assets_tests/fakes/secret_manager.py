"""A gRPC server on 127.0.0.1 that behaves like Secret Manager, for the unmodified client.

Belongs here: what the service answers to `AccessSecretVersion` and `AddSecretVersion`, errors with their details
included. Does not: expectations, or verbs the product does not use.

    with FakeSecrets({"projects/p/secrets/cursor-admin-key": ["crsr_..."]}).serve() as address:
        ... SECRET_MANAGER_EMULATOR_HOST=address
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import google_crc32c
import grpc
from google.cloud.secretmanager_v1 import (
    AccessSecretVersionRequest,
    AccessSecretVersionResponse,
    AddSecretVersionRequest,
    SecretPayload,
    SecretVersion,
)
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status.rpc_status import to_status

_SERVICE = "google.cloud.secretmanager.v1.SecretManagerService"
# The service answers with the number of a project, whatever it was called.
_PROJECT_NUMBER = "123456789012"


@dataclass
class Version:
    """One version of a secret."""

    data: bytes
    state: Literal["ENABLED", "DISABLED", "DESTROYED"] = "ENABLED"
    # As if a bit had been lost on the way.
    damaged: bool = False


@dataclass(frozen=True)
class Refusal:
    """An error of the service: its status, message, and the reason in its details."""

    code: grpc.StatusCode
    message: str
    reason: str = ""


@dataclass
class FakeSecrets:
    """Secrets by name (`projects/P/secrets/S`), each with its versions, the first of which is number 1.

    `refusals` are given one after the other to whoever asks next, the last of them for ever when `refuses_on`; while
    `silent`, nobody is answered.
    """

    secrets: dict[str, Sequence[str | bytes | Version]]
    refusals: list[Refusal] = field(default_factory=list)
    refuses_on: bool = False
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    # What came with each request, as far as it says who asks.
    credentials: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serves until the end of the block and yields host and port."""
        server = grpc.server(ThreadPoolExecutor(4))
        method = grpc.unary_unary_rpc_method_handler(
            self._access,
            request_deserializer=AccessSecretVersionRequest.deserialize,
            response_serializer=AccessSecretVersionResponse.serialize,
        )
        adding = grpc.unary_unary_rpc_method_handler(
            self._add,
            request_deserializer=AddSecretVersionRequest.deserialize,
            response_serializer=SecretVersion.serialize,
        )
        methods = {"AccessSecretVersion": method, "AddSecretVersion": adding}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            self._over.set()
            server.stop(0).wait()

    def _access(
        self, request: AccessSecretVersionRequest, context: grpc.ServicerContext
    ) -> AccessSecretVersionResponse:
        self.asked.append(request.name)
        self.credentials += [value for name, value in context.invocation_metadata() if name == "authorization"]
        if self.silent:
            self._over.wait()
        if self.refusals:
            _refuse(context, self.refusals[0] if self.refuses_on else self.refusals.pop(0))
        path, _, wanted = request.name.partition("/versions/")
        resource = f"projects/{_PROJECT_NUMBER}/secrets/{path.rpartition('/')[2]}"
        versions = [
            held if isinstance(held, Version) else Version(held.encode() if isinstance(held, str) else held)
            for held in self.secrets.get(path, ())
        ]
        if not versions:
            _refuse(
                context,
                Refusal(grpc.StatusCode.NOT_FOUND, f"Secret [{resource}] not found or has no versions."),
            )
        if not (wanted == "latest" or wanted.isdigit()):
            _refuse(
                context,
                Refusal(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"The provided Secret Version ID [{request.name}] does not match the expected format "
                    "[projects/*/secrets/*/versions/*]",
                ),
            )
        number = len(versions) if wanted == "latest" else int(wanted)
        name = f"{resource}/versions/{number}"
        if not 1 <= number <= len(versions):
            _refuse(context, Refusal(grpc.StatusCode.NOT_FOUND, f"Secret Version [{name}] not found."))
        version = versions[number - 1]
        if version.state != "ENABLED":
            message = f"Secret Version [{name}] is in {version.state} state."
            _refuse(context, Refusal(grpc.StatusCode.FAILED_PRECONDITION, message))
        checksum = google_crc32c.value(version.data)
        data = version.data[:-1] + b"?" if version.damaged else version.data
        return AccessSecretVersionResponse(name=name, payload=SecretPayload(data=data, data_crc32c=checksum))

    def _add(self, request: AddSecretVersionRequest, context: grpc.ServicerContext) -> SecretVersion:
        self.asked.append(f"{request.parent}:addVersion")
        if self.refusals:
            _refuse(context, self.refusals[0] if self.refuses_on else self.refusals.pop(0))
        if request.parent not in self.secrets:
            _refuse(context, Refusal(grpc.StatusCode.NOT_FOUND, f"Secret [{request.parent}] not found."))
        held = [*self.secrets[request.parent], request.payload.data]
        self.secrets[request.parent] = held
        return SecretVersion(name=f"{request.parent}/versions/{len(held)}")


def _refuse(context: grpc.ServicerContext, refusal: Refusal) -> None:
    status = Status(code=refusal.code.value[0], message=refusal.message)
    if refusal.reason:
        detail = Any()
        detail.Pack(ErrorInfo(reason=refusal.reason, domain="googleapis.com"))
        status.details.append(detail)
    # Raises.
    context.abort_with_status(to_status(status))

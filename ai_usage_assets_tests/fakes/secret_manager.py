"""A gRPC server on 127.0.0.1 with the two Secret Manager methods that the product uses, for the unmodified client.

with FakeSecretManager({"projects/p/secrets/cursor-admin-key": ["crsr_..."]}).serve() as address:
    ... SECRET_MANAGER_EMULATOR_HOST=address
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NoReturn

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
# Responses name the project by its number, whether the request used the number or the ID.
_PROJECT_NUMBER = "123456789012"


@dataclass
class Version:
    """One version of a secret."""

    data: bytes
    state: Literal["ENABLED", "DISABLED", "DESTROYED"] = "ENABLED"
    # The payload does not match its checksum.
    is_corrupt: bool = False


@dataclass(frozen=True)
class ServiceError:
    """A gRPC error: status, message, and the reason in its details."""

    code: grpc.StatusCode
    message: str
    reason: str = ""


@dataclass
class FakeSecretManager:
    """Secrets by name (`projects/P/secrets/S`); each has a list of versions, starting with version 1.

    Each request consumes one of `errors` and fails with it; with `repeat_first_error` the first one is never consumed.
    While `silent`, requests get no response.
    """

    secrets: dict[str, Sequence[str | bytes | Version]]
    errors: list[ServiceError] = field(default_factory=list)
    repeat_first_error: bool = False
    silent: bool = False
    requests: list[str] = field(default_factory=list)
    # The `authorization` metadata of each request.
    credentials: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serves until the end of the block and yields host and port."""
        server = grpc.server(ThreadPoolExecutor(4))
        access = grpc.unary_unary_rpc_method_handler(
            self._access,
            request_deserializer=AccessSecretVersionRequest.deserialize,
            response_serializer=AccessSecretVersionResponse.serialize,
        )
        add = grpc.unary_unary_rpc_method_handler(
            self._add,
            request_deserializer=AddSecretVersionRequest.deserialize,
            response_serializer=SecretVersion.serialize,
        )
        methods = {"AccessSecretVersion": access, "AddSecretVersion": add}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            self._stopped.set()
            server.stop(0).wait()

    def _access(
        self, request: AccessSecretVersionRequest, context: grpc.ServicerContext
    ) -> AccessSecretVersionResponse:
        self.requests.append(request.name)
        self.credentials += [value for name, value in context.invocation_metadata() if name == "authorization"]
        if self.silent:
            self._stopped.wait()
        self._fail_if_requested(context)
        path, _, version_id = request.name.partition("/versions/")
        resource = f"projects/{_PROJECT_NUMBER}/secrets/{path.rpartition('/')[2]}"
        versions = [_version(value) for value in self.secrets.get(path, ())]
        if not versions:
            _abort(
                context,
                ServiceError(grpc.StatusCode.NOT_FOUND, f"Secret [{resource}] not found or has no versions."),
            )
        if not (version_id == "latest" or version_id.isdigit()):
            _abort(
                context,
                ServiceError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"The provided Secret Version ID [{request.name}] does not match the expected format "
                    "[projects/*/secrets/*/versions/*]",
                ),
            )
        version_no = len(versions) if version_id == "latest" else int(version_id)
        name = f"{resource}/versions/{version_no}"
        if not 1 <= version_no <= len(versions):
            _abort(context, ServiceError(grpc.StatusCode.NOT_FOUND, f"Secret Version [{name}] not found."))
        version = versions[version_no - 1]
        if version.state != "ENABLED":
            message = f"Secret Version [{name}] is in {version.state} state."
            _abort(context, ServiceError(grpc.StatusCode.FAILED_PRECONDITION, message))
        checksum = google_crc32c.value(version.data)
        data = version.data[:-1] + b"?" if version.is_corrupt else version.data
        return AccessSecretVersionResponse(name=name, payload=SecretPayload(data=data, data_crc32c=checksum))

    def _add(self, request: AddSecretVersionRequest, context: grpc.ServicerContext) -> SecretVersion:
        self.requests.append(f"{request.parent}:addVersion")
        self._fail_if_requested(context)
        if request.parent not in self.secrets:
            _abort(context, ServiceError(grpc.StatusCode.NOT_FOUND, f"Secret [{request.parent}] not found."))
        versions = [*self.secrets[request.parent], request.payload.data]
        self.secrets[request.parent] = versions
        return SecretVersion(name=f"{request.parent}/versions/{len(versions)}")

    def _fail_if_requested(self, context: grpc.ServicerContext) -> None:
        if self.errors:
            _abort(context, self.errors[0] if self.repeat_first_error else self.errors.pop(0))


def _version(value: str | bytes | Version) -> Version:
    if isinstance(value, Version):
        return value
    return Version(value.encode() if isinstance(value, str) else value)


def _abort(context: grpc.ServicerContext, error: ServiceError) -> NoReturn:
    status = Status(code=error.code.value[0], message=error.message)
    if error.reason:
        detail = Any()
        detail.Pack(ErrorInfo(reason=error.reason, domain="googleapis.com"))
        status.details.append(detail)
    context.abort_with_status(to_status(status))
    raise AssertionError

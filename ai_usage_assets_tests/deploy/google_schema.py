"""Extracts the google provider's schema for the resource types of `deploy/terraform` from its generated bindings.

Only a new provider version or another resource type needs the wheel (70 MB):

    pip download --no-deps cdktn-provider-google==21.1.0
    python ai_usage_assets_tests/deploy/google_schema.py cdktn_provider_google-21.1.0-py3-none-any.whl
"""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).with_suffix(".json")
TERRAFORM = Path(__file__).parents[2] / "deploy" / "terraform"

ATTRIBUTION = (
    "Names, types and nesting of arguments of the Terraform provider hashicorp/google {provider}, as generated into "
    "{bindings}. Copyright HashiCorp, Inc. and the provider's contributors; Mozilla Public License 2.0, "
    "https://mozilla.org/MPL/2.0/. Made by google_schema.py; not edited by hand."
)

_TYPES = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "any": "string",
    "stringList": ["list", "string"],
    "numberList": ["list", "number"],
    "stringMap": ["map", "string"],
    "booleanMap": ["map", "bool"],
    "numberMap": ["map", "number"],
}
_GETTERS = {"String": "string", "Number": "number", "Boolean": "bool", "List": ["list", "string"]}

# The provider has one endpoint argument for each of Google's two hundred services.
_IGNORED = ("_custom_endpoint", "alias")

_ARGUMENT = re.compile(
    r"(\w+): \{\s*value: .*?,\n\s*isBlock: (true|false),\s*type: \"(\w+)\",\s*storageClassType: \"(\w+)\"", re.DOTALL
)
_FLAGS = re.compile(r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)")
_GETTER = re.compile(r"\.get(String|Number|Boolean|List|StringMap|NumberList)Attribute\('(\w+)'\)")
_NESTED = re.compile(r"new (\w+?)(OutputReference|List|Map)\(this, \"(\w+)\"")


def extract_schema(wheel: Path, resources: list[str], data_sources: list[str]) -> dict[str, Any]:
    """Returns the schema of the given types."""
    with zipfile.ZipFile(wheel) as packed:
        name = next(name for name in packed.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(packed.read(name))) as bindings:
            read = _Bindings(bindings)
            provider = read.module("provider")
            bound = re.search(r"provider-google@(\S+)\.jsii", name)
            version = re.search(r"providers/hashicorp/google/([\d.]+)/docs", provider)
            assert bound
            assert version
            return {
                "attribution": ATTRIBUTION.format(provider=version[1], bindings=f"cdktn-provider-google {bound[1]}"),
                "provider": [name for name, *_ in _FLAGS.findall(provider) if not name.endswith(_IGNORED)],
                "resources": {kind: read.schema(kind.removeprefix("google_")) for kind in resources},
                "data_sources": {kind: read.schema("data-" + kind) for kind in data_sources},
            }


class _Bindings:
    """The JavaScript bindings, generated from the provider's schema and regular enough to be read with patterns."""

    def __init__(self, packed: tarfile.TarFile) -> None:
        self._packed = packed

    def module(self, name: str) -> str:
        opened = self._packed.extractfile(f"package/lib/{name}/index.js")
        assert opened
        return opened.read().decode()

    def schema(self, kind: str) -> dict[str, Any]:
        text = self.module(kind.replace("_", "-"))
        classes = dict(re.findall(r"\nclass (\w+) extends [\w.]+ \{(.*?)\n\}", text, re.DOTALL))
        structs = {
            name.lower(): body
            for name, body in re.findall(r"function (\w+)ToHclTerraform\(struct\) \{(.*?)\n\}", text, re.DOTALL)
        }
        top = re.search(r"\nclass (\w+) extends cdktn\.Terraform(?:Resource|DataSource) \{", text)
        assert top
        return _block(classes[top[1]], classes[top[1]], classes, structs)


def _block(arguments: str, body: str, classes: dict[str, str], structs: dict[str, str]) -> dict[str, Any]:
    """Returns a block: attributes as name -> [type, flags], blocks as name -> [nesting, minimum, maximum, block].

    Flags are r(equired), o(ptional), c(omputed). A maximum of 0 means no limit.
    """
    flags = {name: tuple(flag == "true" for flag in rest) for name, *rest in _FLAGS.findall(body)}
    getters = {name: kind for kind, name in _GETTER.findall(body)}
    nested = {name: (prefix, form) for prefix, form, name in _NESTED.findall(body)}
    attributes: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    for name, is_block, form, storage in _ARGUMENT.findall(arguments):
        computed, optional, required = flags[name]
        if is_block == "true":
            prefix, reference = nested[name]
            nested_block = _block(structs[prefix.lower()], classes[prefix + "OutputReference"], classes, structs)
            nesting = "single" if form == "struct" else form
            most = 1 if reference == "OutputReference" and nesting != "single" else 0
            blocks[name] = [nesting, int(required), most, nested_block]
        else:
            kind = _TYPES[storage]
            if form == "set" and isinstance(kind, list):
                kind = ["set", kind[1]]
            attributes[name] = [kind, "r" if required else "oc" if computed else "o"]
    for name, (computed, optional, required) in flags.items():
        if computed and not optional and not required and name not in attributes:
            attributes[name] = [_GETTERS.get(getters.get(name, ""), "dynamic"), "c"]
    return {"attributes": attributes, "blocks": blocks}


def list_used_types() -> tuple[list[str], list[str]]:
    """Returns the resource types and the data sources that the configuration uses."""

    def named(keyword: str) -> Iterator[str]:
        for path in TERRAFORM.glob("*.tf"):
            yield from re.findall(rf'^{keyword} "(\w+)"', path.read_text(), re.MULTILINE)

    return sorted(set(named("resource"))), sorted(set(named("data")))


def format_schema(schema: dict[str, Any]) -> str:
    """Formats the schema with one line per type, so that diffs are readable."""

    def packed(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"), sort_keys=True)

    def lines(section: dict[str, Any]) -> str:
        return "{\n" + ",\n".join(f"{packed(kind)}:{packed(value)}" for kind, value in section.items()) + "\n}"

    return (
        f'{{"attribution":{packed(schema["attribution"])},\n"provider":{packed(schema["provider"])},\n'
        f'"resources":{lines(schema["resources"])},\n"data_sources":{lines(schema["data_sources"])}}}\n'
    )


if __name__ == "__main__":
    SCHEMA.write_text(format_schema(extract_schema(Path(sys.argv[1]), *list_used_types())))

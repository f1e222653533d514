"""The manifests: valid, and in agreement with each other, the image, the settings and the metrics."""

import re

import kubernetes_validate
import pytest
import yaml
from deploy_files import DRAIN_S, IMAGE, KUBERNETES, VARIABLES, documents, manifests, settings_of

from ifw.server.auth import OPEN_PATHS
from ifw.service.state_metrics import StateCollector
from ifw.tasks.records import TASK_STATES, TaskStats

ALL = manifests()
CUSTOM = {"ScaledObject", "ServiceMonitor", "Kustomization"}
OLDEST, NEWEST = "1.30", "1.37"


def named(kind, name):
    (found,) = [one for one in ALL if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


API, WORKER = named("Deployment", "ifw-api"), named("Deployment", "ifw-worker")
DEPLOYMENTS = pytest.mark.parametrize("deployment", [API, WORKER], ids=["api", "worker"])
SECRET, SETTINGS = named("Secret", "ifw"), named("ConfigMap", "ifw")


def pod(deployment):
    return deployment["spec"]["template"]["spec"]


def container(deployment):
    (found,) = pod(deployment)["containers"]
    return found


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize(
    "manifest",
    [one for one in ALL if one["kind"] not in CUSTOM],
    ids=lambda one: f"{one['kind']}-{one['metadata']['name']}",
)
def test_the_schema_of_kubernetes_allows_them(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schema_refuses_a_slip():
    broken = yaml.safe_load(yaml.safe_dump(API))
    container(broken)["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, OLDEST, strict=True)


def test_kustomization_lists_every_file_but_the_secret():
    (listed,) = documents(KUBERNETES / "kustomization.yaml")
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert sorted(listed["resources"]) == sorted(files)


def test_everything_is_in_one_namespace():
    assert {one["metadata"]["namespace"] for one in ALL if one["kind"] not in ("Namespace", "Kustomization")} == {"ifw"}


@DEPLOYMENTS
def test_settings_are_known_and_come_from_keys_that_exist(deployment):
    variables = dict(SETTINGS["data"])
    for variable in container(deployment)["env"]:
        if "valueFrom" in variable:
            reference = variable["valueFrom"]["secretKeyRef"]
            assert reference["name"] == SECRET["metadata"]["name"]
            variables[variable["name"]] = SECRET["stringData"][reference["key"]]
        else:
            variables[variable["name"]] = variable["value"]
    assert variables.keys() <= VARIABLES
    settings = settings_of(variables | {"ADMIN_KEY_FILE": ""})
    assert settings.database_url is not None
    assert container(deployment)["envFrom"] == [{"configMapRef": {"name": SETTINGS["metadata"]["name"]}}]


@DEPLOYMENTS
def test_no_variable_of_a_service_is_taken_for_a_setting(deployment):
    """A service `ifw` would give its neighbours IFW_PORT=tcp://..."""
    assert pod(deployment)["enableServiceLinks"] is False


@DEPLOYMENTS
def test_pods_run_as_the_user_of_the_image_and_write_only_to_volumes(deployment):
    user, group = map(int, IMAGE.user.split(":"))
    context = pod(deployment)["securityContext"]
    assert context["runAsNonRoot"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (user, group, group)
    inner = container(deployment)["securityContext"]
    assert inner == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(deployment)["automountServiceAccountToken"] is False
    mounts = {mount["mountPath"]: mount for mount in container(deployment)["volumeMounts"]}
    assert {*IMAGE.volumes, "/tmp"} <= mounts.keys()
    assert not any(mounts[path].get("readOnly") for path in (*IMAGE.volumes, "/tmp"))


@DEPLOYMENTS
def test_volumes_are_defined_and_their_claims_can_be_shared(deployment):
    volumes = {volume["name"]: volume for volume in pod(deployment)["volumes"]}
    assert {mount["name"] for mount in container(deployment)["volumeMounts"]} == volumes.keys()
    for volume in volumes.values():
        if "persistentVolumeClaim" in volume:
            claim = named("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
            assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_file_of_keys_is_where_the_server_looks():
    (volume,) = [one for one in pod(API)["volumes"] if "secret" in one]
    (mount,) = [one for one in container(API)["volumeMounts"] if one["name"] == volume["name"]]
    (variable,) = [one for one in container(API)["env"] if one["name"] == "ADMIN_KEY_FILE"]
    (item,) = volume["secret"]["items"]
    assert variable["value"] == f"{mount['mountPath']}/{item['path']}"
    assert item["key"] in SECRET["stringData"]


@DEPLOYMENTS
def test_selectors_find_the_pods(deployment):
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert named("NetworkPolicy", "ifw")["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_the_service_the_budget_and_the_monitor_find_the_servers():
    labels = API["spec"]["template"]["metadata"]["labels"]
    service, monitor = named("Service", "ifw-api"), named("ServiceMonitor", "ifw-api")
    assert service["spec"]["selector"] == labels
    assert named("PodDisruptionBudget", "ifw-api")["spec"]["selector"]["matchLabels"] == labels
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    credentials = endpoint["authorization"]["credentials"]
    assert credentials["key"] in SECRET["stringData"]
    (variable,) = [one for one in container(API)["env"] if one["name"] == "ADMIN_KEY"]
    assert variable["valueFrom"]["secretKeyRef"] == credentials


def test_probes_ask_for_health_that_needs_no_key():
    server = container(API)
    (port,) = server["ports"]
    assert port["containerPort"] == IMAGE.ports[0]
    probes = {name: server[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe["path"] for probe in probes.values()} <= set(OPEN_PATHS)
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    assert probes["readinessProbe"]["path"] == "/health/ready"
    assert probes["livenessProbe"]["path"] == "/health/live"


def test_workers_are_workers():
    assert container(WORKER)["args"] == ["worker"]
    assert not {"ports", "livenessProbe", "readinessProbe"} & container(WORKER).keys()
    assert container(WORKER)["image"] == container(API)["image"]


def test_there_is_time_to_end():
    pause = container(API)["lifecycle"]["preStop"]["sleep"]["seconds"]
    probe = container(API)["readinessProbe"]
    assert pod(API)["terminationGracePeriodSeconds"] >= pause + DRAIN_S + 10
    assert pause >= probe["periodSeconds"]


def test_autoscaling_asks_for_metrics_and_states_that_exist():
    spec = named("ScaledObject", "ifw-worker")["spec"]
    assert spec["scaleTargetRef"]["name"] == WORKER["metadata"]["name"]
    assert "replicas" not in WORKER["spec"]
    (trigger,) = spec["triggers"]
    stats = TaskStats(**dict.fromkeys(TaskStats.__dataclass_fields__, 0))
    collector = StateCollector(lambda: None, lambda: 0, lambda: stats, lambda: True)
    metrics = {metric.name for metric in collector.collect()}
    query = trigger["metadata"]["query"]
    assert set(re.findall(r"\bifw_\w+", query)) <= metrics
    assert set(re.search(r'state=~"([^"]+)"', query)[1].split("|")) == {"queued", "running"} & set(TASK_STATES)
    a_worker = SETTINGS["data"]["IFW_MAX_RUNNING"]
    assert trigger["metadata"]["threshold"] == a_worker
    assert f" {a_worker} * sum(ifw_model_loaded" in query


def test_nothing_private_can_be_called_but_the_database_and_names():
    spec = named("NetworkPolicy", "ifw")["spec"]
    assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
    (blocks,) = [to["ipBlock"] for rule in spec["egress"] for to in rule["to"] if "ipBlock" in to]
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(blocks["except"])
    assert spec["ingress"][0]["ports"] == [{"protocol": "TCP", "port": container(API)["ports"][0]["name"]}]

"""Holds what kustomize built against the Pod Security Standard `restricted` of Kubernetes, rule by rule.

restricted.py FILE...       fails with every rule that a pod of these files breaks
restricted.py --of-itself   breaks each rule of a good pod in turn, and fails where that is not seen
"""

import copy
import sys

import yaml

# Where each kind that makes pods has their template.
TEMPLATES = {
    "Pod": [],
    "Deployment": ["spec", "template"],
    "DaemonSet": ["spec", "template"],
    "StatefulSet": ["spec", "template"],
    "ReplicaSet": ["spec", "template"],
    "Job": ["spec", "template"],
    "CronJob": ["spec", "jobTemplate", "spec", "template"],
    "ScaledJob": ["spec", "jobTargetRef", "template"],
}
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
SECCOMP = {"RuntimeDefault", "Localhost"}
APPARMOR = {None, "RuntimeDefault", "Localhost"}


def broken(metadata, spec):
    """Every rule that a pod breaks."""
    pod = spec.get("securityContext") or {}
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} is set"
    for volume in spec.get("volumes") or []:
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUMES:
            yield f"volume {volume['name']} is a {', '.join(sorted(kinds - VOLUMES))}"
    for sysctl in pod.get("sysctls") or []:
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    for name in metadata.get("annotations") or {}:
        if name.startswith("container.apparmor.security.beta.kubernetes.io/"):
            yield f"annotation {name}"
    yield from broken_options("the pod", pod)
    if pod.get("runAsUser") == 0:
        yield "the pod runs as root"
    kinds = ("initContainers", "containers", "ephemeralContainers")
    for container in (container for kind in kinds for container in spec.get(kind) or []):
        yield from (f"container {container['name']}: {rule}" for rule in broken_container(container, pod))


def broken_options(whose, context):
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"SELinux options of {whose}"
    if (context.get("appArmorProfile") or {}).get("type") not in APPARMOR:
        yield f"AppArmor profile of {whose}"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{whose} is a host process"


def broken_container(container, pod):
    context = container.get("securityContext") or {}
    capabilities = context.get("capabilities") or {}
    if context.get("privileged"):
        yield "it is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if context.get("runAsUser") == 0:
        yield "it runs as root"
    if "ALL" not in (capabilities.get("drop") or []):
        yield "not all capabilities are dropped"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if context.get("procMount") not in (None, "Default"):
        yield "procMount is not Default"
    profile = context.get("seccompProfile") or pod.get("seccompProfile") or {}
    if profile.get("type") not in SECCOMP:
        yield "there is no seccomp profile"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield "a port of the host is taken"
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name) or {}
        if any((probe.get(kind) or {}).get("host") for kind in ("httpGet", "tcpSocket")):
            yield f"{name} asks another host"
    yield from broken_options("it", context)


def pods(document):
    place = TEMPLATES.get(document.get("kind"))
    if place is None:
        return
    for name in place:
        document = document[name]
    yield document.get("metadata") or {}, document["spec"]


def check(files):
    count, problems = 0, []
    for file in files:
        for document in yaml.safe_load_all(open(file)):
            labels = document["metadata"].get("labels") or {}
            if document["kind"] == "Namespace" and labels.get("pod-security.kubernetes.io/enforce") != "restricted":
                problems.append(f"{file}: namespace {document['metadata']['name']} does not enforce `restricted`")
            for metadata, spec in pods(document):
                count += 1
                name = f"{file}: {document['kind']} {document['metadata']['name']}"
                problems += [f"{name}: {rule}" for rule in broken(metadata, spec)]
    return count, problems


GOOD = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [{
        "name": "c",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }],
    "volumes": [{"name": "v", "emptyDir": {}}],
}


def check_itself():
    """Each rule is broken in a pod that is good otherwise."""
    def with_container(**context):
        pod = copy.deepcopy(GOOD)
        pod["containers"][0]["securityContext"].update(context)
        return pod

    def with_field(**fields):
        return {**copy.deepcopy(GOOD), **fields}

    def with_pod(**context):
        return with_field(securityContext={**GOOD["securityContext"], **context})

    def with_part(**parts):
        pod = copy.deepcopy(GOOD)
        pod["containers"][0].update(parts)
        return pod

    bad = [
        with_field(hostNetwork=True), with_field(hostPID=True), with_field(hostIPC=True),
        with_field(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
        with_field(volumes=[{"name": "v", "nfs": {"server": "a", "path": "/"}}]),
        with_field(initContainers=[{"name": "i"}]),
        with_field(ephemeralContainers=[{"name": "e"}]),
        with_field(securityContext={"runAsNonRoot": True}),
        with_field(securityContext={"seccompProfile": {"type": "RuntimeDefault"}}),
        with_pod(runAsUser=0), with_pod(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
        with_pod(seLinuxOptions={"type": "spc_t"}), with_pod(appArmorProfile={"type": "Unconfined"}),
        with_pod(windowsOptions={"hostProcess": True}), with_pod(seccompProfile={"type": "Unconfined"}),
        with_container(privileged=True), with_container(allowPrivilegeEscalation=True),
        with_container(allowPrivilegeEscalation=None), with_container(runAsNonRoot=False), with_container(runAsUser=0),
        with_container(capabilities={}), with_container(capabilities={"drop": ["ALL"], "add": ["NET_RAW"]}),
        with_container(procMount="Unmasked"), with_container(seccompProfile={"type": "Unconfined"}),
        with_container(seLinuxOptions={"user": "root"}), with_container(appArmorProfile={"type": "Unconfined"}),
        with_part(ports=[{"containerPort": 1, "hostPort": 1}]),
        with_part(livenessProbe={"httpGet": {"host": "elsewhere", "port": 1}}),
    ]
    assert not list(broken({}, GOOD)), list(broken({}, GOOD))
    unseen = [pod for pod in bad if not list(broken({}, pod))]
    annotation = {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}
    if unseen or not list(broken(annotation, GOOD)):
        sys.exit(f"kubernetes: `restricted` is not checked: {unseen}")
    cron = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": GOOD}}}}}
    assert len(list(pods(cron))) == 1


if sys.argv[1:] == ["--of-itself"]:
    check_itself()
else:
    pod_count, found = check(sys.argv[1:])
    if found or not pod_count:
        sys.exit("\n".join(f"kubernetes: {problem}" for problem in found) or "kubernetes: there are no pods to look at")
    print(f"kubernetes: {pod_count} pods keep to `restricted`")

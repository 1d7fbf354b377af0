//! Whose container a control group is, by its path.

use nuncius_schemas::telemetry::Runtime;

/// Digits of a container's id.
const ID_DIGITS: usize = 64;
/// Of these, as many are shown.
const SHORT_DIGITS: usize = 12;
/// Longest id that is no such number, in characters.
const ID_MAX: usize = 76;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) runtime: Runtime,
    pub(super) id: String,
    pub(super) pod: Option<String>,
}

impl Container {
    /// What figures call it.
    pub(super) fn name(&self) -> String {
        if is_id(&self.id) { self.id.chars().take(SHORT_DIGITS).collect() } else { self.id.clone() }
    }
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The container whose group this is; none for groups within one, and for all others.
pub(super) fn container(path: &str) -> Option<Container> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let last = parts.next_back()?;
    let parent = parts.next_back();
    let stem = last.strip_suffix(".scope").unwrap_or(last);
    let in_pod = path.split('/').any(|part| part.starts_with("kubepods"));
    // With systemd as `docker-<id>.scope`, without it as `docker/<id>`, and as `kubepods/burstable/pod<uid>/<id>`.
    let (prefix, id) = match stem.rsplit_once('-') {
        Some((prefix, id)) if is_id(id) => (prefix, id),
        _ if is_id(stem) => ("", stem),
        // The names that `ctr` gives, in its namespace.
        _ if parent == Some("default") && path.matches('/').count() == 2 && last.len() <= ID_MAX => ("", last),
        _ => return None,
    };
    if in_pod {
        let pod = path.split('/').rev().find_map(pod_of);
        return Some(Container { runtime: Runtime::Kubernetes, id: id.to_owned(), pod });
    }
    let runtime = match (prefix, parent) {
        ("docker", _) | ("", Some("docker")) => Runtime::Docker,
        ("libpod", _) | ("", Some("libpod_parent")) => Runtime::Podman,
        // Its helper beside the container.
        ("libpod-conmon" | "crio-conmon", _) => return None,
        ("crio", _) => Runtime::Kubernetes,
        (_, Some("libpod_parent")) => Runtime::Podman,
        _ => Runtime::Containerd,
    };
    Some(Container { runtime, id: id.to_owned(), pod: None })
}

/// The id of a pod in `pod<uid>` and `kubepods-burstable-pod<uid with _>.slice`.
fn pod_of(part: &str) -> Option<String> {
    let stem = part.strip_suffix(".slice").unwrap_or(part);
    let uid = stem.strip_prefix("pod").or_else(|| stem.rsplit_once("-pod").map(|(_, uid)| uid))?;
    let is_uid =
        (8..=64).contains(&uid.len()) && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || b"-_".contains(&byte));
    is_uid.then(|| uid.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_known_by_the_paths_of_their_runtimes() {
        let id = "0123456789abcdef".repeat(4);
        let uid = "6f3b1a9e-1234-4000-8000-0123456789ab";
        let uid_ = uid.replace('-', "_");
        let slice = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice");
        for (path, runtime, pod) in [
            (format!("/docker/{id}"), Runtime::Docker, None),
            (format!("/system.slice/docker-{id}.scope"), Runtime::Docker, None),
            (format!("/machine.slice/libpod-{id}.scope"), Runtime::Podman, None),
            (format!("/libpod_parent/libpod-{id}"), Runtime::Podman, None),
            (format!("/system.slice/nerdctl-{id}.scope"), Runtime::Containerd, None),
            (format!("/system.slice/cri-containerd-{id}.scope"), Runtime::Containerd, None),
            (format!("/kubepods/burstable/pod{uid}/{id}"), Runtime::Kubernetes, Some(uid)),
            (format!("/kubepods/pod{uid}/{id}"), Runtime::Kubernetes, Some(uid)),
            (format!("{slice}/cri-containerd-{id}.scope"), Runtime::Kubernetes, Some(uid)),
            (format!("{slice}/crio-{id}.scope"), Runtime::Kubernetes, Some(uid)),
            (format!("/kubepods.slice/kubepods-pod{uid_}.slice/docker-{id}.scope"), Runtime::Kubernetes, Some(uid)),
            // A node of Kubernetes that is a container of Docker itself.
            (format!("/docker/{id}/kubelet/kubepods/besteffort/pod{uid}/{id}"), Runtime::Kubernetes, Some(uid)),
        ] {
            let found = container(&path).unwrap();
            assert_eq!((found.runtime, found.id.as_str(), found.pod.as_deref()), (runtime, id.as_str(), pod), "{path}");
            assert_eq!(found.name(), "0123456789ab");
        }
        let named = container("/default/my-container").unwrap();
        assert_eq!((named.runtime, named.name().as_str()), (Runtime::Containerd, "my-container"));
        for path in [
            "/".to_owned(),
            "/system.slice/ssh.service".to_owned(),
            format!("/docker/{id}/init.scope"),
            format!("/docker/{}", &id[..63]),
            format!("/machine.slice/libpod-conmon-{id}.scope"),
            format!("/kubepods/burstable/pod{uid}"),
            format!("/docker/{}", id.to_uppercase()),
            "/user.slice/default/x".to_owned(),
        ] {
            assert_eq!(container(&path), None, "{path}");
        }
    }
}

//! A node's pods go elsewhere before it restarts, as far as they can: the node takes no new ones, and each of its pods is evicted, which
//! the API refuses as long as a disruption budget would be broken.
//!
//! Source: Kubernetes, "Safely Drain a Node" and "API-initiated Eviction".

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;

use super::{
    client::{Api, ApiError, Method, get},
    look::escape,
    objects::{List, Node, Pod, Resources},
};

/// The annotation that says that this program keeps new pods away: what an operator has cordoned stays so.
const CORDONED: &str = "outcrop/cordoned";
/// The annotation of pods that the kubelet has from a file: the API can't evict them.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The wait between looks.
const PAUSE: Duration = Duration::from_secs(2);

/// How draining ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drained {
    /// No pod is left that could go.
    Empty,
    /// Time was up; what is left, and why.
    TooLate(String),
}

/// Draining failed.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The API.
    #[error("{doing}")]
    Api {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: ApiError,
    },
    /// It has no evictions: it is older than Kubernetes 1.7.
    #[error("the API can't evict pods")]
    NoEvictions,
}

impl DrainError {
    /// Whether the next request may be answered: nothing came, or the API has a trouble of its own.
    fn may_pass(&self) -> bool {
        match self {
            Self::Api { source, .. } => source.status().is_none_or(|status| status >= 500),
            Self::NoEvictions => false,
        }
    }
}

fn failed(doing: impl Into<String>) -> impl FnOnce(ApiError) -> DrainError {
    let doing = doing.into();
    move |source| DrainError::Api { doing, source }
}

/// The clock that draining waits by.
pub trait Clock {
    /// Time since it began.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, time: Duration);
}

/// Keeps new pods away from `node`, and evicts those that are there, for at most `limit`.
///
/// # Errors
/// When the API can't be asked, or refuses for another reason than a disruption budget.
pub fn drain(api: &dyn Api, node: &str, limit: Duration, clock: &dyn Clock) -> Result<Drained, DrainError> {
    cordon(api, node)?;
    let path = format!(
        "/api/v1/pods?fieldSelector={}",
        escape(&format!("spec.nodeName={node}"))
    );
    let version = eviction_version(api)?;
    let mut evicted = BTreeSet::new();
    loop {
        let outcome = evict_all(api, &path, &version, &mut evicted);
        let is_late = clock.elapsed() + PAUSE > limit;
        match outcome {
            Ok(left) if left.is_empty() => return Ok(Drained::Empty),
            Ok(left) if is_late => return Ok(Drained::TooLate(left.join(", "))),
            // It has answered before: a busy machine is no reason to give up.
            Err(error) if is_late || !error.may_pass() => return Err(error),
            Ok(_) | Err(_) => clock.sleep(PAUSE),
        }
    }
}

/// Evicts each pod that can go and wasn't evicted before; which are left, and why.
fn evict_all(
    api: &dyn Api,
    path: &str,
    version: &str,
    evicted: &mut BTreeSet<String>,
) -> Result<Vec<String>, DrainError> {
    let pods: List<Pod> = get(api, path).map_err(failed("list the pods of the node"))?;
    let mut left = Vec::new();
    for pod in pods.items.iter().filter(|pod| can_go(pod)) {
        let is_going = pod.metadata.deletion_timestamp.is_some() || evicted.contains(&pod.metadata.uid);
        let refusal = if is_going { None } else { evict(api, pod, version)? };
        match refusal {
            Some(why) => left.push(format!("{} ({why})", pod.title())),
            None => {
                evicted.insert(pod.metadata.uid.clone());
                left.push(pod.title());
            }
        }
    }
    Ok(left)
}

/// Lets pods come to `node` again, where [`drain`] has kept them away; true when it had.
///
/// # Errors
/// When the API can't be asked.
pub fn uncordon(api: &dyn Api, node: &str) -> Result<bool, DrainError> {
    let path = node_path(node);
    let found: Node = get(api, &path).map_err(failed("look at the node"))?;
    if !found.metadata.annotations.contains_key(CORDONED) {
        return Ok(false);
    }
    let change = json!({"metadata": {"annotations": {CORDONED: null}}, "spec": {"unschedulable": null}});
    api.request(Method::Patch, &path, Some(&change))
        .map_err(failed("let pods come to the node again"))?;
    Ok(true)
}

fn node_path(node: &str) -> String {
    format!("/api/v1/nodes/{}", escape(node))
}

fn cordon(api: &dyn Api, node: &str) -> Result<(), DrainError> {
    let path = node_path(node);
    let found: Node = get(api, &path).map_err(failed("look at the node"))?;
    if found.spec.unschedulable {
        return Ok(());
    }
    let change = json!({"metadata": {"annotations": {CORDONED: "true"}}, "spec": {"unschedulable": true}});
    api.request(Method::Patch, &path, Some(&change))
        .map_err(failed("keep new pods away from the node"))?;
    Ok(())
}

/// Whether a pod is one that goes: those of DaemonSets would come back at once, those from files can't be evicted.
fn can_go(pod: &Pod) -> bool {
    let of_daemon_set = pod
        .metadata
        .owner_references
        .iter()
        .any(|owner| owner.controller && owner.kind == "DaemonSet");
    !of_daemon_set && !pod.metadata.annotations.contains_key(MIRROR) && !pod.is_over()
}

/// The group and version of evictions that the API has. Source: Kubernetes, "API-initiated Eviction": the resource `pods/eviction` of
/// the core API names them.
fn eviction_version(api: &dyn Api) -> Result<String, DrainError> {
    let core: Resources = get(api, "/api/v1").map_err(failed("ask what the API has"))?;
    core.resources
        .iter()
        .find(|resource| resource.name == "pods/eviction")
        .map(|resource| format!("{}/{}", resource.group, resource.version))
        .ok_or(DrainError::NoEvictions)
}

/// Evicts a pod; why the API won't yet, when it is a budget.
fn evict(api: &dyn Api, pod: &Pod, version: &str) -> Result<Option<String>, DrainError> {
    let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}/eviction",
        escape(namespace),
        escape(name)
    );
    let eviction = json!({
        "apiVersion": version,
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    });
    match api.request(Method::Post, &path, Some(&eviction)) {
        Ok(_) => Ok(None),
        // Gone already.
        Err(error) if error.status() == Some(404) => Ok(None),
        // A budget, or one that can't be reckoned now.
        Err(error) if matches!(error.status(), Some(429 | 500)) => Ok(Some(error.to_string())),
        Err(error) => Err(failed(format!("evict {}", pod.title()))(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::Value;

    use super::{super::testing::Fake, *};

    #[derive(Default)]
    struct Time(Cell<Duration>);

    impl Clock for Time {
        fn elapsed(&self) -> Duration {
            self.0.get()
        }

        fn sleep(&self, time: Duration) {
            self.0.set(self.0.get() + time);
        }
    }

    const NODE: &str = "Get /api/v1/nodes/edge";
    const PATCH: &str = "Patch /api/v1/nodes/edge";
    const PODS: &str = "Get /api/v1/pods?fieldSelector=spec.nodeName%3Dedge";
    const CORE: &str = "Get /api/v1";

    /// What Kubernetes 1.20 says of its core API.
    fn core() -> String {
        let eviction =
            json!({"name": "pods/eviction", "group": "policy", "version": "v1beta1", "kind": "Eviction"});
        json!({"resources": [{"name": "pods", "kind": "Pod"}, eviction]}).to_string()
    }

    fn pod(name: &str, more: &Value) -> Value {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name},
            "status": {"phase": "Running"},
        });
        for (key, value) in more.as_object().unwrap() {
            pod["metadata"][key] = value.clone();
        }
        pod
    }

    fn list(items: &[Value]) -> String {
        json!({ "items": items }).to_string()
    }

    fn answers(more: &[(&str, u16, String)]) -> Fake {
        let fixed = [
            (NODE, 200, "{}".to_owned()),
            (PATCH, 200, "{}".to_owned()),
            (CORE, 200, core()),
        ];
        let all = fixed.iter().chain(more);
        Fake::new(all.map(|(name, status, body)| ((*name).to_owned(), *status, body.clone())))
    }

    const EVICT: &str = "Post /api/v1/namespaces/shop/pods/web/eviction";

    #[test]
    fn pods_that_can_go_are_evicted_and_waited_for() {
        let stay = [
            pod(
                "proxy",
                &json!({"ownerReferences": [{"kind": "DaemonSet", "controller": true}]}),
            ),
            pod("static", &json!({"annotations": {MIRROR: "x"}})),
        ];
        let all = [stay.as_slice(), &[pod("web", &json!({}))]].concat();
        let api = answers(&[
            (PODS, 200, list(&all)),
            (PODS, 200, list(&all)),
            (PODS, 200, list(&stay)),
            (EVICT, 201, "{}".to_owned()),
        ]);
        let time = Time::default();
        let ended = drain(&api, "edge", Duration::from_secs(60), &time).unwrap();
        assert_eq!(ended, Drained::Empty);
        assert_eq!(time.elapsed(), PAUSE * 2);
        let asked = api.asked.borrow();
        let evictions = asked.iter().filter(|request| request.starts_with("Post")).count();
        assert_eq!(evictions, 1, "{asked:?}");
        assert!(asked[1].contains("\"unschedulable\":true"), "{asked:?}");
        assert!(
            asked.iter().any(|request| request.contains("policy/v1beta1")),
            "{asked:?}"
        );
    }

    #[test]
    fn a_pod_whose_budget_refuses_is_asked_again_until_time_is_up() {
        let api = answers(&[
            (PODS, 200, list(&[pod("web", &json!({}))])),
            (EVICT, 429, "the budget needs 1 pod".to_owned()),
        ]);
        let time = Time::default();
        let ended = drain(&api, "edge", Duration::from_secs(9), &time).unwrap();
        let Drained::TooLate(why) = ended else {
            panic!("it is there")
        };
        assert!(
            why.starts_with("shop/web (") && why.contains("the budget needs 1 pod"),
            "{why}"
        );
        assert_eq!(time.elapsed(), PAUSE * 4);
    }

    #[test]
    fn an_api_that_stumbles_once_it_has_answered_is_asked_again() {
        let api = answers(&[
            (PODS, 200, list(&[pod("web", &json!({}))])),
            (EVICT, 503, "busy".to_owned()),
            (EVICT, 201, "{}".to_owned()),
            (PODS, 500, "busy".to_owned()),
            (PODS, 200, list(&[pod("web", &json!({}))])),
            (PODS, 200, list(&[])),
        ]);
        let time = Time::default();
        let ended = drain(&api, "edge", Duration::from_secs(60), &time).unwrap();
        assert_eq!((ended, time.elapsed()), (Drained::Empty, PAUSE * 3));
        let api = answers(&[(PODS, 500, "busy".to_owned())]);
        let time = Time::default();
        drain(&api, "edge", Duration::from_secs(9), &time).unwrap_err();
        assert_eq!(time.elapsed(), PAUSE * 4, "until the limit, not for ever");
    }

    #[test]
    fn what_the_operator_cordoned_stays_so_and_ours_doesn_t() {
        let operator = json!({"spec": {"unschedulable": true}}).to_string();
        let api = Fake::new([
            (NODE.to_owned(), 200, operator),
            (PODS.to_owned(), 200, list(&[])),
            (CORE.to_owned(), 200, core()),
        ]);
        assert_eq!(
            drain(&api, "edge", PAUSE, &Time::default()).unwrap(),
            Drained::Empty
        );
        assert!(!uncordon(&api, "edge").unwrap());
        let ours = json!({"metadata": {"annotations": {CORDONED: "true"}}, "spec": {"unschedulable": true}});
        let api = Fake::new([
            (NODE.to_owned(), 200, ours.to_string()),
            (PATCH.to_owned(), 200, "{}".to_owned()),
        ]);
        assert!(uncordon(&api, "edge").unwrap());
        assert!(api.asked.borrow()[1].contains("\"unschedulable\":null"));
    }

    #[test]
    fn an_api_that_is_down_or_refuses_is_an_error() {
        let api = Fake::new([(NODE.to_owned(), 500, "etcd".to_owned())]);
        drain(&api, "edge", PAUSE, &Time::default()).unwrap_err();
        for (status, body) in [(500, "etcd"), (200, "{}")] {
            let api = Fake::new([
                (NODE.to_owned(), 200, "{}".to_owned()),
                (PATCH.to_owned(), 200, "{}".to_owned()),
                (CORE.to_owned(), status, body.to_owned()),
            ]);
            drain(&api, "edge", PAUSE, &Time::default()).unwrap_err();
        }
        let api = answers(&[
            (PODS, 200, list(&[pod("web", &json!({}))])),
            (EVICT, 403, "not allowed".to_owned()),
        ]);
        let error = drain(&api, "edge", PAUSE, &Time::default()).unwrap_err();
        assert!(error.to_string().contains("evict shop/web"), "{error}");
    }
}

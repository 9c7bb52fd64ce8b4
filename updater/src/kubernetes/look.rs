//! Is it as it should be? Each question is answered from what the API says at this moment.

use semver::Version;

use super::{
    client::{Api, ApiError, Method, get},
    objects::{DaemonSet, List, Node, Pod, condition},
};

/// Most names in a reason.
const MOST_NAMED: usize = 3;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The API server says that it is ready.
    Api,
    /// A node is ready.
    Node {
        /// Its name.
        name: String,
        /// The Kubernetes that its kubelet must be of.
        version: Option<Version>,
    },
    /// Pods are ready; at least one is there.
    Pods(Selection),
    /// DaemonSets have a ready pod on each node that they want one on, of their newest form; at least one is there.
    DaemonSets(Selection),
}

/// Which objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Of this namespace; none: of all.
    pub namespace: Option<String>,
    /// With labels that fit: `app=web`. None: all.
    pub selector: Option<String>,
}

impl Selection {
    /// The path of the list of `objects` in the API `group`.
    fn path(&self, group: &str, objects: &str) -> String {
        let inner = match &self.namespace {
            Some(namespace) => format!("namespaces/{}/{objects}", escape(namespace)),
            None => objects.to_owned(),
        };
        let query = match &self.selector {
            Some(selector) => format!("?labelSelector={}", escape(selector)),
            None => String::new(),
        };
        format!("{group}/{inner}{query}")
    }
}

/// Percent-encodes all but unreserved characters. Source: RFC 3986, section 2.3.
pub(super) fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Asks once: nothing when all is well, else what isn't.
///
/// # Errors
/// When the API doesn't answer, or says no.
pub fn ask(api: &dyn Api, question: &Question) -> Result<Option<String>, ApiError> {
    match question {
        Question::Api => api.request(Method::Get, "/readyz", None).map(|_| None),
        Question::Node { name, version } => {
            let node: Node = get(api, &format!("/api/v1/nodes/{}", escape(name)))?;
            Ok(node_trouble(&node, version.as_ref()))
        }
        Question::Pods(selection) => {
            let pods: List<Pod> = get(api, &selection.path("/api/v1", "pods"))?;
            Ok(pods_trouble(&pods.items))
        }
        Question::DaemonSets(selection) => {
            let sets: List<DaemonSet> = get(api, &selection.path("/apis/apps/v1", "daemonsets"))?;
            Ok(sets_trouble(&sets.items))
        }
    }
}

fn node_trouble(node: &Node, version: Option<&Version>) -> Option<String> {
    let name = &node.metadata.name;
    match condition(&node.status.conditions, "Ready") {
        Some(ready) if ready.status == "True" => {}
        Some(ready) => {
            return Some(format!(
                "node {name} isn't ready: {}",
                why(&ready.reason, &ready.message)
            ));
        }
        None => return Some(format!("node {name} has never said whether it is ready")),
    }
    let found = &node.status.node_info.kubelet_version;
    match version {
        Some(wanted) if !is_of(found, wanted) => Some(format!(
            "node {name}'s kubelet is {found}, and this release has Kubernetes {wanted}"
        )),
        _ => None,
    }
}

/// Whether a kubelet that calls itself `found` (`v1.36.3+k0s`) is of the Kubernetes `wanted`: what comes after the three numbers is the
/// distributions' own affair.
fn is_of(found: &str, wanted: &Version) -> bool {
    let found = found.trim_start_matches('v').parse::<Version>();
    found.is_ok_and(|found| {
        (found.major, found.minor, found.patch) == (wanted.major, wanted.minor, wanted.patch)
    })
}

fn pods_trouble(pods: &[Pod]) -> Option<String> {
    if pods.is_empty() {
        return Some("there is no such pod".to_owned());
    }
    let is_well = |pod: &&Pod| {
        pod.status.phase == "Succeeded"
            || condition(&pod.status.conditions, "Ready").is_some_and(|ready| ready.status == "True")
    };
    let ill = pods.iter().filter(|pod| !is_well(pod)).map(|pod| {
        let reason =
            condition(&pod.status.conditions, "Ready").map(|ready| why(&ready.reason, &ready.message));
        format!(
            "{} ({})",
            pod.title(),
            reason.unwrap_or_else(|| pod.status.phase.clone())
        )
    });
    named("not ready", ill.collect())
}

fn sets_trouble(sets: &[DaemonSet]) -> Option<String> {
    if sets.is_empty() {
        return Some("there is no such DaemonSet".to_owned());
    }
    let ill = sets.iter().filter_map(|set| {
        let status = &set.status;
        let desired = status.desired_number_scheduled;
        let is_known = status.observed_generation >= set.metadata.generation;
        if is_known && status.number_ready >= desired && status.updated_number_scheduled >= desired {
            return None;
        }
        Some(format!(
            "{}/{} ({} of {desired} ready, {} of its newest form)",
            set.metadata.namespace, set.metadata.name, status.number_ready, status.updated_number_scheduled
        ))
    });
    named("not complete", ill.collect())
}

fn why(reason: &str, message: &str) -> String {
    match (reason, message) {
        ("", "") => "no reason given".to_owned(),
        ("", only) | (only, "") => only.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

fn named(what: &str, ill: Vec<String>) -> Option<String> {
    let more = ill.len().saturating_sub(MOST_NAMED);
    let first: Vec<String> = ill.into_iter().take(MOST_NAMED).collect();
    match (first.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(format!("{what}: {}", first.join(", "))),
        (false, more) => Some(format!("{what}: {} and {more} more", first.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::testing::Fake, *};

    fn answer(question: &Question, path: &str, body: &Value) -> Option<String> {
        let fake = Fake::new([(format!("Get {path}"), 200, body.to_string())]);
        ask(&fake, question).unwrap()
    }

    fn node(status: &str, version: &str) -> Value {
        json!({
            "metadata": {"name": "edge", "labels": {"unknown": "kept"}},
            "spec": {},
            "status": {
                "conditions": [
                    {"type": "MemoryPressure", "status": "False"},
                    {"type": "Ready", "status": status, "reason": "KubeletNotReady", "message": "no network plugin"},
                ],
                "nodeInfo": {"kubeletVersion": version},
            },
        })
    }

    #[test]
    fn the_api_is_ready_when_it_says_so() {
        let fake = Fake::new([("Get /readyz".to_owned(), 200, "ok".to_owned())]);
        assert_eq!(ask(&fake, &Question::Api).unwrap(), None);
        let fake = Fake::new([("Get /readyz".to_owned(), 500, "[-]etcd failed".to_owned())]);
        let error = ask(&fake, &Question::Api).unwrap_err();
        assert_eq!(error.to_string(), "/readyz answers 500: [-]etcd failed");
    }

    #[test]
    fn a_node_is_ready_when_it_says_so_and_its_kubelet_is_the_release_s() {
        let question = Question::Node {
            name: "edge".to_owned(),
            version: Some("1.36.3+k0s.0".parse().unwrap()),
        };
        let look = |status, version| answer(&question, "/api/v1/nodes/edge", &node(status, version));
        assert_eq!(look("True", "v1.36.3+k0s"), None);
        assert_eq!(
            look("False", "v1.36.3+k0s").unwrap(),
            "node edge isn't ready: KubeletNotReady: no network plugin"
        );
        for old in ["v1.36.2+k0s", "v1.35.3", "", "new"] {
            assert!(
                look("True", old)
                    .unwrap()
                    .contains("this release has Kubernetes 1.36.3"),
                "{old}"
            );
        }
        let silent = answer(
            &question,
            "/api/v1/nodes/edge",
            &json!({"metadata": {"name": "edge"}}),
        );
        assert_eq!(silent.unwrap(), "node edge has never said whether it is ready");
    }

    #[test]
    fn pods_are_ready_when_all_of_them_are_or_have_done_their_work() {
        let question = Question::Pods(Selection {
            namespace: Some("shop".to_owned()),
            selector: Some("app in (till,web)".to_owned()),
        });
        let path = "/api/v1/namespaces/shop/pods?labelSelector=app%20in%20%28till%2Cweb%29";
        let pod = |name: &str, phase: &str, ready: &str| {
            json!({
                "metadata": {"name": name, "namespace": "shop"},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "reason": "ContainersNotReady"}]},
            })
        };
        let look = |items: Vec<Value>| answer(&question, path, &json!({"items": items}));
        assert_eq!(
            look(vec![
                pod("till", "Running", "True"),
                pod("job", "Succeeded", "False")
            ]),
            None
        );
        assert_eq!(look(vec![]).unwrap(), "there is no such pod");
        assert_eq!(
            look(vec![
                pod("till", "Running", "False"),
                json!({"metadata": {"name": "new", "namespace": "shop"}, "status": {"phase": "Pending"}})
            ])
            .unwrap(),
            "not ready: shop/till (ContainersNotReady), shop/new (Pending)"
        );
        let many = (0..5)
            .map(|number| pod(&number.to_string(), "Running", "False"))
            .collect();
        assert!(look(many).unwrap().ends_with(" and 2 more"));
    }

    #[test]
    fn daemonsets_are_complete_when_every_node_has_the_newest() {
        let question = Question::DaemonSets(Selection::default());
        let look = |generation: i64, [desired, updated, ready]: [i64; 3]| {
            let set = json!({
                "metadata": {"name": "proxy", "namespace": "kube-system", "generation": generation},
                "status": {
                    "observedGeneration": 2,
                    "desiredNumberScheduled": desired,
                    "updatedNumberScheduled": updated,
                    "numberReady": ready,
                },
            });
            answer(&question, "/apis/apps/v1/daemonsets", &json!({"items": [set]}))
        };
        assert_eq!(look(2, [3, 3, 3]), None);
        for (generation, numbers) in [(3, [3, 3, 3]), (2, [3, 2, 3]), (2, [3, 3, 2])] {
            let trouble = look(generation, numbers).unwrap();
            assert!(
                trouble.starts_with("not complete: kube-system/proxy ("),
                "{trouble}"
            );
        }
        let none = answer(&question, "/apis/apps/v1/daemonsets", &json!({"items": []}));
        assert_eq!(none.unwrap(), "there is no such DaemonSet");
    }

    #[test]
    fn an_answer_that_is_something_else_is_told() {
        let question = Question::Node {
            name: "../secrets".to_owned(),
            version: None,
        };
        let path = "Get /api/v1/nodes/..%2Fsecrets".to_owned();
        for body in ["", "<html>", "{\"metadata\": 5}"] {
            let fake = Fake::new([(path.clone(), 200, body.to_owned())]);
            let error = ask(&fake, &question).unwrap_err();
            assert!(matches!(error, ApiError::Answer { .. }), "{body}");
        }
    }
}

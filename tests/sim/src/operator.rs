//! The operator: what kubectl would write, and what should come of it.

use std::collections::BTreeMap;

use gannet_hub_core::{Change, Kind, ObjectKey, Precondition};
use gannet_protocols_model::Timestamp;
use serde_json::{Value, json};

use crate::random::Random;
use crate::store::Store;

const NAMESPACE: &str = "default";

/// What should become of a Deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// How many pods.
    pub replicas: u64,
    /// From which image.
    pub image: String,
}

/// The operator.
#[derive(Debug)]
pub struct Operator {
    /// The Deployments that should be there.
    pub wanted: BTreeMap<String, Wanted>,
    random: Random,
    most: usize,
    edits: u64,
}

/// An object that was written, and what was done.
pub(crate) type Written = (&'static Kind, ObjectKey, String);

impl Operator {
    /// Nothing wanted yet.
    pub fn new(seed: u64, most: usize) -> Self {
        Self { wanted: BTreeMap::new(), random: Random::new(seed, "operator"), most, edits: 0 }
    }

    /// Makes everything that may be there.
    pub fn begin(&mut self, store: &mut Store, now: Timestamp) -> Vec<Written> {
        let mut written = self.configure(store, now);
        for n in 0..self.most {
            written.extend(self.create(n, store, now));
        }
        written
    }

    /// Changes something.
    pub fn change(&mut self, store: &mut Store, now: Timestamp) -> Vec<Written> {
        let n = usize::try_from(self.random.between(0, self.most as u64 - 1)).unwrap_or(0);
        let name = format!("web-{n}");
        if !self.wanted.contains_key(&name) {
            return self.create(n, store, now);
        }
        match self.random.between(0, 9) {
            0..=2 => self.edit(&name, store, |operator, wanted, spec| {
                wanted.replicas = operator.random.between(0, 4);
                spec["replicas"] = json!(wanted.replicas);
            }),
            3..=5 => self.edit(&name, store, |operator, wanted, spec| {
                wanted.image = format!("web:{}", operator.random.between(1, 4));
                spec["template"]["spec"]["containers"][0]["image"] = json!(wanted.image);
            }),
            6 => {
                self.wanted.remove(&name);
                self.delete(Kind::DEPLOYMENT, &name, store, now)
            }
            7 => self.configure(store, now),
            _ => {
                let names: Vec<String> = store.list(Kind::POD).map(|(key, _)| key.name.clone()).collect();
                match self.random.pick(&names) {
                    Some(name) => self.delete(Kind::POD, &name, store, now),
                    None => Vec::new(),
                }
            }
        }
    }

    fn create(&mut self, n: usize, store: &mut Store, now: Timestamp) -> Vec<Written> {
        let name = format!("web-{n}");
        let wanted = Wanted {
            replicas: self.random.between(1, 4),
            image: format!("web:{}", self.random.between(1, 4)),
        };
        let strategy = if self.random.chance(300) {
            json!({"type": "Recreate"})
        } else {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        };
        let mut deployment = json!({
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "replicas": wanted.replicas, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                "strategy": strategy, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {
                    "restartPolicy": "Always", "terminationGracePeriodSeconds": self.random.between(2, 30),
                    "containers": [{
                        "name": "web", "image": wanted.image, "imagePullPolicy": "IfNotPresent",
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "envFrom": [{"configMapRef": {"name": "settings"}}],
                        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                    }],
                }},
            },
        });
        let spec = &mut deployment["spec"]["template"]["spec"];
        if self.random.chance(300) {
            spec["initContainers"] = json!([
                {"name": "side", "image": "side:1", "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always"},
            ]);
        }
        if self.random.chance(300) {
            let hook = json!({"sleep": {"seconds": 1}});
            spec["containers"][0]["lifecycle"] = json!({"postStart": hook, "preStop": hook});
        }
        let service = json!({
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"type": "ClusterIP", "clusterIP": format!("10.43.0.{}", n + 10), "selector": {"app": name},
                "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]},
        });
        self.wanted.insert(name, wanted);
        let mut written = write(Change::Create { kind: Kind::SERVICE, object: service }, store, now);
        written.extend(write(Change::Create { kind: Kind::DEPLOYMENT, object: deployment }, store, now));
        written
    }

    /// Writes the ConfigMap that all pods read.
    fn configure(&mut self, store: &mut Store, now: Timestamp) -> Vec<Written> {
        self.edits += 1;
        let data = json!({"EDIT": self.edits.to_string()});
        let change = match store.get(Kind::CONFIG_MAP, &ObjectKey::new(NAMESPACE, "settings")) {
            Some(old) => {
                let mut object = old.clone();
                object["data"] = data;
                Change::Update { kind: Kind::CONFIG_MAP, object }
            }
            None => {
                let object = json!({"metadata": {"name": "settings", "namespace": NAMESPACE}, "data": data});
                Change::Create { kind: Kind::CONFIG_MAP, object }
            }
        };
        write(change, store, now)
    }

    fn edit(
        &mut self,
        name: &str,
        store: &mut Store,
        change: impl FnOnce(&mut Self, &mut Wanted, &mut Value),
    ) -> Vec<Written> {
        let key = ObjectKey::new(NAMESPACE, name);
        let (Some(mut object), Some(mut wanted)) =
            (store.get(Kind::DEPLOYMENT, &key).cloned(), self.wanted.get(name).cloned())
        else {
            return Vec::new();
        };
        change(self, &mut wanted, &mut object["spec"]);
        self.wanted.insert(name.to_owned(), wanted);
        write(Change::Update { kind: Kind::DEPLOYMENT, object }, store, Timestamp::default())
    }

    fn delete(&mut self, kind: &'static Kind, name: &str, store: &mut Store, now: Timestamp) -> Vec<Written> {
        let key = ObjectKey::new(NAMESPACE, name);
        write(Change::Delete { kind, key, precondition: Precondition::default() }, store, now)
    }
}

fn write(change: Change, store: &mut Store, now: Timestamp) -> Vec<Written> {
    let applied = store.apply(&change, now);
    let Some((kind, key)) = Store::target(&change) else { return Vec::new() };
    let what = match change {
        Change::Create { .. } => "creates",
        Change::Update { .. } => "edits",
        _ => "deletes",
    };
    vec![(kind, key, format!("{what}: {applied:?}"))]
}

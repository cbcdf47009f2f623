//! The runtime: pods by uid, each with its task.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gannet_agent_shim::{
    Action, ContainerStatus, ExecOutcome, IdRange, PodLayout, Reply, Sandbox, Usage, fault, prepare,
    read_json, usage, write_json,
};
use gannet_protocols_model::PodUid;
use oci_spec::runtime::LinuxResources;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tracing::warn;

use crate::config::{
    Changed, ContainerSpec, DeviceChange, PodSandbox, PodState, RuntimeConfig, RuntimeEvent, sandbox_of,
};
use crate::error::RuntimeError;
use crate::filters::Filters;
use crate::pod::{Call, PodTask};
use crate::session::{self, AttachSpec, ExecSession};
use crate::zygote::{self, Fork};

/// A shim kills its own children that take longer than a minute, then answers.
const ANSWER_TIME: Duration = Duration::from_secs(90);

/// Calls that wait for a pod's task, and pods that wait for the zygote: who asks more waits in turn.
const QUEUE: usize = 16;

/// Events that the agent has not taken yet; each pod keeps its own further ones.
const EVENTS: usize = 64;

/// Runs containers. Cheap to clone; dropping the last clone stops none of them.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pods_dir: PathBuf,
    zygote: mpsc::Sender<Fork>,
    events: mpsc::Sender<RuntimeEvent>,
    pub(crate) pods: Mutex<BTreeMap<PodUid, Pod>>,
    /// Users that were promised to pods which may not be made yet.
    pub(crate) users: Mutex<BTreeMap<PodUid, IdRange>>,
    filters: Filters,
    /// Aborted when dropped.
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Pod {
    calls: mpsc::Sender<Call>,
    pub(crate) sandbox: Sandbox,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|err| Err(io::Error::other(err)))
}

impl Runtime {
    /// Adopts every pod in the run directory: connects to its shim, or starts one that takes its containers over.
    ///
    /// # Errors
    /// The run directory cannot be made or read. A pod that cannot be adopted is tried again and again, and said to be
    /// [`RuntimeError::Zygote`] meanwhile.
    pub async fn start(config: RuntimeConfig) -> Result<(Self, mpsc::Receiver<RuntimeEvent>), RuntimeError> {
        let pods_dir = config.run_dir.join("pods");
        let dir = pods_dir.clone();
        let found = blocking(move || find_pods(&dir)).await;
        let found = found.map_err(RuntimeError::io(format!("read {}", pods_dir.display())))?;
        let (zygote, forks) = mpsc::channel(QUEUE);
        let (events, receiver) = mpsc::channel(EVENTS);
        let mut tasks = JoinSet::new();
        tasks.spawn(zygote::run(config, forks));
        let inner = Inner {
            pods_dir,
            zygote,
            events,
            pods: Mutex::new(BTreeMap::new()),
            users: Mutex::default(),
            filters: Filters::default(),
            tasks: Mutex::new(tasks),
        };
        let runtime = Self { inner: Arc::new(inner) };
        for (uid, sandbox) in found {
            runtime.add_pod(uid, sandbox);
        }
        Ok((runtime, receiver))
    }

    pub(crate) fn layout(&self, uid: &PodUid) -> PodLayout {
        PodLayout::new(self.inner.pods_dir.join(uid.as_str()))
    }

    fn add_pod(&self, uid: PodUid, sandbox: Sandbox) -> Pod {
        let (calls, receiver) = mpsc::channel(QUEUE);
        let task = PodTask {
            uid: uid.clone(),
            layout: self.layout(&uid),
            calls: receiver,
            zygote: self.inner.zygote.clone(),
            events: self.inner.events.clone(),
            outbox: VecDeque::new(),
            told: BTreeSet::new(),
        };
        let pod = Pod { calls, sandbox };
        let mut tasks = lock(&self.inner.tasks);
        // Those of pods that were removed.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task.run());
        lock(&self.inner.pods).insert(uid, pod.clone());
        pod
    }

    /// A pod whose task has ended was shut down, even if whoever asked for that did not wait for the answer.
    fn find(&self, uid: &PodUid) -> Option<Pod> {
        lock(&self.inner.pods).get(uid).filter(|pod| !pod.calls.is_closed()).cloned()
    }

    fn pod(&self, uid: &PodUid) -> Result<Pod, RuntimeError> {
        self.find(uid).ok_or_else(|| RuntimeError::NoPod { pod: uid.clone() })
    }

    async fn call(
        &self,
        uid: &PodUid,
        pod: &Pod,
        action: Action,
        time: Duration,
    ) -> Result<Reply, RuntimeError> {
        let lost = || RuntimeError::ShimLost { pod: uid.clone() };
        let (done, outcome) = oneshot::channel();
        let ask = async {
            pod.calls.send(Call { action, done }).await.map_err(|_| lost())?;
            outcome.await.map_err(|_| lost())?
        };
        timeout(time, ask).await.unwrap_or_else(|_| Err(RuntimeError::NoAnswer { pod: uid.clone() }))
    }

    async fn ask(&self, uid: &PodUid, action: Action) -> Result<Reply, RuntimeError> {
        self.call(uid, &self.pod(uid)?, action, ANSWER_TIME).await
    }

    /// Every pod and container that there is. A pod whose shim does not answer has no containers in the list, and an
    /// error instead.
    pub async fn pods(&self) -> Vec<(PodUid, Result<PodState, RuntimeError>)> {
        let mut pods = lock(&self.inner.pods).clone();
        pods.retain(|_, pod| !pod.calls.is_closed());
        let mut states = Vec::with_capacity(pods.len());
        for (uid, pod) in pods {
            let state = self.state(&uid, &pod).await.map(|containers| {
                let sandbox = sandbox_of(uid.clone(), pod.sandbox);
                PodState { sandbox, containers }
            });
            states.push((uid, state));
        }
        states
    }

    async fn state(&self, uid: &PodUid, pod: &Pod) -> Result<Vec<ContainerStatus>, RuntimeError> {
        match self.call(uid, pod, Action::State, ANSWER_TIME).await? {
            Reply::State { containers } => Ok(containers),
            _ => Ok(Vec::new()),
        }
    }

    /// Makes what the containers of a pod share, and starts its shim.
    ///
    /// # Errors
    /// No shim could be started; what was begun is finished or undone by calling this or [`Self::remove_pod`] again.
    pub async fn ensure_pod(&self, sandbox: PodSandbox) -> Result<Changed, RuntimeError> {
        let uid = sandbox.uid.clone();
        let sandbox = Sandbox::from(sandbox);
        let known = self.find(&uid);
        let changed = if known.is_some() { Changed::No } else { Changed::Yes };
        let pod = match known {
            Some(pod) => pod,
            None => {
                let layout = self.layout(&uid);
                let wanted = sandbox.clone();
                let made = blocking(move || {
                    fs::DirBuilder::new().recursive(true).mode(0o700).create(layout.dir())?;
                    fault::point("runtime.pod.folder");
                    write_json(&layout.sandbox(), &wanted)?;
                    fault::point("runtime.pod.recorded");
                    Ok(())
                });
                made.await.map_err(RuntimeError::io(format!("make the directory of pod {uid}")))?;
                self.add_pod(uid.clone(), sandbox)
            }
        };
        self.call(&uid, &pod, Action::Hello, ANSWER_TIME).await.map(|_| changed)
    }

    /// Creates a container: everything but the last step, executing its program. Gives the pid of its first process.
    ///
    /// # Errors
    /// The spec is refused, or the container cannot be made; then nothing is left of it. The message of
    /// [`RuntimeError::Refused`] is what a user should read; its kind is `Start` where the program is missing or not
    /// executable, `Exists` where there is a container with this id.
    pub async fn create(&self, uid: &PodUid, container: ContainerSpec) -> Result<i32, RuntimeError> {
        let pod = self.pod(uid)?;
        let ContainerSpec { id, spec, bundle, log_path, log_limits } = container;
        let prepared = prepare(spec, &self.layout(uid), &pod.sandbox, &id);
        let prepared = prepared.map_err(|source| RuntimeError::Prepare { container: id.clone(), source })?;
        let cgroup = prepared.cgroup().to_owned();
        let inner = Arc::clone(&self.inner);
        let (dir, name) = (bundle.clone(), id.clone());
        let write = move || {
            let filter = prepared.seccomp().map(|profile| inner.filters.get(profile)).transpose();
            let filter = filter.map_err(|source| RuntimeError::Seccomp { container: name, source })?;
            let written = prepared.write(&dir, filter.as_deref());
            written.map_err(RuntimeError::io(format!("write the bundle {}", dir.display())))
        };
        let joined = spawn_blocking(write).await;
        joined.map_err(|err| RuntimeError::io("write the bundle")(io::Error::other(err)))??;
        fault::point("runtime.create.prepared");
        let action = Action::Create { container: id, bundle, cgroup, log_path, log_limits };
        let made = self.call(uid, &pod, action, ANSWER_TIME).await?;
        fault::point("runtime.create.made");
        match made {
            Reply::Created { pid } => Ok(pid),
            other => Err(RuntimeError::unexpected(&other)),
        }
    }

    /// Executes the program of a created container; returns once that is done. Gives the pid of its first process.
    ///
    /// # Errors
    /// The program could not be executed; the container then exits with code 128.
    pub async fn start_container(&self, uid: &PodUid, id: &str) -> Result<i32, RuntimeError> {
        match self.ask(uid, Action::Start { container: id.to_owned() }).await? {
            Reply::Started { pid } => Ok(pid),
            other => Err(RuntimeError::unexpected(&other)),
        }
    }

    /// Sends a signal to a container's first process; one that has exited needs none.
    ///
    /// # Errors
    /// There is no such container, or no such signal.
    pub async fn signal(&self, uid: &PodUid, id: &str, signal: i32) -> Result<(), RuntimeError> {
        self.ask(uid, Action::Signal { container: id.to_owned(), signal }).await.map(drop)
    }

    /// Kills a container if it still runs, and removes it; its log and bundle stay. Fine where there is none.
    ///
    /// # Errors
    /// Something could not be removed; ask again.
    pub async fn delete(&self, uid: &PodUid, id: &str) -> Result<(), RuntimeError> {
        let deleted = self.ask(uid, Action::Delete { container: id.to_owned() }).await.map(drop);
        fault::point("runtime.delete.done");
        deleted
    }

    /// Runs a command in a running container, under the same user, capabilities and seccomp filter. Keeps up to `limit`
    /// bytes of output, at most 128 KiB; kills it after `time`.
    ///
    /// # Errors
    /// The container does not run, or the command could not be executed.
    pub async fn exec(
        &self,
        uid: &PodUid,
        id: &str,
        argv: Vec<String>,
        time: Duration,
        limit: usize,
    ) -> Result<ExecOutcome, RuntimeError> {
        let timeout_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let action = Action::Exec { container: id.to_owned(), argv, timeout_ms, limit };
        let time = time.saturating_add(ANSWER_TIME);
        match self.call(uid, &self.pod(uid)?, action, time).await? {
            Reply::Executed(outcome) => Ok(outcome),
            other => Err(RuntimeError::unexpected(&other)),
        }
    }

    /// Gives a running container, and its pod, other limits of processor and memory: what `gannet_agent_spec::limits` and
    /// `pod_limits` make.
    ///
    /// # Errors
    /// The kernel refuses them, as where more memory is used than the new limit allows; then all stays as it was. The kind
    /// is [`gannet_agent_shim::ErrorKind::UnknownRequest`] where the pod's shim is of a release that cannot do this.
    pub async fn resize(
        &self,
        uid: &PodUid,
        id: &str,
        resources: LinuxResources,
        pod: Option<LinuxResources>,
    ) -> Result<(), RuntimeError> {
        let (resources, pod) = (Box::new(resources), pod.map(Box::new));
        self.ask(uid, Action::Update { container: id.to_owned(), resources, pod }).await.map(drop)
    }

    /// Runs a command in a running container, confined as the container is, for somebody who talks to it. It is killed when
    /// the session is dropped.
    ///
    /// # Errors
    /// The container does not run, the command cannot be executed, or the pod's shim is of a release that cannot do this
    /// (the kind is then `UnknownRequest`).
    pub async fn attach_exec(
        &self,
        uid: &PodUid,
        id: &str,
        spec: AttachSpec,
    ) -> Result<ExecSession, RuntimeError> {
        self.pod(uid)?;
        let begin = session::attach(uid.clone(), self.layout(uid), id.to_owned(), spec);
        timeout(ANSWER_TIME, begin).await.unwrap_or_else(|_| Err(RuntimeError::NoAnswer { pod: uid.clone() }))
    }

    /// Gives a device to a running container, or takes it away. Fine where it is so already.
    ///
    /// # Errors
    /// The container does not run, the kernel refuses, or the pod's shim is of a release that cannot do this.
    pub async fn change_device(
        &self,
        uid: &PodUid,
        id: &str,
        change: DeviceChange,
    ) -> Result<(), RuntimeError> {
        let DeviceChange { node, access, remove } = change;
        let action = Action::Device { container: id.to_owned(), node: Box::new(node), access, remove };
        self.ask(uid, action).await.map(drop)
    }

    /// Removes a pod with all its containers, and ends its shim. Fine where there is none.
    ///
    /// # Errors
    /// Something could not be removed; ask again.
    pub async fn remove_pod(&self, uid: &PodUid) -> Result<(), RuntimeError> {
        let Some(pod) = self.find(uid) else {
            self.forget(uid);
            return Ok(());
        };
        for container in self.state(uid, &pod).await? {
            self.delete(uid, &container.id).await?;
        }
        self.call(uid, &pod, Action::Shutdown, ANSWER_TIME).await?;
        self.forget(uid);
        Ok(())
    }

    /// What the running containers of a pod use.
    ///
    /// # Errors
    /// There is no such pod, or its shim does not answer.
    pub async fn stats(&self, uid: &PodUid) -> Result<BTreeMap<String, Usage>, RuntimeError> {
        let containers = self.state(uid, &self.pod(uid)?).await?;
        let read = move || {
            let running = containers.into_iter().filter(|container| container.exit.is_none());
            Ok(running.filter_map(|c| Some((c.id, usage(&c.cgroup)?))).collect())
        };
        blocking(read).await.map_err(RuntimeError::io("read cgroups"))
    }
}

/// The pods that an earlier agent left.
fn find_pods(dir: &std::path::Path) -> io::Result<Vec<(PodUid, Sandbox)>> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(uid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        match read_json(&PodLayout::new(&path).sandbox()) {
            Ok(Some(sandbox)) => found.push((uid, sandbox)),
            // Never begun, or removed but for the directory.
            Ok(None) => drop(fs::remove_dir(&path)),
            Err(err) => warn!(pod.uid = %uid, error = %err, "cannot adopt pod"),
        }
    }
    Ok(found)
}

use std::io::Write as _;

use gannet_protocols_model::Timestamp;

use super::*;
use crate::sample;

fn status(state: ContainerState, restart_count: u32) -> Statuses {
    let container = sample::container("c", state);
    let container = ContainerStatus { restart_count, ready: true, started: true, ..container };
    let pod = sample::pod("u", vec![container]);
    Arc::new(BTreeMap::from([(pod.uid.clone(), pod)]))
}

fn running(restarts: u32) -> Statuses {
    status(ContainerState::Running { started_at: Timestamp::default() }, restarts)
}

struct Setup {
    _dir: tempfile::TempDir,
    source: Source,
    state: watch::Sender<Statuses>,
}

impl Setup {
    fn new(first: Statuses) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), dir.path());
        std::fs::create_dir_all(layout.logs(&"u".parse().unwrap(), "c")).unwrap();
        let (state, statuses) = watch::channel(first);
        Self { _dir: dir, source: Source { layout, statuses }, state }
    }

    fn write(&self, attempt: u32, text: &str) {
        let path = self.source.layout.log(&"u".parse().unwrap(), "c", attempt);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "2026-01-31T12:00:00.000000000Z stdout F {text}").unwrap();
    }

    fn start(&self, edit: impl Fn(&mut LogRequest)) -> mpsc::Receiver<Chunk> {
        let mut request = LogRequest {
            pod: "u".parse().unwrap(),
            container: "c".into(),
            follow: false,
            previous: false,
            timestamps: false,
            tail: None,
            since: None,
            limit_bytes: None,
        };
        edit(&mut request);
        let (to, from) = mpsc::channel(4);
        tokio::spawn(pump(self.source.clone(), request, to));
        from
    }

    async fn read(&self, edit: impl Fn(&mut LogRequest)) -> String {
        let mut from = self.start(edit);
        let mut text = String::new();
        while let Some(chunk) = from.recv().await {
            match chunk {
                Ok(bytes) => text.push_str(&String::from_utf8(bytes).unwrap()),
                Err(error) => text.push_str(&format!("! {error}")),
            }
        }
        text
    }
}

#[tokio::test]
async fn runs_and_refusals() {
    let setup = Setup::new(running(2));
    for attempt in 1..3 {
        setup.write(attempt, &format!("run {attempt}"));
    }
    assert_eq!(setup.read(|_| ()).await, "run 2\n");
    assert_eq!(setup.read(|r| r.previous = true).await, "run 1\n");
    let wrong = setup.read(|r| r.container = "x".into()).await;
    assert_eq!(wrong, "! container \"x\" in pod \"web\" is not valid: the pod has c");
    assert_eq!(setup.read(|r| r.pod = "v".parse().unwrap()).await, "! pod v is not on this node");

    let waiting = ContainerState::Waiting { reason: "ContainerCreating".into(), message: String::new() };
    let setup = Setup::new(status(waiting, 0));
    assert!(setup.read(|_| ()).await.ends_with("is waiting to start: ContainerCreating"));
    assert!(setup.read(|r| r.previous = true).await.ends_with("not found"));
}

#[tokio::test]
async fn a_run_that_has_written_nothing_has_an_empty_log() {
    let mut statuses = (*running(2)).clone();
    for pod in statuses.values_mut() {
        pod.containers[0].container_id = Some("u/c-2-x".into());
    }
    let setup = Setup::new(Arc::new(statuses.clone()));
    setup.write(1, "run 1");
    assert_eq!(setup.read(|_| ()).await, "", "not that of the run before");
    assert_eq!(setup.read(|r| r.previous = true).await, "run 1\n");
    // While it waits to be started again, the run that ended is the last and the previous one.
    for pod in statuses.values_mut() {
        let container = &mut pod.containers[0];
        container.state =
            ContainerState::Waiting { reason: "CrashLoopBackOff".into(), message: String::new() };
        container.last = Some(gannet_protocols_model::Terminated {
            exit_code: 1,
            signal: None,
            reason: "Error".into(),
            message: String::new(),
            started_at: None,
            finished_at: Timestamp::default(),
        });
    }
    setup.write(2, "run 2");
    setup.state.send(Arc::new(statuses)).unwrap();
    assert_eq!(setup.read(|_| ()).await, "run 2\n");
    assert_eq!(setup.read(|r| r.previous = true).await, "run 2\n");
}

#[tokio::test]
async fn follow_ends_with_the_container() {
    let setup = Setup::new(running(0));
    setup.write(0, "one");
    let mut from = setup.start(|r| r.follow = true);
    assert_eq!(from.recv().await.unwrap().unwrap(), b"one\n");
    setup.write(0, "two");
    assert_eq!(from.recv().await.unwrap().unwrap(), b"two\n");
    setup.write(0, "last");
    setup.state.send(running(1)).unwrap();
    assert_eq!(from.recv().await.unwrap().unwrap(), b"last\n");
    assert!(from.recv().await.is_none());
}

#[tokio::test]
async fn follow_ends_with_its_reader() {
    let setup = Setup::new(running(0));
    let from = setup.start(|r| r.follow = true);
    drop(from);
    // The task's clone of the channel goes with it.
    while setup.state.receiver_count() > 1 {
        tokio::task::yield_now().await;
    }
}

//! Figures, not a test: run by name.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{Fixture, default_spec, shim_of};

const RUNS: usize = 60;

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

fn pss(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    text.lines()
        .filter(|l| ["Rss:", "Pss:", "Private_Dirty:"].iter().any(|k| l.starts_with(k)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// `crun`, run once for each line that it is sent. Version 1.8 refuses a hybrid hierarchy: it runs where the v2 part is
/// not mounted.
struct Crun {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
    times: Vec<Duration>,
}

impl Crun {
    fn new(fixture: &Fixture) -> Self {
        let bundle = fixture.path("crun");
        fs::create_dir_all(&bundle).unwrap();
        let mut spec = default_spec(&["true"]);
        spec["root"]["path"] = fixture.path("rootfs").display().to_string().into();
        fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
        let script = format!(
            "umount /sys/fs/cgroup/unified 2>/dev/null; while read n; do \
             s=$(date +%s%N); crun --root {0}/state run -b {0} m$n; e=$(date +%s%N); echo $((e-s)); done",
            bundle.display()
        );
        let mut command = Command::new("unshare");
        let command = command.args(["-m", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, answers, times: Vec::new() }
    }

    fn run(&mut self, n: usize) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{n}").unwrap();
        let nanos = self.answers.next().unwrap().unwrap();
        self.times.push(Duration::from_nanos(nanos.parse().unwrap()));
    }
}

pub(crate) async fn measure() {
    let mut fixture = Fixture::new().await;
    let pod = fixture.pod().await;
    println!("shim, no container: {}", pss(shim_of(&pod)));
    let mut steps = [const { Vec::new() }; 5];
    let mut crun = Crun::new(&fixture);
    for n in 0..RUNS {
        crun.run(n);
        let id = format!("m-{n}");
        let container = fixture.container_with(&id, &["true"], |_| {});
        let begun = Instant::now();
        fixture.runtime().create(&pod, container).await.unwrap();
        let created = Instant::now();
        fixture.runtime().start_container(&pod, &id).await.unwrap();
        let started = Instant::now();
        fixture.exit_of(&id).await;
        let ended = Instant::now();
        fixture.runtime().delete(&pod, &id).await.unwrap();
        let deleted = Instant::now();
        let parts = [created - begun, started - created, ended - started, deleted - ended, deleted - begun];
        for (step, part) in steps.iter_mut().zip(parts) {
            step.push(part);
        }
    }
    let [create, start, exit, delete, all] = steps.map(median);
    println!(
        "medians of {RUNS}: create {create:?}, start {start:?}, exit {exit:?}, delete {delete:?}, all {all:?}"
    );
    println!("crun run: {:?}", median(std::mem::take(&mut crun.times)));
    drop(crun.child.stdin.take());
    crun.child.wait().unwrap();
    fixture.run(&pod, fixture.container("x-0", "sleep 1000")).await;
    println!("shim, one container: {}", pss(shim_of(&pod)));
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        fixture.runtime().exec(&pod, "x-0", vec!["true".into()], Duration::from_secs(20), 10).await.unwrap();
        times.push(begun.elapsed());
    }
    println!("exec true: {:?}", median(times));
    for n in 0..9 {
        fixture.run(&pod, fixture.container(&format!("y-{n}"), "sleep 1000")).await;
    }
    println!("shim, ten containers: {}", pss(shim_of(&pod)));
    let before = total_pss();
    for n in 0..9 {
        let pod = fixture.pod().await;
        fixture.run(&pod, fixture.container(&format!("z-{n}"), "sleep 1000")).await;
    }
    println!("each of nine more pods with a container: {} kB", (total_pss() - before) / 9);
    fixture.finish().await;
}

/// Of the zygote and all shims of this process: what one more costs shows only in the sum.
fn total_pss() -> u64 {
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let ours = pids.filter(|pid| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        read("comm").trim() == "gannet-shim"
            && read("cmdline").contains(&format!("pod-{}-", std::process::id()))
            || read("comm").trim() == "gannet-zygote"
    });
    let pss = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        text.lines()
            .find_map(|l| l.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0)
    };
    ours.map(pss).sum()
}

//! The commands: their arguments, requests and words.

use std::io::Write;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::progress::{Progress, progress};
use super::revision::{self, Revisions};
use crate::describe;
use crate::resource::{Resource, query_escape, targets, text};
use crate::session::Session;

/// How often a rollout is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// What to do with rollouts.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// Wait until the pods are as the Deployment says; fails where they do not get there.
    Status(StatusArgs),
    /// The former templates.
    History(HistoryArgs),
    /// Go back to a former template.
    Undo(UndoArgs),
    /// Replace every pod by a new one.
    Restart(Which),
    /// Let changes of the template wait.
    Pause(Which),
    /// Go on with a paused rollout.
    Resume(Which),
}

/// The Deployments that are meant.
#[derive(Debug, Args)]
pub struct Which {
    /// `deployment/NAME` or `deployment NAME`.
    #[arg(required = true, value_name = "TYPE/NAME")]
    what: Vec<String>,
}

/// Arguments of `rollout status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    which: Which,
    /// How long to wait, as `30s`, `5m`; 0 is for ever.
    #[arg(long, default_value = "0s", value_parser = crate::logs::duration)]
    timeout: Duration,
    /// Wait for the end; else say how it is.
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set)]
    watch: bool,
}

/// Arguments of `rollout history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    which: Which,
    /// Show the template of this revision.
    #[arg(long)]
    revision: Option<u64>,
}

/// Arguments of `rollout undo`.
#[derive(Debug, Args)]
pub struct UndoArgs {
    #[command(flatten)]
    which: Which,
    /// The revision to go back to; else the one before.
    #[arg(long, default_value_t = 0)]
    to_revision: u64,
}

pub(crate) async fn rollout(
    session: &Session,
    command: &RolloutCommand,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let (RolloutCommand::Status(StatusArgs { which, .. })
    | RolloutCommand::History(HistoryArgs { which, .. })
    | RolloutCommand::Undo(UndoArgs { which, .. })
    | RolloutCommand::Restart(which)
    | RolloutCommand::Pause(which)
    | RolloutCommand::Resume(which)) = command;
    for deployment in deployments(session, which).await? {
        match command {
            RolloutCommand::Status(args) => status(&deployment, args, out).await?,
            RolloutCommand::History(args) => history(&deployment, args.revision, out).await?,
            RolloutCommand::Undo(args) => undo(&deployment, args.to_revision, out).await?,
            RolloutCommand::Restart(_) => restart(&deployment, out).await?,
            RolloutCommand::Pause(_) => pause(&deployment, true, out).await?,
            RolloutCommand::Resume(_) => pause(&deployment, false, out).await?,
        }
    }
    Ok(())
}

/// Waits until all pods of a Deployment are new and available. `progress` hears how far it is, each time that this
/// changes.
pub async fn wait_available(
    session: &Session,
    deployment: &str,
    timeout: Duration,
    progress: &mut (dyn FnMut(&str) + Send),
) -> anyhow::Result<()> {
    let resource = session.resource("deployments.apps").await?;
    let deployment = Deployment { session, resource, name: deployment.to_owned() };
    deployment.wait(Instant::now().checked_add(timeout), progress).await
}

/// One Deployment at the hub.
struct Deployment<'a> {
    session: &'a Session,
    resource: &'a Resource,
    name: String,
}

async fn deployments<'a>(session: &'a Session, which: &Which) -> anyhow::Result<Vec<Deployment<'a>>> {
    let mut all = Vec::new();
    for (word, names) in targets(&which.what)? {
        let resource = session.resource(&word).await?;
        ensure!(resource.kind == "Deployment", "only deployments have rollouts, not {}", resource.plural);
        ensure!(!names.is_empty(), "required resource not specified: the name of the deployment is missing");
        all.extend(names.into_iter().map(|name| Deployment { session, resource, name }));
    }
    Ok(all)
}

impl Deployment<'_> {
    fn path(&self) -> String {
        self.resource.one(self.session.namespace(), &self.name)
    }

    fn shown(&self) -> String {
        self.resource.shown(&self.name)
    }

    async fn get(&self) -> anyhow::Result<Value> {
        self.session.get_json(&self.path()).await
    }

    async fn patch(&self, content_type: &str, patch: &Value) -> anyhow::Result<Value> {
        self.session.send(Method::PATCH, &self.path(), content_type, Some(patch)).await
    }

    async fn revisions(&self, deployment: &Value) -> anyhow::Result<Revisions> {
        let list = self.session.resource("replicasets.apps").await?.list(Some(self.session.namespace()));
        let selector = revision::selector(deployment);
        let sets =
            self.session.get_json(&format!("{list}?labelSelector={}", query_escape(&selector))).await?;
        Ok(Revisions::of(deployment, sets["items"].as_array().map(Vec::as_slice).unwrap_or_default()))
    }

    /// Looks again and again, until the end, an error, or the deadline.
    async fn wait(
        &self,
        deadline: Option<Instant>,
        progress_to: &mut (dyn FnMut(&str) + Send),
    ) -> anyhow::Result<()> {
        let mut said = String::new();
        let look = async {
            loop {
                let now = progress(&self.get().await?);
                let (Progress::Going(line) | Progress::Done(line) | Progress::Failed(line)) = &now;
                if let Progress::Failed(_) = now {
                    bail!("{line}");
                }
                if *line != said {
                    progress_to(line);
                    said.clone_from(line);
                }
                if let Progress::Done(_) = now {
                    return Ok(());
                }
                sleep(PERIOD).await;
            }
        };
        match deadline {
            None => look.await,
            Some(deadline) => match timeout_at(deadline, look).await {
                Ok(end) => end,
                Err(_) => bail!("timed out waiting for the condition"),
            },
        }
    }
}

async fn status(
    deployment: &Deployment<'_>,
    args: &StatusArgs,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    if !args.watch {
        match progress(&deployment.get().await?) {
            Progress::Going(line) | Progress::Done(line) => writeln!(out, "{line}")?,
            Progress::Failed(line) => bail!("{line}"),
        }
        return Ok(());
    }
    let deadline = Some(args.timeout).filter(|t| !t.is_zero()).and_then(|t| Instant::now().checked_add(t));
    let mut written = Ok(());
    let mut say = |line: &str| {
        if written.is_ok() {
            written = writeln!(out, "{line}").and_then(|()| out.flush());
        }
    };
    deployment.wait(deadline, &mut say).await?;
    Ok(written?)
}

async fn history(
    deployment: &Deployment<'_>,
    revision: Option<u64>,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let object = deployment.get().await?;
    let revisions = deployment.revisions(&object).await?;
    if let Some(revision) = revision.filter(|r| *r > 0) {
        let Some(set) = revisions.get(revision) else { bail!("unable to find the specified revision") };
        writeln!(out, "{} with revision #{revision}", deployment.shown())?;
        return Ok(describe::template(set, out)?);
    }
    writeln!(out, "{}", deployment.shown())?;
    let names = ["REVISION", "CHANGE-CAUSE"].map(str::to_owned).to_vec();
    let lines: Vec<Vec<String>> = std::iter::once(names).chain(revisions.causes()).collect();
    crate::table::print(&lines, &[], out)?;
    Ok(())
}

async fn undo(
    deployment: &Deployment<'_>,
    to_revision: u64,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let object = deployment.get().await?;
    if is_paused(&object) {
        bail!(
            "you cannot rollback a paused deployment; resume it first with 'gannet rollout resume {}' and try again",
            deployment.shown()
        );
    }
    let revisions = deployment.revisions(&object).await?;
    let (revision, set) = match (revisions.target(to_revision), to_revision) {
        (Some(found), _) => found,
        (None, 0) => bail!("no rollout history found for deployment {:?}", deployment.name),
        (None, wanted) => bail!("unable to find specified revision {wanted} in history"),
    };
    let template = revision::template(set);
    if template == object["spec"]["template"] {
        writeln!(
            out,
            "{} skipped rollback (current template already matches revision {revision})",
            deployment.shown()
        )?;
        return Ok(());
    }
    let patch = json!([
        // Somebody else's change in between is not to be lost.
        {"op": "test", "path": "/metadata/resourceVersion", "value": object["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "add", "path": "/metadata/annotations", "value": revision::annotations(&object, set)},
    ]);
    deployment.patch("application/json-patch+json", &patch).await?;
    writeln!(out, "{} rolled back", deployment.shown())?;
    Ok(())
}

async fn restart(deployment: &Deployment<'_>, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    if is_paused(&deployment.get().await?) {
        bail!("can't restart paused deployment (run rollout resume first)");
    }
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    deployment.patch("application/merge-patch+json", &patch).await?;
    writeln!(out, "{} restarted", deployment.shown())?;
    Ok(())
}

async fn pause(deployment: &Deployment<'_>, pause: bool, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let object = deployment.get().await?;
    if is_paused(&object) == pause {
        let state = if pause { "already" } else { "not" };
        bail!("deployments.apps \"{}\" is {state} paused", text(&object, "/metadata/name"));
    }
    deployment.patch("application/merge-patch+json", &json!({"spec": {"paused": pause}})).await?;
    writeln!(out, "{} {}", deployment.shown(), if pause { "paused" } else { "resumed" })?;
    Ok(())
}

fn is_paused(deployment: &Value) -> bool {
    deployment["spec"]["paused"] == true
}
